//! What sends to the collector? Our exporter, with one fault that no collector can bring about: it
//! panics, before it has sent anything.

use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::otlp::Otlp;
use telemetry_rt::otel::{ExportError, Exporter, Metric, Signal, SpanBatch, Stop};

use super::{Mood, Shared};
use crate::load::ON_PURPOSE;

pub struct Sends {
    pub(super) otlp: Otlp,
    pub(super) shared: Arc<Shared>,
}

impl Sends {
    fn may_panic(&self) {
        if self.shared.mood() == Mood::Panics {
            panic!("{ON_PURPOSE}: panic in an exporter");
        }
    }
}

impl Exporter for Sends {
    fn name(&self) -> &'static str {
        self.otlp.name()
    }

    fn takes(&self, signal: Signal) -> bool {
        self.otlp.takes(signal)
    }

    fn start(&mut self, stop: &Stop) {
        self.otlp.start(stop);
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.may_panic();
        self.otlp.export_batch(batch, resource)
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        self.may_panic();
        self.otlp.export_spans(spans, resource)
    }

    fn export_metrics(
        &mut self,
        metrics: &[Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.may_panic();
        self.otlp.export_metrics(metrics, resource)
    }

    fn flush(&mut self) {
        self.otlp.flush();
    }

    fn shutdown(&mut self) {
        self.otlp.shutdown();
    }
}
