//! An exporter of which one signal is wanted.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::batch::SpanBatch;
use super::collect::MetricSource;
use super::exporter::{ExportError, Exporter, Signal};
use super::metric::Metric;
use super::stop::Stop;

/// Hides all signals of an exporter but one.
#[derive(Debug)]
pub struct Only<E> {
    signal: Signal,
    exporter: E,
}

impl<E: Exporter> Only<E> {
    /// Exports only `signal` to `exporter`.
    pub fn new(signal: Signal, exporter: E) -> Only<E> {
        Only { signal, exporter }
    }
}

/// So that an exporter whose type is not known can be wrapped.
impl<E: Exporter + ?Sized> Exporter for Box<E> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn takes(&self, signal: Signal) -> bool {
        (**self).takes(signal)
    }

    fn start(&mut self, stop: &Stop) {
        (**self).start(stop);
    }

    fn pull_metrics(&mut self, source: &MetricSource) -> bool {
        (**self).pull_metrics(source)
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        (**self).export_batch(batch, resource)
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        (**self).export_spans(spans, resource)
    }

    fn export_metrics(
        &mut self,
        metrics: &[Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        (**self).export_metrics(metrics, resource)
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn shutdown(&mut self) {
        (**self).shutdown();
    }
}

impl<E: Exporter> Exporter for Only<E> {
    fn name(&self) -> &'static str {
        self.exporter.name()
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == self.signal && self.exporter.takes(signal)
    }

    fn start(&mut self, stop: &Stop) {
        self.exporter.start(stop);
    }

    fn pull_metrics(&mut self, source: &MetricSource) -> bool {
        self.exporter.pull_metrics(source)
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.exporter.export_batch(batch, resource)
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        self.exporter.export_spans(spans, resource)
    }

    fn export_metrics(
        &mut self,
        metrics: &[Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.exporter.export_metrics(metrics, resource)
    }

    fn flush(&mut self) {
        self.exporter.flush();
    }

    fn shutdown(&mut self) {
        self.exporter.shutdown();
    }
}
