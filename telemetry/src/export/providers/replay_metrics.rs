//! Metrics of a runtime in an application's own `MeterProvider`.
//!
//! Workers count; the provider's readers collect when they like. When one begins to, it calls the
//! callbacks of observable instruments, before it reads anything. So there is one such instrument
//! ([`HOOK`]) that never has a value and is never exported: its callback brings all others up to
//! date, by the difference between what was counted and what was told.
//!
//! 1. Every reader sees the same numbers, because the provider passes what is recorded to all of
//!    its readers; and exact ones, because each begins with the callback.
//! 2. Differences add up: two runtimes on one provider, at a time or one after the other, are
//!    summed, and no sum ever falls.
//! 3. Histograms get values that were made up so that they show the right counts, extremes and
//!    sum: `spread` says how, and how right.
//! 4. The callback outlives the pipeline, because nothing can be unregistered. It keeps what was
//!    counted alive, but no thread, and answers with the last numbers for as long as it is asked.
//!
//! # Locks
//!
//! The provider holds locks of its own during a callback: a thread in a callback may take
//! [`Feed::instruments`], and a thread that holds that may record. Nothing else is done under it;
//! above all no instrument is made, which takes those locks of the provider. Metrics that appear
//! after the start therefore get theirs on a thread that lives for just that long.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use parking_lot::Mutex;

use super::budget::{Budget, Pace};
use super::spread::Spread;
use crate::export::collect::MetricSource;
use crate::export::diagnostics::warn;
use crate::export::metric::{HistogramPoint, Metric, MetricData, Number, NumberPoint};
use crate::export::span_data::scope;

/// The instrument whose callback says that a reader collects. It has no values.
const HOOK: &str = "executor.collections";

/// How many values of histograms one collection records at most; what is left comes with the next,
/// and [`Budget`] says of which histogram.
///
/// One takes 0.1 to 0.2 µs on the reader's thread, so that this is two to three seconds. A program
/// which for ever polls more often between two collections should export by our own exporters, to
/// whom it makes no difference.
const MOST_VALUES: u64 = 16_000_000;

/// Any meter provider.
/// Shared with the meters of users, which hold it no longer than the feed does.
pub(in crate::export) type SharedMeterProvider = Arc<dyn MeterProvider + Send + Sync>;

/// Keeps new metrics coming into a provider, and the provider alive.
pub(in crate::export) struct MeterFeed {
    /// The feed has but a weak one: the provider holds the callback, and that the feed.
    _meter: Arc<Meter>,
    /// Last, so that the instruments are there while it shuts down.
    _provider: SharedMeterProvider,
}

impl std::fmt::Debug for MeterFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeterFeed")
    }
}

impl MeterFeed {
    pub(in crate::export) fn start(
        provider: SharedMeterProvider,
        source: MetricSource,
    ) -> MeterFeed {
        let meter = Arc::new(provider.meter_with_scope(scope()));
        let feed = Arc::new(Feed {
            instruments: Mutex::default(),
            source,
            meter: Arc::downgrade(&meter),
            process: std::process::id(),
            has_panicked: AtomicBool::new(false),
        });
        feed.add_instruments(&feed.source.collect());
        // The provider keeps the callback; the instrument is nothing.
        let _ = meter
            .u64_observable_counter(HOOK)
            .with_callback(move |_| feed.collected())
            .build();
        MeterFeed {
            _meter: meter,
            _provider: provider,
        }
    }
}

/// What the callback has.
struct Feed {
    instruments: Mutex<Instruments>,
    source: MetricSource,
    meter: Weak<Meter>,
    process: u32,
    has_panicked: AtomicBool,
}

#[derive(Default)]
struct Instruments {
    by_name: HashMap<Cow<'static, str>, Instrument>,
    /// Whether histograms were behind after the last collection.
    behind: bool,
}

impl Feed {
    /// A reader collects. A panic here would end its thread.
    fn collected(self: &Arc<Feed>) {
        // A forked child has the numbers of its parent, and locks that nobody may ever release.
        if std::process::id() != self.process {
            return;
        }
        let told = catch_unwind(AssertUnwindSafe(|| self.tell()));
        // Relaxed: it only keeps the warning from being said twice.
        if told.is_err() && !self.has_panicked.swap(true, Ordering::Relaxed) {
            warn(format_args!(
                "metrics could not be told to the meter provider: it panicked; this is said once"
            ));
        }
    }

    fn tell(self: &Arc<Feed>) {
        let mut instruments = self.instruments.lock();
        // Read under the lock: of two readers, the second must not tell older numbers.
        let told = instruments.tell(self.source.collect(), MOST_VALUES);
        drop(instruments);
        if let Some(warning) = told.warning(self.is_over()) {
            warn(format_args!("{warning}"));
        }
        if !told.unknown.is_empty() {
            self.add_later(told.unknown);
        }
    }

    /// Whether the runtime has ended. Each collection from then on may be the last.
    fn is_over(&self) -> bool {
        self.meter.strong_count() == 0
    }

    /// On a thread of its own, which waits until the collection is over.
    fn add_later(self: &Arc<Feed>, metrics: Vec<Metric>) {
        let feed = Arc::clone(self);
        let thread = thread::Builder::new().name("rt-instruments".to_owned());
        // If there is no thread to be had, the next collection tries again.
        let _ = thread.spawn(move || feed.add_instruments(&metrics));
    }

    /// Makes the instruments of these metrics. Not to be called by a callback.
    fn add_instruments(&self, metrics: &[Metric]) {
        let Some(meter) = self.meter.upgrade() else {
            return;
        };
        for metric in metrics {
            let instrument = Instrument::new(&meter, metric);
            let mut instruments = self.instruments.lock();
            let name = metric.name.clone();
            instruments.by_name.entry(name).or_insert(instrument);
        }
    }
}

/// What a collection has left untold.
struct Told {
    /// Metrics that have no instrument yet.
    unknown: Vec<Metric>,
    /// Values of histograms for which there was no room.
    behind: u64,
    is_newly_behind: bool,
}

impl Instruments {
    /// Brings all instruments up to date, as far as `room` values of histograms go.
    fn tell(&mut self, metrics: Vec<Metric>, room: u64) -> Told {
        let is_known = |metric: &Metric| self.by_name.contains_key(&metric.name);
        let (known, unknown): (Vec<Metric>, Vec<Metric>) = metrics.into_iter().partition(is_known);
        let behind = known.iter().map(|metric| {
            (
                Pace::of(&metric.name),
                self.by_name[&metric.name].behind(metric),
            )
        });
        let budget = Budget::new(room, behind);
        let behind = known.iter().map(|metric| {
            let instrument = self.by_name.get_mut(&metric.name);
            instrument.map_or(0, |instrument| instrument.tell(metric, &budget))
        });
        let behind = behind.sum();
        let was_behind = std::mem::replace(&mut self.behind, behind > 0);
        Told {
            unknown,
            behind,
            is_newly_behind: behind > 0 && !was_behind,
        }
    }
}

impl Told {
    /// What there is to say: when histograms fall behind, and after each collection that may have
    /// been the last.
    fn warning(&self, is_over: bool) -> Option<String> {
        let behind = self.behind;
        let (is_lost, is_news) = (is_over && behind > 0, self.is_newly_behind);
        match (is_lost, is_news) {
            (true, _) => Some(format!(
                "the runtime has ended, and histograms in the meter provider are {behind} values \
                 behind: these are lost unless its readers collect once more"
            )),
            (false, true) => Some(format!(
                "histograms in the meter provider are {behind} values behind: there were more \
                 processes and polls between two collections than are recorded at once; let its \
                 readers collect more often, or export metrics by an exporter of the runtime"
            )),
            (false, false) => None,
        }
    }
}

/// What an instrument is called with.
type Tell<N> = Box<dyn Fn(N, &[KeyValue]) + Send + Sync>;

/// The instrument of a metric, with what it was told of each series.
enum Instrument {
    Whole(Sum<i64>),
    Float(Sum<f64>),
    Gauge(Tell<Number>),
    Histogram {
        histogram: Histogram<f64>,
        bounds: Arc<[f64]>,
        told: HashMap<Vec<KeyValue>, Spread>,
    },
}

/// A sum, told by differences.
struct Sum<N> {
    add: Tell<N>,
    monotonic: bool,
    told: HashMap<Vec<KeyValue>, N>,
}

impl Instrument {
    fn new(meter: &Meter, metric: &Metric) -> Instrument {
        match &metric.data {
            MetricData::Histogram { bounds, .. } => Instrument::Histogram {
                histogram: histogram(meter, metric, bounds),
                bounds: Arc::clone(bounds),
                told: HashMap::new(),
            },
            MetricData::Sum { monotonic, points } => match is_whole(metric, points) {
                true => Instrument::Whole(Sum::whole(meter, metric, *monotonic)),
                false => Instrument::Float(Sum::float(meter, metric, *monotonic)),
            },
            MetricData::Gauge { points } => Instrument::Gauge(gauge(meter, metric, points)),
        }
    }

    /// How many values a histogram does not know yet.
    fn behind(&self, metric: &Metric) -> u64 {
        let (Instrument::Histogram { bounds, told, .. }, MetricData::Histogram { points, .. }) =
            (self, &metric.data)
        else {
            return 0;
        };
        let behind = points
            .iter()
            .map(|point| match told.get(&point.attributes) {
                Some(spread) => spread.behind(point),
                None => Spread::nothing(bounds).behind(point),
            });
        behind.sum()
    }

    /// Tells the instrument what it does not know yet; of a histogram what there is room for, and
    /// returns how many values there was none for.
    fn tell(&mut self, metric: &Metric, budget: &Budget) -> u64 {
        match (self, &metric.data) {
            (Instrument::Whole(sum), MetricData::Sum { points, .. }) => sum.tell(points, whole),
            (Instrument::Float(sum), MetricData::Sum { points, .. }) => sum.tell(points, float),
            (Instrument::Gauge(record), MetricData::Gauge { points }) => {
                points
                    .iter()
                    .for_each(|point| record(point.value, &point.attributes));
            }
            (
                Instrument::Histogram {
                    histogram,
                    bounds,
                    told,
                },
                MetricData::Histogram { points, .. },
            ) => {
                let behind = points.iter().map(|point| {
                    let spread = of_series(told, &point.attributes, || Spread::nothing(bounds));
                    let room = budget.of(Pace::of(&metric.name), spread.behind(point));
                    replay(histogram, spread, bounds, point, room)
                });
                return behind.sum();
            }
            // A metric that has changed its kind: there is no instrument for both.
            _ => {}
        }
        0
    }
}

/// Records what is missing of a series, and returns how many values there was no room for.
fn replay(
    histogram: &Histogram<f64>,
    spread: &mut Spread,
    bounds: &[f64],
    point: &HistogramPoint,
    room: u64,
) -> u64 {
    for (value, times) in spread.catch_up(bounds, point, room) {
        for _ in 0..times {
            histogram.record(value, &point.attributes);
        }
    }
    spread.behind(point)
}

/// What was told of the series with these attributes. The list is copied once.
fn of_series<'a, T>(
    told: &'a mut HashMap<Vec<KeyValue>, T>,
    attributes: &[KeyValue],
    new: impl FnOnce() -> T,
) -> &'a mut T {
    if !told.contains_key(attributes) {
        told.insert(attributes.to_vec(), new());
    }
    told.get_mut(attributes).expect("it was put there just now")
}

impl<N> Sum<N>
where
    N: Copy + Default + PartialOrd + std::ops::Sub<Output = N> + std::ops::AddAssign,
{
    fn tell(&mut self, points: &[NumberPoint], number: fn(Number) -> N) {
        for point in points {
            let is_new = !self.told.contains_key(&point.attributes[..]);
            let told = of_series(&mut self.told, &point.attributes, N::default);
            let more = number(point.value) - *told;
            let falls = self.monotonic && more < N::default();
            // A series is told of when it is new, though it be zero.
            if !falls && (is_new || more != N::default()) {
                *told += more;
                (self.add)(more, &point.attributes);
            }
        }
    }
}

impl Sum<i64> {
    fn whole(meter: &Meter, metric: &Metric, monotonic: bool) -> Sum<i64> {
        let (name, about, unit) = words(metric);
        let add: Tell<i64> = if monotonic {
            let counter = meter.u64_counter(name);
            let counter = counter.with_description(about).with_unit(unit).build();
            Box::new(move |more, attributes| counter.add(more.unsigned_abs(), attributes))
        } else {
            let counter = meter.i64_up_down_counter(name);
            let counter = counter.with_description(about).with_unit(unit).build();
            Box::new(move |more, attributes| counter.add(more, attributes))
        };
        Sum {
            add,
            monotonic,
            told: HashMap::new(),
        }
    }
}

impl Sum<f64> {
    fn float(meter: &Meter, metric: &Metric, monotonic: bool) -> Sum<f64> {
        let (name, about, unit) = words(metric);
        let add: Tell<f64> = if monotonic {
            let counter = meter.f64_counter(name);
            let counter = counter.with_description(about).with_unit(unit).build();
            Box::new(move |more, attributes| counter.add(more, attributes))
        } else {
            let counter = meter.f64_up_down_counter(name);
            let counter = counter.with_description(about).with_unit(unit).build();
            Box::new(move |more, attributes| counter.add(more, attributes))
        };
        Sum {
            add,
            monotonic,
            told: HashMap::new(),
        }
    }
}

fn histogram(meter: &Meter, metric: &Metric, bounds: &[f64]) -> Histogram<f64> {
    let (name, about, unit) = words(metric);
    let histogram = meter.f64_histogram(name).with_description(about);
    let histogram = histogram.with_unit(unit).with_boundaries(bounds.to_vec());
    histogram.build()
}

fn gauge(meter: &Meter, metric: &Metric, points: &[NumberPoint]) -> Tell<Number> {
    let (name, about, unit) = words(metric);
    if is_whole(metric, points) {
        let gauge = meter.i64_gauge(name).with_description(about);
        let gauge = gauge.with_unit(unit).build();
        Box::new(move |value, attributes| gauge.record(whole(value), attributes))
    } else {
        let gauge = meter.f64_gauge(name).with_description(about);
        let gauge = gauge.with_unit(unit).build();
        Box::new(move |value, attributes| gauge.record(float(value), attributes))
    }
}

type Words = (Cow<'static, str>, Cow<'static, str>, Cow<'static, str>);

fn words(metric: &Metric) -> Words {
    (
        metric.name.clone(),
        metric.description.clone(),
        metric.unit.clone(),
    )
}

/// Whether a metric has whole numbers. One that has no points yet is judged by its unit: what is
/// measured in seconds, or as a part of one, has fractions, what is counted has none.
fn is_whole(metric: &Metric, points: &[NumberPoint]) -> bool {
    match points.first().map(|point| point.value) {
        Some(number) => matches!(number, Number::Int(_)),
        None => !matches!(&*metric.unit, "s" | "1"),
    }
}

fn whole(number: Number) -> i64 {
    match number {
        Number::Int(number) => number,
        Number::Float(number) => number.round() as i64,
    }
}

fn float(number: Number) -> f64 {
    match number {
        Number::Int(number) => number as f64,
        Number::Float(number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Otel;
    use crate::export::collect::Books;
    use crate::record::{Config, Recorder};
    use opentelemetry::metrics::noop::NoopMeterProvider;
    use std::time::UNIX_EPOCH;
    use telemetry_rt_clock::instant;

    #[test]
    fn metrics_that_appear_after_the_start_get_their_instruments_later() {
        let source = MetricSource::new(
            Recorder::new(Config::default()),
            Arc::new(Books::of(&Otel::disabled(), None)),
        );
        let names = source.collect().len();
        let meter = Arc::new(NoopMeterProvider::new().meter("test"));
        let feed = Arc::new(Feed {
            instruments: Mutex::default(),
            source,
            meter: Arc::downgrade(&meter),
            process: std::process::id(),
            has_panicked: AtomicBool::new(false),
        });
        feed.collected();
        let deadline = instant() + std::time::Duration::from_secs(20);
        while feed.instruments.lock().by_name.len() < names {
            assert!(instant() < deadline, "no thread has made them");
            thread::yield_now();
        }
    }

    /// A histogram with so many values in its first bucket, all of them 0.5.
    fn counted(name: &'static str, count: u64) -> Metric {
        let point = HistogramPoint {
            attributes: Vec::new(),
            start: UNIX_EPOCH,
            time: UNIX_EPOCH,
            count,
            sum: count as f64 / 2.0,
            min: Some(0.5),
            max: Some(0.5),
            buckets: vec![count, 0],
            exemplars: Vec::new(),
        };
        Metric {
            scope: scope(),
            name: name.into(),
            description: "".into(),
            unit: "s".into(),
            data: MetricData::Histogram {
                bounds: Arc::new([1.0]),
                points: vec![point],
            },
        }
    }

    #[test]
    fn histograms_of_polls_do_not_starve_those_of_processes_whatever_comes_first() {
        let metrics = || {
            vec![
                counted("executor.poll.duration", 900),
                counted("executor.schedule.delay", 900),
                counted("process.duration", 100),
            ]
        };
        let meter = NoopMeterProvider::new().meter("test");
        let mut instruments = Instruments::default();
        for metric in metrics() {
            let instrument = Instrument::new(&meter, &metric);
            instruments.by_name.insert(metric.name.clone(), instrument);
        }
        let behind = |instruments: &Instruments| -> Vec<u64> {
            let metrics = metrics();
            let each = metrics.iter();
            each.map(|metric| instruments.by_name[&metric.name].behind(metric))
                .collect()
        };
        let told = instruments.tell(metrics(), 1000);
        assert_eq!(behind(&instruments), [450, 450, 0]);
        assert_eq!((told.behind, told.is_newly_behind), (900, true));
        let told = instruments.tell(metrics(), 500);
        assert_eq!((told.behind, told.is_newly_behind), (400, false));
        let told = instruments.tell(metrics(), 1000);
        assert_eq!((told.behind, told.warning(true)), (0, None));
    }

    #[test]
    fn a_backlog_is_told_when_it_begins_and_after_the_end() {
        let told = |is_newly_behind| Told {
            unknown: Vec::new(),
            behind: 7,
            is_newly_behind,
        };
        let begins = told(true).warning(false).unwrap();
        assert!(begins.contains("7 values behind: there were more"));
        assert_eq!(told(false).warning(false), None);
        let lost = told(false).warning(true).unwrap();
        assert!(lost.contains("7 values behind: these are lost"), "{lost}");
    }

    #[test]
    fn numbers_are_whole_unless_they_or_their_unit_say_otherwise() {
        let metric = |unit: &'static str, points: Vec<NumberPoint>| Metric {
            scope: scope(),
            name: "metric".into(),
            description: "".into(),
            unit: unit.into(),
            data: MetricData::Gauge { points },
        };
        for (unit, whole) in [("s", false), ("1", false), ("{task}", true), ("By", true)] {
            assert_eq!(is_whole(&metric(unit, Vec::new()), &[]), whole, "{unit}");
        }
        assert_eq!((whole(Number::Float(1.6)), float(Number::Int(2))), (2, 2.0));
    }
}
