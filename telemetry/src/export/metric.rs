//! What a metric is, in terms of no particular protocol. `collect` says which there are of ours;
//! those of users come from `meters`.
//!
//! All of them are cumulative since the pipeline started, or their instrument was made; an exporter that wants differences
//! subtracts what it exported last.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};

use crate::record::{Kind, Outcome};

/// A metric and its data points.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Who recorded it: a library, or telemetry_rt itself.
    pub scope: InstrumentationScope,
    /// Its name, such as `process.duration`.
    pub name: Cow<'static, str>,
    /// What it says, in a sentence.
    pub description: Cow<'static, str>,
    /// Its unit in UCUM: `s`, `{process}`.
    pub unit: Cow<'static, str>,
    /// The data.
    pub data: MetricData,
}

/// The data of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricData {
    /// Distributions.
    Histogram {
        /// Upper, inclusive bounds of the buckets, in the metric's unit.
        bounds: Arc<[f64]>,
        /// One for each set of attributes.
        points: Vec<HistogramPoint>,
    },
    /// Sums.
    Sum {
        /// Whether they can only rise.
        monotonic: bool,
        /// One for each set of attributes.
        points: Vec<NumberPoint>,
    },
    /// Values of the moment.
    Gauge {
        /// One for each set of attributes.
        points: Vec<NumberPoint>,
    },
}

/// A distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// What tells it from the others.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted.
    pub start: SystemTime,
    /// Until when it was counted.
    pub time: SystemTime,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest, if known for this period.
    pub min: Option<f64>,
    /// The largest, if known for this period.
    pub max: Option<f64>,
    /// How many fell into each bucket; one more than there are bounds.
    pub buckets: Vec<u64>,
    /// Some of the values, with the spans that they come from.
    pub exemplars: Vec<Exemplar>,
}

/// One of the values of a distribution, and the span that it was measured in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The value, in the metric's unit.
    pub value: f64,
    /// When it was measured.
    pub time: SystemTime,
    /// The trace of the span.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    /// What tells it from the others.
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted.
    pub start: SystemTime,
    /// Until when it was counted, or when it was read.
    pub time: SystemTime,
    /// The number.
    pub value: Number,
}

/// The value of a sum or a gauge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other.
    Float(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Number {
        Number::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The attribute that marks what exceeded the bound on names.
pub(super) const OVERFLOW: &str = "otel.metric.overflow";

/// The value of `error.type`, for a process that failed.
pub(super) fn error_type(outcome: Outcome, kind: &Kind) -> Option<&'static str> {
    match outcome {
        Outcome::Failed => Some(kind.error_type.unwrap_or("_OTHER")),
        // Not that of the kind: a future that is given to `timeout` returns something else.
        Outcome::TimedOut => Some("telemetry_rt::time::error::Elapsed"),
        Outcome::Panicked => Some("panic"),
        Outcome::Finished | Outcome::Cancelled => None,
    }
}
