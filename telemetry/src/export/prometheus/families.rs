//! Metrics of one name, from whatever scopes: Prometheus wants them together, with one head.
//!
//! Two libraries may have a metric of the same name, and their series are told apart by the labels
//! of the scope. If they are not of the same kind, the later ones have no place in the family, and
//! a warning says so, once. So it is with one that is called as the samples of another are: a gauge
//! `orders_total` beside a counter `orders`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::names;
use crate::export::diagnostics::warn;
use crate::export::metric::{Metric, MetricData};

/// What Prometheus calls a kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn of(data: &MetricData) -> Kind {
        match data {
            MetricData::Histogram { .. } => Kind::Histogram,
            MetricData::Sum {
                monotonic: true, ..
            } => Kind::Counter,
            MetricData::Sum { .. } | MetricData::Gauge { .. } => Kind::Gauge,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What is added to the names of samples, and to none of them.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter => &["", "_total", "_created"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        }
    }
}

/// Metrics of one name, unit and kind; one at the least, each with points.
pub(super) struct Family<'a> {
    pub(super) name: String,
    pub(super) unit: Option<String>,
    pub(super) kind: Kind,
    pub(super) metrics: Vec<&'a Metric>,
}

/// What the page has of its own: what is known of the program.
const TARGET: [&str; 2] = ["target", "target_info"];

/// All metrics that have points, each family where its first metric is.
pub(super) fn families(metrics: &[Metric]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for metric in metrics.iter().filter(|metric| !is_empty(&metric.data)) {
        let family = Family::of(metric);
        let names = family.names();
        if names.iter().any(|name| TARGET.contains(&&**name)) {
            warn_of_conflict(&family, "target_info", "info");
            continue;
        }
        match names.iter().find_map(|name| taken.get(name)) {
            Some(&place) => families[place].join(family),
            None => {
                taken.extend(names.into_iter().map(|name| (name, families.len())));
                families.push(family);
            }
        }
    }
    families
}

fn is_empty(data: &MetricData) -> bool {
    match data {
        MetricData::Histogram { points, .. } => points.is_empty(),
        MetricData::Sum { points, .. } | MetricData::Gauge { points } => points.is_empty(),
    }
}

impl<'a> Family<'a> {
    fn of(metric: &'a Metric) -> Family<'a> {
        let kind = Kind::of(&metric.data);
        let unit = names::unit(&metric.unit, kind == Kind::Gauge);
        Family {
            name: names::family(&metric.name, unit.as_deref(), kind == Kind::Counter),
            unit,
            kind,
            metrics: vec![metric],
        }
    }

    /// All that its samples may be called, its own name first.
    fn names(&self) -> Vec<String> {
        let suffixes = self.kind.suffixes().iter();
        suffixes
            .map(|suffix| format!("{}{suffix}", self.name))
            .collect()
    }

    fn join(&mut self, other: Family<'a>) {
        match self.kind == other.kind && self.name == other.name {
            true => self.metrics.extend(other.metrics),
            false => warn_of_conflict(&other, &self.name, self.kind.as_str()),
        }
    }
}

fn warn_of_conflict(family: &Family<'_>, taken: &str, by: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // Relaxed: it only keeps the warning from being said twice.
    if !TOLD.swap(true, Ordering::Relaxed) {
        warn(format_args!(
            "exporter prometheus: {} of the scope {:?}, a {}, is called as {taken} is, a {by}: it \
             is not shown; the same goes for others like it, and is said once",
            family.name,
            family.metrics[0].scope.name(),
            family.kind.as_str(),
        ));
    }
}
