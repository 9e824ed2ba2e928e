//! Where a pipeline hands over what it has.

use std::fmt;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::batch::SpanBatch;
use super::collect::MetricSource;
use super::metric::Metric;
use super::stop::Stop;

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// Both.
    pub const ALL: [Signal; 2] = [Signal::Traces, Signal::Metrics];

    /// `traces` or `metrics`, as in the names of environment variables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }
}

/// Takes spans and metrics out of the process.
///
/// All calls come from one thread of the pipeline, one at a time, with telemetry suppressed. An
/// exporter may block; the queue before it is bounded, and what does not fit is dropped and
/// counted. It may panic; what it held is counted as lost, and it is called again.
///
/// Each signal defaults to nothing, so that an exporter of one signal implements one method and
/// [`takes`](Exporter::takes).
pub trait Exporter: Send {
    /// What warnings call it.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Whether it wants this signal. What no exporter wants is not even recorded.
    fn takes(&self, _signal: Signal) -> bool {
        true
    }

    /// The pipeline starts; `stop` tells later that it shuts down.
    fn start(&mut self, _stop: &Stop) {}

    /// An exporter that asks for metrics itself, whenever somebody asks it, keeps the source and
    /// returns true: it is given none by [`export_metrics`](Exporter::export_metrics) then. Called
    /// once, after [`start`](Exporter::start), if it takes metrics.
    ///
    /// The source may be asked from any thread, until and after the end.
    fn pull_metrics(&mut self, _source: &MetricSource) -> bool {
        false
    }

    /// Exports spans, in whatever form they are wanted: by default in that of the SDK, by
    /// [`export_spans`](Exporter::export_spans). An exporter that keeps spans for itself implements
    /// this one, and gets them from [`SpanBatch::to_spans`] without a copy; one that passes calls on
    /// to another exporter passes this one on, too.
    ///
    /// # Errors
    ///
    /// All spans of the batch, or as many as the error says, are counted as lost.
    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.export_spans(batch.spans(), resource)
    }

    /// Exports spans in the form of the SDK.
    ///
    /// # Errors
    ///
    /// As those of [`export_batch`](Exporter::export_batch).
    fn export_spans(&mut self, _spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        Ok(())
    }

    /// Exports metrics: cumulative, all that there are.
    ///
    /// # Errors
    ///
    /// The next call brings the same metrics, brought up to date; nothing is lost by one failure.
    fn export_metrics(&mut self, _metrics: &[Metric], _: &Resource) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes out what it buffers. Called when the pipeline is flushed.
    fn flush(&mut self) {}

    /// The last call.
    fn shutdown(&mut self) {}
}

/// Why an exporter did not export.
#[derive(Clone, Debug)]
pub struct ExportError {
    message: String,
    rejected: Option<u64>,
}

impl ExportError {
    /// Nothing of the batch was exported.
    pub fn new(message: impl Into<String>) -> ExportError {
        ExportError {
            message: message.into(),
            rejected: None,
        }
    }

    /// The batch was exported but for `rejected` of its spans or data points.
    pub fn partial(rejected: u64, message: impl Into<String>) -> ExportError {
        ExportError {
            message: message.into(),
            rejected: Some(rejected),
        }
    }

    /// The same reason, for another number of spans.
    #[cfg(feature = "otlp")]
    pub(super) fn with_lost(self, lost: u64) -> ExportError {
        ExportError::partial(lost, self.message)
    }

    /// Whether some of the batch may have been exported.
    pub fn is_partial(&self) -> bool {
        self.rejected.is_some()
    }

    /// How many of a batch of this size are lost.
    pub fn lost_of(&self, batch: u64) -> u64 {
        self.rejected.map_or(batch, |rejected| rejected.min(batch))
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rejected {
            Some(rejected) => write!(f, "{rejected} rejected: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ExportError {}
