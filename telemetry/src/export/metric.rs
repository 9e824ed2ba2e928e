//! What is counted, as metrics of no particular protocol.
//!
//! All of them are cumulative since the pipeline started; an exporter that wants differences
//! subtracts what it exported last.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use opentelemetry::KeyValue;

use super::account::Dropped;
use super::exporter::Signal;
use super::period::Period;
use crate::record::{BOUNDS_NANOS, Distribution, Kind, Outcome, ProcessPoint, Recorder, Snapshot};

/// A metric and its data points.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
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
        Outcome::Failed | Outcome::TimedOut => Some(kind.error_type.unwrap_or("_OTHER")),
        Outcome::Panicked => Some("panic"),
        Outcome::Finished | Outcome::Cancelled => None,
    }
}

/// The metrics of a recorder, and of the spans that were lost on the way.
pub fn collect(recorder: &Recorder, dropped: &Dropped, start: SystemTime) -> Vec<Metric> {
    collect_all(&recorder.snapshot(), dropped, &[], Period::since(start))
}

/// How often one signal of one exporter has failed.
pub(super) struct Failures {
    pub(super) exporter: &'static str,
    pub(super) signal: Signal,
    pub(super) count: u64,
}

pub(super) fn collect_all(
    snapshot: &Snapshot,
    dropped: &Dropped,
    failures: &[Failures],
    period: Period,
) -> Vec<Metric> {
    let processes = merged(&snapshot.processes);
    let mut metrics = vec![
        period.durations(&processes),
        period.counts(&processes),
        period.dropped(dropped),
    ];
    if !failures.is_empty() {
        metrics.push(period.failures(failures));
    }
    metrics
}

/// What tells two series of processes apart. Ordered, so that exports are, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    process_type: &'static str,
    /// `None` for what exceeded the bound on names.
    name: Option<&'static str>,
    state: &'static str,
    error_type: Option<&'static str>,
}

impl Series {
    fn of(point: &ProcessPoint) -> Series {
        let kind = &point.kind;
        let name = (!kind.is_overflow()).then_some(kind.name);
        Series {
            process_type: kind.process_type.as_str(),
            name,
            state: point.outcome.state(),
            error_type: name.and_then(|_| error_type(point.outcome, kind)),
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new("type", self.process_type)];
        attributes.extend(self.name.map(|name| KeyValue::new("name", name)));
        attributes.push(KeyValue::new("state", self.state));
        attributes.extend(
            self.error_type
                .map(|error| KeyValue::new("error.type", error)),
        );
        if self.name.is_none() {
            attributes.push(KeyValue::new(OVERFLOW, true));
        }
        attributes
    }
}

/// Kinds that differ in nothing a series shows (two lines that spawn the same function) are one.
fn merged(points: &[ProcessPoint]) -> BTreeMap<Series, Distribution> {
    let mut merged: BTreeMap<Series, Distribution> = BTreeMap::new();
    for point in points {
        add(
            merged.entry(Series::of(point)).or_default(),
            &point.durations,
        );
    }
    merged
}

fn add(sum: &mut Distribution, more: &Distribution) {
    sum.count += more.count;
    sum.sum_nanos += more.sum_nanos;
    sum.min_nanos = sum.min_nanos.min(more.min_nanos);
    sum.max_nanos = sum.max_nanos.max(more.max_nanos);
    for (sum, more) in sum.buckets.iter_mut().zip(&more.buckets) {
        *sum += more;
    }
}

static BOUNDS: LazyLock<Arc<[f64]>> =
    LazyLock::new(|| BOUNDS_NANOS.iter().map(|&nanos| seconds(nanos)).collect());

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl Period {
    fn durations(&self, processes: &BTreeMap<Series, Distribution>) -> Metric {
        let points = processes
            .iter()
            .map(|(series, durations)| self.histogram(series.attributes(), durations))
            .collect();
        Metric {
            name: "process.duration".into(),
            description: "How long processes took, from spawn to end.".into(),
            unit: "s".into(),
            data: MetricData::Histogram {
                bounds: Arc::clone(&BOUNDS),
                points,
            },
        }
    }

    fn counts(&self, processes: &BTreeMap<Series, Distribution>) -> Metric {
        let points = processes
            .iter()
            .map(|(series, durations)| self.number(series.attributes(), durations.count));
        Metric {
            name: "process.count".into(),
            description: "Processes that ended.".into(),
            unit: "{process}".into(),
            data: sum(points),
        }
    }

    fn dropped(&self, dropped: &Dropped) -> Metric {
        let points = dropped
            .by_cause()
            .map(|(cause, spans)| self.number(vec![KeyValue::new("cause", cause)], spans));
        Metric {
            name: "executor.spans.dropped".into(),
            description: "Sampled spans that were lost.".into(),
            unit: "{span}".into(),
            data: sum(points),
        }
    }

    fn failures(&self, failures: &[Failures]) -> Metric {
        let points = failures.iter().map(|failed| {
            let attributes = vec![
                KeyValue::new("exporter", failed.exporter),
                KeyValue::new("signal", failed.signal.as_str()),
            ];
            self.number(attributes, failed.count)
        });
        Metric {
            name: "executor.export.failures".into(),
            description: "Exports that failed, in whole or in part.".into(),
            unit: "{export}".into(),
            data: sum(points),
        }
    }

    fn histogram(&self, attributes: Vec<KeyValue>, durations: &Distribution) -> HistogramPoint {
        let extremes = extremes(durations);
        HistogramPoint {
            attributes,
            start: self.start,
            time: self.time,
            count: durations.count,
            sum: seconds(durations.sum_nanos),
            min: extremes.map(|(min, _)| seconds(min)),
            max: extremes.map(|(_, max)| seconds(max)),
            buckets: durations.buckets.clone(),
        }
    }

    fn number(&self, attributes: Vec<KeyValue>, value: u64) -> NumberPoint {
        NumberPoint {
            attributes,
            start: self.start,
            time: self.time,
            value: value.into(),
        }
    }
}

/// The shortest and the longest. Neither is known when the snapshot was taken while the very first
/// duration was being written: it was counted already, and its length was not.
fn extremes(durations: &Distribution) -> Option<(u64, u64)> {
    let (min, max) = (durations.min_nanos, durations.max_nanos);
    (min <= max).then_some((min, max))
}

fn sum(points: impl IntoIterator<Item = NumberPoint>) -> MetricData {
    MetricData::Sum {
        monotonic: true,
        points: points.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn extremes_that_were_not_written_yet_are_not_exported() {
        let period = Period::since(UNIX_EPOCH);
        for (min_nanos, max_nanos, known) in [(u64::MAX, 0, None), (7, 0, None), (5, 9, Some(5e-9))]
        {
            let durations = Distribution {
                count: 1,
                min_nanos,
                max_nanos,
                ..Distribution::default()
            };
            let point = period.histogram(Vec::new(), &durations);
            assert_eq!((point.min, point.max.is_some()), (known, known.is_some()));
        }
    }
}
