//! The SDK as programs have it: a batch processor with its defaults, a periodic reader, and
//! exporters that drop what they are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use crate::runtime::Ledger;

/// Providers, and what became of their spans.
pub struct Sdk {
    pub traces: SdkTracerProvider,
    pub metrics: SdkMeterProvider,
    /// Spans begun, and spans that came to the exporter, since the last [`begin`](Self::begin).
    begun: AtomicU64,
    exported: Arc<AtomicU64>,
}

impl Sdk {
    pub fn new() -> Sdk {
        let exported = Arc::new(AtomicU64::new(0));
        let spans = NullSpans(exported.clone());
        let reader = PeriodicReader::builder(NullMetrics).build();
        Sdk {
            traces: SdkTracerProvider::builder()
                .with_batch_exporter(spans)
                .build(),
            metrics: SdkMeterProvider::builder().with_reader(reader).build(),
            begun: AtomicU64::new(0),
            exported,
        }
    }

    /// A runtime starts.
    pub fn begin(&self) {
        self.flush();
        self.begun.store(0, Relaxed);
        self.exported.store(0, Relaxed);
    }

    /// A span has begun.
    #[inline]
    pub fn count_span(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Waits until all spans that have ended are exported, or lost.
    pub fn flush(&self) {
        let flushed = self.traces.force_flush();
        flushed.expect("the null exporter does not fail");
    }

    /// What became of the spans. The processor does not say what it drops, but what it did not
    /// export it has dropped.
    pub fn ledger(&self) -> Ledger {
        self.flush();
        let (begun, exported) = (self.begun.load(Relaxed), self.exported.load(Relaxed));
        Ledger {
            processes: None,
            spans: Some(begun),
            exported,
            dropped: begun.saturating_sub(exported),
        }
    }
}

#[derive(Debug)]
struct NullSpans(Arc<AtomicU64>);

impl SpanExporter for NullSpans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.fetch_add(batch.len() as u64, Relaxed);
        Ok(())
    }
}

struct NullMetrics;

impl PushMetricExporter for NullMetrics {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
