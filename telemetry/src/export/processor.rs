//! How users' spans join those of processes: a span processor that queues them.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::pipeline::Flusher;
use super::queue::Queue;

/// The only processor of the pipeline's tracer provider.
///
/// It never touches the current context: the API calls processors while that is borrowed.
#[derive(Debug)]
pub(super) struct Processor {
    pub(super) queue: Arc<Queue>,
    pub(super) flusher: Flusher,
}

const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        // The SDK asks the wall clock at both ends, and that may have been set back meanwhile.
        span.end_time = span.end_time.max(span.start_time);
        // The SDK also shows spans that are recorded but not sampled.
        if span.span_context.is_sampled() {
            self.queue.offer_user(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.shutdown_with_timeout(FLUSH_TIMEOUT)
    }

    /// Flushes. The pipeline is shut down by its owner, not by the last drop of a tracer, and
    /// once that is done there is nothing left to flush.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match self.flusher.flush(timeout) {
            true => Ok(()),
            false => Err(OTelSdkError::Timeout(timeout)),
        }
    }
}
