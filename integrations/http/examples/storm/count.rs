//! What is counted of the server, beside its own metrics: by an exporter, a hook of the
//! instrumentation, and a layer below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::Resource;
use telemetry_rt::otel::{ExportError, Exporter, Metric, MetricData, Number, Signal, SpanBatch};

/// Totals since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests for which the instrumentation made a span.
    pub began: AtomicU64,
    /// Of these, those that reached the routes.
    pub routed: AtomicU64,
    /// Of these, those whose future is gone again.
    pub left: AtomicU64,
    /// Spans of kind SERVER that were exported, and all others.
    pub servers: AtomicU64,
    pub others: AtomicU64,
}

impl Counts {
    pub fn begin(&self) {
        self.began.fetch_add(1, Relaxed);
    }
}

/// The layer below the instrumentation.
pub async fn count(State(counts): State<Arc<Counts>>, request: Request, next: Next) -> Response {
    counts.routed.fetch_add(1, Relaxed);
    let _leaving = Leaving(counts);
    next.run(request).await
}

struct Leaving(Arc<Counts>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Relaxed);
    }
}

/// Exports nothing, but counts.
pub struct CountingExporter(pub Arc<Counts>);

impl Exporter for CountingExporter {
    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_batch(&mut self, batch: &mut SpanBatch<'_>, _: &Resource) -> Result<(), ExportError> {
        let kinds = batch.spans().iter().map(|span| &span.span_kind);
        let servers = kinds.filter(|kind| **kind == SpanKind::Server).count();
        let others = batch.len() - servers;
        self.0.servers.fetch_add(servers as u64, Relaxed);
        self.0.others.fetch_add(others as u64, Relaxed);
        Ok(())
    }
}

/// The sum of all points of a sum, or the number of all values of a histogram.
pub fn total(metrics: &[Metric], name: &str) -> i64 {
    by_attribute(metrics, name, "")
        .iter()
        .map(|(_, sum)| sum)
        .sum()
}

/// The same for each value of an attribute; points without it are counted under no name.
pub fn by_attribute(metrics: &[Metric], name: &str, key: &str) -> Vec<(String, i64)> {
    let mut sums = std::collections::BTreeMap::new();
    for metric in metrics.iter().filter(|metric| metric.name == name) {
        for (attributes, value) in points(&metric.data) {
            let attribute = attributes.iter().find(|pair| pair.key.as_str() == key);
            let value_of = attribute.map_or_else(String::new, |pair| pair.value.to_string());
            *sums.entry(value_of).or_default() += value;
        }
    }
    sums.into_iter().collect()
}

fn points(data: &MetricData) -> Vec<(&[opentelemetry::KeyValue], i64)> {
    match data {
        MetricData::Histogram { points, .. } => points
            .iter()
            .map(|point| (&point.attributes[..], point.count as i64))
            .collect(),
        MetricData::Sum { points, .. } | MetricData::Gauge { points } => points
            .iter()
            .map(|point| (&point.attributes[..], whole(point.value)))
            .collect(),
    }
}

fn whole(number: Number) -> i64 {
    match number {
        Number::Int(number) => number,
        Number::Float(number) => number as i64,
    }
}
