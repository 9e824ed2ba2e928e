//! The OTLP exporter without its network, to measure what is before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use super::body::BodyWriter;
use super::encode::{self, Temporality};
use crate::export::batch::SpanBatch;
use crate::export::exporter::{ExportError, Exporter};
use crate::export::metric::Metric;

/// Encodes spans and metrics as [`Otlp`](super::Otlp) does, and throws the bytes away.
///
/// For benchmarks: what telemetry costs a program, with all that is done about it within the
/// program but for sending it. Clones count together.
///
/// ```
/// use telemetry_rt_telemetry::export::{Otel, otlp::Discard};
///
/// let discard = Discard::new();
/// let otel = Otel::builder().exporter(discard.clone()).build();
/// assert!(otel.is_exporting());
/// assert_eq!((discard.spans(), discard.bytes()), (0, 0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Discard {
    seen: Arc<Seen>,
    body: Writer,
}

/// Every clone has its own.
#[derive(Debug, Default)]
struct Writer(BodyWriter);

impl Clone for Writer {
    fn clone(&self) -> Writer {
        Writer::default()
    }
}

#[derive(Debug, Default)]
struct Seen {
    spans: AtomicU64,
    bytes: AtomicU64,
}

impl Discard {
    /// Has seen nothing yet.
    pub fn new() -> Discard {
        Discard::default()
    }

    /// How many spans were encoded.
    pub fn spans(&self) -> u64 {
        self.seen.spans.load(Relaxed)
    }

    /// How many bytes they were, and those of metrics.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Relaxed)
    }
}

impl Seen {
    fn count(&self, spans: usize, bytes: usize) {
        // Relaxed, as above: numbers, and nothing else hangs on them.
        self.spans.fetch_add(spans as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl Exporter for Discard {
    fn name(&self) -> &'static str {
        "discard"
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.seen.count(batch.len(), 0);
        self.body.0.send(batch, resource, &mut |body| {
            self.seen.count(0, body.len());
            Ok(())
        })
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        self.seen.count(spans.len(), 0);
        self.body.0.send_users(spans, resource, &mut |body| {
            self.seen.count(0, body.len());
            Ok(())
        })
    }

    fn export_metrics(
        &mut self,
        metrics: &[Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        let request = encode::metrics(metrics, resource, Temporality::Cumulative);
        self.seen.count(0, request.encode_to_vec().len());
        Ok(())
    }
}
