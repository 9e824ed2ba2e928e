//! An exporter for tests: it keeps what it is given.

use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::batch::SpanBatch;
use super::exporter::{ExportError, Exporter};
use super::metric::Metric;

/// Keeps spans and metrics in memory. Clones share what they keep, so that a test keeps one and
/// gives the other to the pipeline.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<SpanData>,
    metrics: Vec<Metric>,
}

impl InMemory {
    /// Keeps nothing yet.
    pub fn new() -> InMemory {
        InMemory::default()
    }

    /// All spans so far, in the order they were exported.
    pub fn spans(&self) -> Vec<SpanData> {
        self.kept.lock().spans.clone()
    }

    /// The metrics that were exported last.
    pub fn metrics(&self) -> Vec<Metric> {
        self.kept.lock().metrics.clone()
    }

    /// Forgets everything.
    pub fn reset(&self) {
        *self.kept.lock() = Kept::default();
    }
}

impl Exporter for InMemory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn export_batch(&mut self, batch: &mut SpanBatch<'_>, _: &Resource) -> Result<(), ExportError> {
        let spans = batch.to_spans();
        self.kept.lock().spans.extend(spans);
        Ok(())
    }

    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        self.kept.lock().spans.extend_from_slice(spans);
        Ok(())
    }

    fn export_metrics(&mut self, metrics: &[Metric], _: &Resource) -> Result<(), ExportError> {
        self.kept.lock().metrics = metrics.to_vec();
        Ok(())
    }
}
