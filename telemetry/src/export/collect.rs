//! Which metrics there are, and who may ask for them.
//!
//! The exporting thread asks when metrics are due, a scrape asks when it comes: both get the same
//! totals, read off the counters at that moment. Asking changes nothing, so no number of readers
//! counts anything twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use parking_lot::Mutex;

use super::account::{Account, Dropped};
use super::exemplars::{ByDecade, Exemplars};
use super::exporter::Signal;
use super::health::add_health;
use super::meters::Meters;
use super::metric::{
    Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, OVERFLOW, error_type,
};
use super::otel::Otel;
use super::period::{Period, Periods};
use super::queue::Queue;
use super::rising::Rising;
use super::span_data::scope;
use crate::record::{BOUNDS_NANOS, Distribution, HealthSnapshot, ProcessPoint, Recorder, Snapshot};

/// The metrics of a recorder, and of the spans that were lost on the way; none of users.
pub fn collect(recorder: &Recorder, dropped: &Dropped, start: SystemTime) -> Vec<Metric> {
    let facts = Facts {
        snapshot: recorder.snapshot(),
        health: recorder.health(),
        dropped: *dropped,
        failures: Vec::new(),
        exemplars: None,
    };
    facts.metrics(Period::since(start))
}

/// Where the metrics of a pipeline are to be had, from any thread and at any time.
///
/// Clones ask the same pipeline. After its end the metrics stay as they were.
#[derive(Clone)]
pub struct MetricSource {
    recorder: Recorder,
    books: Arc<Books>,
}

/// What metrics are made of, beside what the recorder has. Without the recorder, so that it can be
/// attached to that.
pub(super) struct Books {
    /// None without a pipeline.
    queue: Option<Arc<Queue>>,
    resource: Resource,
    exemplars: Exemplars,
    meters: Meters,
    failures: Mutex<Vec<Failures>>,
    /// Held while metrics are collected: one after the other, so that totals rise from each to
    /// the next.
    last: Mutex<Last>,
}

/// What the metrics before were, as far as the next ones must fit to them.
struct Last {
    periods: Periods,
    rising: Rising,
}

/// How often one signal of one exporter has failed.
#[derive(Clone)]
pub(super) struct Failures {
    exporter: &'static str,
    signal: Signal,
    count: Arc<AtomicU64>,
}

impl MetricSource {
    pub(super) fn new(recorder: Recorder, books: Arc<Books>) -> MetricSource {
        MetricSource { recorder, books }
    }

    /// All metrics as they are now, cumulative: those of the runtime, then those of users.
    ///
    /// Cost: runs the callbacks of users' observable instruments, then reads the counters of all
    /// kinds of processes on all workers, which is some 100 ns for each, and users' series, which is
    /// some 300 ns for each, under a lock that only other callers wait for. No lock is held while a
    /// callback runs; one that panics is a warning.
    pub fn collect(&self) -> Vec<Metric> {
        let _quiet = Context::enter_telemetry_suppressed_scope();
        let books = &*self.books;
        books.meters.observe();
        let mut last = books.last.lock();
        let snapshot = self.recorder.snapshot();
        let facts = Facts {
            dropped: books.dropped(&self.recorder, &snapshot),
            snapshot,
            health: self.recorder.health(),
            failures: books.failures.lock().clone(),
            exemplars: Some(&books.exemplars),
        };
        let period = last.periods.until_now();
        let mut metrics = facts.metrics(period);
        last.rising.hold(&mut metrics);
        metrics.extend(books.meters.collect(period));
        metrics
    }

    /// What is said about the program itself.
    pub fn resource(&self) -> &Resource {
        &self.books.resource
    }

    pub(super) fn exemplars(&self) -> &Exemplars {
        &self.books.exemplars
    }

    /// From now on it is told how often this signal of this exporter has failed.
    pub(super) fn count_failures(&self, exporter: &'static str, signal: Signal) -> Failures {
        let failures = Failures {
            exporter,
            signal,
            count: Arc::default(),
        };
        self.books.failures.lock().push(failures.clone());
        failures
    }
}

impl Books {
    pub(super) fn of(otel: &Otel, queue: Option<Arc<Queue>>) -> Books {
        Books {
            queue,
            resource: otel.resource.clone(),
            exemplars: Exemplars::new(otel.exemplars),
            meters: Meters::of(otel),
            failures: Mutex::default(),
            last: Mutex::new(Last {
                periods: Periods::start(),
                rising: Rising::default(),
            }),
        }
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.meters
    }

    fn dropped(&self, recorder: &Recorder, snapshot: &Snapshot) -> Dropped {
        let Some(queue) = &self.queue else {
            return Dropped::default();
        };
        let in_rings = recorder.waiting_spans() as u64;
        let account = Account::sum(queue.standing(), in_rings, snapshot.dropped_spans);
        account.dropped
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MetricSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricSource").finish_non_exhaustive()
    }
}

impl Failures {
    /// One more.
    pub(super) fn add(&self) {
        // Relaxed, as everywhere here: a number, and nothing else hangs on it.
        self.count.fetch_add(1, Relaxed);
    }
}

/// Everything that metrics are made of, read at one moment.
struct Facts<'a> {
    snapshot: Snapshot,
    health: HealthSnapshot,
    dropped: Dropped,
    failures: Vec<Failures>,
    exemplars: Option<&'a Exemplars>,
}

impl Facts<'_> {
    /// Each function adds the metrics of one subject.
    fn metrics(&self, period: Period) -> Vec<Metric> {
        let mut metrics = Vec::new();
        self.processes(period, &mut metrics);
        self.lost_spans(period, &mut metrics);
        self.failed_exports(period, &mut metrics);
        add_health(&self.health, period, &mut metrics);
        metrics
    }

    fn processes(&self, period: Period, metrics: &mut Vec<Metric>) {
        let processes = self.merged();
        let durations = processes.iter();
        let durations = durations.map(|(series, merged)| period.histogram(series, merged));
        metrics.push(metric(
            "process.duration",
            "How long processes took, from spawn to end.",
            "s",
            MetricData::Histogram {
                bounds: Arc::clone(&BOUNDS),
                points: durations.collect(),
            },
        ));
        let counts = processes.iter();
        let counts = counts.map(|(series, merged)| (series.attributes(), merged.durations.count));
        metrics.push(period.counter(
            "process.count",
            "Processes that ended.",
            "{process}",
            counts,
        ));
    }

    fn lost_spans(&self, period: Period, metrics: &mut Vec<Metric>) {
        let by_cause = self.dropped.by_cause();
        metrics.push(period.counter(
            "executor.spans.dropped",
            "Sampled spans that were lost.",
            "{span}",
            by_cause.map(|(cause, spans)| (vec![KeyValue::new("cause", cause)], spans)),
        ));
    }

    fn failed_exports(&self, period: Period, metrics: &mut Vec<Metric>) {
        if self.failures.is_empty() {
            return;
        }
        let points = self.failures.iter().map(|failed| {
            let attributes = vec![
                KeyValue::new("exporter", failed.exporter),
                KeyValue::new("signal", failed.signal.as_str()),
            ];
            (attributes, failed.count.load(Relaxed))
        });
        metrics.push(period.counter(
            "executor.export.failures",
            "Exports that failed, in whole or in part.",
            "{export}",
            points,
        ));
    }

    /// Kinds that differ in nothing a series shows (two lines that spawn the same function) are
    /// one.
    fn merged(&self) -> BTreeMap<Series, Merged> {
        let mut merged: BTreeMap<Series, Merged> = BTreeMap::new();
        for point in &self.snapshot.processes {
            let series = merged.entry(Series::of(point)).or_default();
            series.durations.add(&point.durations);
            if let Some(exemplars) = self.exemplars {
                exemplars.add_to(&mut series.exemplars, point.kind.index, point.outcome);
            }
        }
        merged
    }
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

/// What is known of the processes of one series.
#[derive(Default)]
struct Merged {
    durations: Distribution,
    exemplars: ByDecade,
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

pub(super) static BOUNDS: LazyLock<Arc<[f64]>> =
    LazyLock::new(|| BOUNDS_NANOS.iter().map(|&nanos| seconds(nanos)).collect());

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl Period {
    fn histogram(&self, series: &Series, merged: &Merged) -> HistogramPoint {
        let exemplars = merged.exemplars.iter().flatten().copied().collect();
        self.distribution(series.attributes(), &merged.durations, exemplars)
    }

    pub(super) fn distribution(
        &self,
        attributes: Vec<KeyValue>,
        durations: &Distribution,
        exemplars: Vec<Exemplar>,
    ) -> HistogramPoint {
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
            exemplars,
        }
    }

    /// Whole numbers of the moment.
    pub(super) fn gauge(
        &self,
        name: &'static str,
        description: &'static str,
        unit: &'static str,
        points: impl IntoIterator<Item = (Vec<KeyValue>, u64)>,
    ) -> Metric {
        let points = self.numbers(points);
        metric(name, description, unit, MetricData::Gauge { points })
    }

    fn numbers(&self, points: impl IntoIterator<Item = (Vec<KeyValue>, u64)>) -> Vec<NumberPoint> {
        let points = points.into_iter();
        let points = points.map(|(attributes, value)| NumberPoint {
            attributes,
            start: self.start,
            time: self.time,
            value: value.into(),
        });
        points.collect()
    }

    /// A sum of whole numbers that only rises.
    pub(super) fn counter(
        &self,
        name: &'static str,
        description: &'static str,
        unit: &'static str,
        points: impl IntoIterator<Item = (Vec<KeyValue>, u64)>,
    ) -> Metric {
        let data = MetricData::Sum {
            monotonic: true,
            points: self.numbers(points),
        };
        metric(name, description, unit, data)
    }
}

pub(super) fn metric(
    name: &'static str,
    description: &'static str,
    unit: &'static str,
    data: MetricData,
) -> Metric {
    Metric {
        scope: scope(),
        name: name.into(),
        description: description.into(),
        unit: unit.into(),
        data,
    }
}

/// The shortest and the longest. Neither is known when the snapshot was taken while the very first
/// duration was being written: it was counted already, and its length was not.
fn extremes(durations: &Distribution) -> Option<(u64, u64)> {
    let (min, max) = (durations.min_nanos, durations.max_nanos);
    (min <= max).then_some((min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_that_were_not_written_yet_are_not_exported() {
        for (min_nanos, max_nanos, known) in
            [(u64::MAX, 0, None), (7, 0, None), (5, 9, Some((5, 9)))]
        {
            let durations = Distribution {
                count: 1,
                min_nanos,
                max_nanos,
                ..Distribution::default()
            };
            assert_eq!(extremes(&durations), known);
        }
    }
}
