//! Any span exporter of the OpenTelemetry SDK, as one of ours.

use futures_executor::block_on;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::batch::SpanBatch;
use super::exporter::{ExportError, Exporter, Signal};

/// Adapts a span exporter that was written for the SDK.
///
/// Its futures are polled on the pipeline's own thread, outside of any async runtime: an exporter
/// that needs one there (tonic, reqwest's async client) panics or fails, which is counted.
#[derive(Debug)]
pub struct Sdk<E> {
    exporter: E,
    knows_resource: bool,
}

impl<E: SpanExporter> Sdk<E> {
    /// Adapts `exporter`.
    pub fn new(exporter: E) -> Sdk<E> {
        Sdk {
            exporter,
            knows_resource: false,
        }
    }

    fn export(&mut self, spans: Vec<SpanData>, resource: &Resource) -> Result<(), ExportError> {
        if !self.knows_resource {
            self.exporter.set_resource(resource);
            self.knows_resource = true;
        }
        block_on(self.exporter.export(spans)).map_err(|error| ExportError::new(error.to_string()))
    }
}

impl<E: SpanExporter> Exporter for Sdk<E> {
    fn name(&self) -> &'static str {
        "sdk"
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.export(batch.to_spans(), resource)
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        self.export(spans.to_vec(), resource)
    }

    fn flush(&mut self) {
        // What it fails to flush it has accepted before; there is nothing left to count here.
        let _ = self.exporter.force_flush();
    }

    fn shutdown(&mut self) {
        let _ = self.exporter.shutdown();
    }
}
