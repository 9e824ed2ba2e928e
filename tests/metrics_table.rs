//! The documented tables of metrics against what is exported.
#![cfg(feature = "telemetry")]

mod observed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use observed::{Observed, Seen};
use opentelemetry::KeyValue;
use telemetry_rt::otel::{Metric, MetricData};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task;

const TABLE: &str = "docs/metrics.md";

/// What is said of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    unit: String,
    attributes: BTreeSet<String>,
}

fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE)).unwrap()
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn rows(text: &str) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut before = BTreeSet::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", name, kind, unit, attributes, formula, tells, ""] = &cells[..] else {
            continue;
        };
        let Some(name) = quoted(name).next() else {
            continue;
        };
        assert!(
            !formula.is_empty() && tells.ends_with('.'),
            "{name}: {tells}"
        );
        if attributes != "as before" {
            before = quoted(attributes).map(str::to_owned).collect();
            assert!(attributes == "none" || !before.is_empty(), "{name}");
        }
        let row = Row {
            kind: kind.to_owned(),
            unit: quoted(unit).next().unwrap().to_owned(),
            attributes: before.clone(),
        };
        assert!(rows.insert(name.to_owned(), row).is_none(), "{name} twice");
    }
    rows
}

fn keys<'a>(points: impl Iterator<Item = &'a Vec<KeyValue>>) -> BTreeSet<String> {
    points.flatten().map(|kv| kv.key.to_string()).collect()
}

fn exported(metric: &Metric) -> Row {
    let (kind, attributes) = match &metric.data {
        MetricData::Histogram { points, .. } => (
            "histogram",
            keys(points.iter().map(|point| &point.attributes)),
        ),
        MetricData::Sum { points, monotonic } => {
            assert!(monotonic, "{}", metric.name);
            (
                "counter",
                keys(points.iter().map(|point| &point.attributes)),
            )
        }
        MetricData::Gauge { points } => {
            ("gauge", keys(points.iter().map(|point| &point.attributes)))
        }
    };
    Row {
        kind: kind.to_owned(),
        unit: metric.unit.clone().into_owned(),
        attributes,
    }
}

/// A runtime in which there is something of each kind, a failure and one name too many among it.
fn seen() -> Seen {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    Observed::new(builder).run(async {
        task::spawn(async { Err::<(), _>(std::fmt::Error) })
            .await
            .unwrap()
            .unwrap_err();
        task::spawn_blocking(|| ()).await.unwrap();
        for number in 0..4_100 {
            let name = format!("metrics table {number}");
            task::Builder::new()
                .name(&name)
                .spawn(async {})
                .await
                .unwrap();
        }
    })
}

#[test]
fn the_tables_say_of_each_metric_that_is_exported_what_it_is() {
    let documented = rows(&text());
    let seen = seen();
    let names: BTreeSet<_> = seen
        .metrics
        .iter()
        .map(|metric| metric.name.clone().into_owned())
        .collect();
    let said: BTreeSet<_> = documented.keys().cloned().collect();
    assert_eq!(said, names);
    for name in &names {
        assert_eq!(documented[name], exported(seen.metric(name)), "{name}");
    }
}

/// Each value of an attribute with few of them.
#[test]
fn the_values_of_attributes_are_named() {
    let text = text();
    let quoted: BTreeSet<&str> = text.lines().flat_map(quoted).collect();
    for metric in &seen().metrics {
        let (MetricData::Sum { points, .. } | MetricData::Gauge { points }) = &metric.data else {
            continue;
        };
        for attribute in points.iter().flat_map(|point| &point.attributes) {
            let key = attribute.key.as_str();
            if ![
                "cause", "origin", "queue", "state", "kind", "signal", "type",
            ]
            .contains(&key)
            {
                continue;
            }
            let value = attribute.value.to_string();
            assert!(quoted.contains(&*value), "{}: {key}={value}", metric.name);
        }
    }
}

#[test]
fn a_table_that_is_wrong_is_found_out() {
    let wrong = text().replace("| gauge | `{worker}`", "| counter | `{worker}`");
    assert_ne!(rows(&wrong), rows(&text()));
    assert!(rows(&text()).len() > 20);
}
