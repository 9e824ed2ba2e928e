//! What was captured, and questions about it.

use std::fmt;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::order;
use crate::otel::render::{Siblings, Snapshot, metrics_table, snapshot_tree, sort_as_tree};
use crate::otel::{Metric, MetricData, Number};

/// The output of a captured future, and what was recorded while it ran.
#[derive(Clone, Debug)]
pub struct Captured<T> {
    /// What the future returned.
    pub output: T,
    spans: Vec<SpanData>,
    metrics: Vec<Metric>,
    shown: Snapshot,
}

impl<T> Captured<T> {
    pub(super) fn new(
        output: T,
        mut spans: Vec<SpanData>,
        metrics: Vec<Metric>,
        mut shown: Snapshot,
    ) -> Captured<T> {
        if order::restore(&mut spans) && shown.siblings == Siblings::Started {
            shown.siblings = Siblings::Given;
        }
        sort_as_tree(&mut spans, &shown);
        shown.siblings = Siblings::Given;
        Captured {
            output,
            spans,
            metrics,
            shown,
        }
    }

    /// All spans as an indented tree, one line each, without durations and ids.
    ///
    /// Spans with the same parent are in the order in which they were spawned or begun. A process
    /// that was cancelled is marked by `[cancelled]`, an error is shown behind `!`. A span whose
    /// parent was not captured is a root that begins with `…`. Attributes, events and links are
    /// shown if [`Capture`](super::Capture) was told so.
    ///
    /// ```
    /// async fn load() {}
    ///
    /// let captured = telemetry_rt::testing::capture(async {
    ///     telemetry_rt::spawn(std::future::pending::<()>());
    ///     telemetry_rt::spawn(load()).await.unwrap();
    /// });
    /// assert_eq!(captured.tree(), "main\n  Pending [cancelled]\n  load\n");
    /// ```
    pub fn tree(&self) -> String {
        snapshot_tree(&self.spans, &self.shown)
    }

    /// All spans, in the order of the [`tree`](Self::tree).
    pub fn spans(&self) -> &[SpanData] {
        &self.spans
    }

    /// The one span of this name.
    ///
    /// # Panics
    ///
    /// If there is none, or several: the message shows the tree.
    #[track_caller]
    pub fn span(&self, name: &str) -> &SpanData {
        let found: Vec<&SpanData> = self.spans_named(name).collect();
        match found[..] {
            [span] => span,
            _ => panic!(
                "there are {} spans of the name {name:?}, and not one, in\n{}",
                found.len(),
                self.tree()
            ),
        }
    }

    /// All spans of this name, in the order of the [`tree`](Self::tree).
    pub fn spans_named(&self, name: &str) -> impl Iterator<Item = &SpanData> {
        self.spans.iter().filter(move |span| span.name == name)
    }

    /// An attribute of the one span of this name, if it has it.
    ///
    /// # Panics
    ///
    /// As [`span`](Self::span).
    ///
    /// ```
    /// let captured = telemetry_rt::testing::capture(async {});
    /// assert_eq!(captured.attribute("main", "task.state"), Some(&"finished".into()));
    /// assert_eq!(captured.attribute("main", "error.type"), None);
    /// ```
    #[track_caller]
    pub fn attribute(&self, span: &str, key: &str) -> Option<&Value> {
        value_of(&self.span(span).attributes, key)
    }

    /// All metrics as they were at the end, the health of the runtime (`executor.*`) included.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The metric of this name.
    ///
    /// # Panics
    ///
    /// If there is none: the message says which there are.
    #[track_caller]
    pub fn metric(&self, name: &str) -> &Metric {
        let found = self.metrics.iter().find(|metric| metric.name == name);
        found.unwrap_or_else(|| {
            let names: Vec<&str> = self.metrics.iter().map(|metric| &*metric.name).collect();
            panic!("there is no metric {name:?}, but {names:?}")
        })
    }

    /// How many processes of this name ended in this state (`finished`, `exception`, `timeout`,
    /// `cancelled`), as `process.count` says: whatever their type, sampled or not.
    pub fn count(&self, name: &str, state: &str) -> u64 {
        let MetricData::Sum { points, .. } = &self.metric("process.count").data else {
            return 0;
        };
        let is = |attributes: &[KeyValue], key: &str, value: &str| {
            value_of(attributes, key).is_some_and(|found| found.as_str() == value)
        };
        let of_these = points.iter().filter(|point| {
            is(&point.attributes, "name", name) && is(&point.attributes, "state", state)
        });
        of_these.map(|point| whole(point.value)).sum()
    }

    /// The metrics that do not depend on time and on the scheduler, as a table with aligned columns:
    /// that is `process.count`. For all of them there is
    /// [`render::metrics_table`](crate::otel::render::metrics_table).
    ///
    /// ```
    /// let captured = telemetry_rt::testing::capture(async {});
    /// assert_eq!(
    ///     captured.metrics_table(),
    ///     "process.count [{process}]               value\n\
    ///      \x20 type=future name=main state=finished      1\n"
    /// );
    /// ```
    pub fn metrics_table(&self) -> String {
        let stable = self.metrics.iter();
        let stable = stable.filter(|metric| metric.name == "process.count");
        metrics_table(&stable.cloned().collect::<Vec<_>>())
    }
}

/// The [`tree`](Captured::tree).
impl<T> fmt::Display for Captured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tree())
    }
}

fn value_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|found| found.key.as_str() == key);
    found.map(|attribute| &attribute.value)
}

/// A count of processes, which is never negative.
fn whole(number: Number) -> u64 {
    match number {
        Number::Int(number) => u64::try_from(number).unwrap_or_default(),
        Number::Float(number) => number as u64,
    }
}
