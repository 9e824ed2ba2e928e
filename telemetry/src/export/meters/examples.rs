//! Which values of users' histograms stand as examples for those around them.
//!
//! The newest of each series and bucket that was recorded within a sampled span. Who records waits
//! for nobody: when another thread is writing, or metrics are being collected, the value is no
//! example. What no series of the SDK matches any more (it is past its bound on series) is
//! forgotten at the next collection, so the room that there is goes to those that are shown.
//!
//! Cost: a record outside of a sampled span looks at the current context, which is 5 ns; one within
//! also hashes its attributes and writes into a table, under a lock that is never waited for, which
//! is 20 to 60 ns by the number of attributes. `benches/meters.rs` measures it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::metrics::{Histogram, HistogramBuilder, SyncInstrument};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, InstrumentationScope, KeyValue, SpanId, TraceId};
use parking_lot::Mutex;
use telemetry_rt_clock::{Ticks, ticks};

use super::series::{BuildQuick, series_of};
use crate::export::calendar::Calendar;
use crate::export::metric::{Exemplar, Metric, MetricData};
use crate::record::contexts_are_alive;

/// How many series and buckets of one histogram have an example: some 300 kB at the most.
const MOST: usize = 4096;

/// The bounds that the SDK takes where the instrument says none.
const DEFAULT_BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// A value of a histogram.
pub(super) trait Value: Copy + Send + Sync + 'static {
    fn float(self) -> f64;
}

impl Value for f64 {
    fn float(self) -> f64 {
        self
    }
}

impl Value for u64 {
    fn float(self) -> f64 {
        self as f64
    }
}

/// A histogram that remembers examples.
pub(super) struct Exemplified<T> {
    pub(super) histogram: Histogram<T>,
    pub(super) examples: Arc<Examples>,
}

impl<T: Value> SyncInstrument<T> for Exemplified<T> {
    #[inline]
    fn measure(&self, value: T, attributes: &[KeyValue]) {
        // First: an example is of a value that is counted.
        self.histogram.record(value, attributes);
        if let Some(span) = sampled_span() {
            self.examples.note(value.float(), attributes, span);
        }
    }
}

/// The current span, if it is sampled.
#[inline]
pub(super) fn sampled_span() -> Option<(TraceId, SpanId)> {
    if !contexts_are_alive() {
        return None;
    }
    Context::map_current(|context| {
        if !context.has_active_span() {
            return None;
        }
        let span = context.span();
        let span = span.span_context();
        let ids = (span.trace_id(), span.span_id());
        span.is_sampled().then_some(ids)
    })
}

/// The examples of one histogram.
#[derive(Debug)]
pub(super) struct Examples {
    bounds: Vec<f64>,
    kept: Mutex<Kept>,
}

type Kept = HashMap<Place, Example, BuildQuick>;
type BySeries = HashMap<u64, Vec<Example>, BuildQuick>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    series: u64,
    bucket: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Example {
    value: f64,
    at: Ticks,
    span: (TraceId, SpanId),
}

impl Examples {
    fn new(bounds: Vec<f64>) -> Examples {
        Examples {
            bounds,
            kept: Mutex::default(),
        }
    }

    fn note(&self, value: f64, attributes: &[KeyValue], span: (TraceId, SpanId)) {
        // The SDK counts no others.
        if !value.is_finite() {
            return;
        }
        let place = Place {
            series: series_of(attributes),
            bucket: self.bounds.partition_point(|&bound| bound < value) as u32,
        };
        let example = Example::now(value, span);
        let Some(mut kept) = self.kept.try_lock() else {
            return;
        };
        if let Some(before) = kept.get_mut(&place) {
            *before = example;
        } else if kept.len() < MOST {
            kept.insert(place, example);
        }
    }

    fn latest(&self) -> BySeries {
        let mut by_series = BySeries::default();
        for (place, example) in &*self.kept.lock() {
            by_series.entry(place.series).or_default().push(*example);
        }
        by_series
    }

    fn forget(&self, series: &HashSet<u64, BuildQuick>) {
        if !series.is_empty() {
            let mut kept = self.kept.lock();
            kept.retain(|place, _| !series.contains(&place.series));
        }
    }
}

/// What tells histograms apart, to the SDK as well: asked for twice, an instrument is one. Case
/// makes no difference in names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    scope: InstrumentationScope,
    name: String,
    unit: String,
}

/// The examples of all histograms.
#[derive(Debug, Default)]
pub(super) struct AllExamples {
    by_histogram: Mutex<HashMap<Identity, Arc<Examples>>>,
}

impl AllExamples {
    /// Those of the histogram that is about to be built.
    pub(super) fn of<T>(
        &self,
        scope: &InstrumentationScope,
        builder: &HistogramBuilder<'_, T>,
    ) -> Arc<Examples> {
        let identity = Identity {
            scope: scope.clone(),
            name: builder.name.to_ascii_lowercase(),
            unit: builder.unit.as_deref().unwrap_or_default().to_owned(),
        };
        let bounds = builder.boundaries.clone();
        let mut by_histogram = self.by_histogram.lock();
        let examples = by_histogram.entry(identity).or_insert_with(|| {
            let bounds = bounds.unwrap_or_else(|| DEFAULT_BOUNDS.to_vec());
            Arc::new(Examples::new(bounds))
        });
        Arc::clone(examples)
    }

    /// What there is now.
    pub(super) fn latest(&self) -> Latest {
        let by_histogram = self.by_histogram.lock().clone();
        let latest = by_histogram.into_iter().map(|(identity, examples)| {
            let latest = examples.latest();
            (identity, (examples, latest))
        });
        Latest(latest.collect())
    }
}

/// The examples at one moment, to be given to the points that they belong to.
pub(super) struct Latest(HashMap<Identity, (Arc<Examples>, BySeries)>);

impl Latest {
    /// Adds them to the points of their series. The others are forgotten.
    pub(super) fn add_to(mut self, metrics: &mut [Metric]) {
        let calendar = Calendar::now();
        for metric in metrics {
            let MetricData::Histogram { points, .. } = &mut metric.data else {
                continue;
            };
            let identity = Identity {
                scope: metric.scope.clone(),
                name: metric.name.to_ascii_lowercase(),
                unit: metric.unit.to_string(),
            };
            let Some((_, latest)) = self.0.get_mut(&identity) else {
                continue;
            };
            for point in points {
                let examples = latest.remove(&series_of(&point.attributes));
                let mut examples = examples.unwrap_or_default();
                examples.sort_by(|one, other| one.value.total_cmp(&other.value));
                point.exemplars = examples
                    .iter()
                    .map(|example| example.exemplar(&calendar, point.time))
                    .collect();
            }
        }
        for (examples, unmatched) in self.0.values() {
            examples.forget(&unmatched.keys().copied().collect());
        }
    }
}

impl Example {
    pub(super) fn now(value: f64, span: (TraceId, SpanId)) -> Example {
        Example {
            value,
            at: ticks(),
            span,
        }
    }

    /// Never after the time of its point: that is read off another clock.
    pub(super) fn exemplar(&self, calendar: &Calendar, latest: SystemTime) -> Exemplar {
        let (trace_id, span_id) = self.span;
        Exemplar {
            value: self.value,
            time: calendar.date(self.at).min(latest),
            trace_id,
            span_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: u64) -> (TraceId, SpanId) {
        (TraceId::from(u128::from(number)), SpanId::from(number))
    }

    fn numbers(examples: &Examples, series: &[KeyValue]) -> Vec<f64> {
        let latest = examples.latest();
        let found = latest.get(&series_of(series)).into_iter().flatten();
        let mut values: Vec<f64> = found.map(|example| example.value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn the_newest_of_each_series_and_bucket_is_kept() {
        let examples = Examples::new(vec![1.0, 10.0]);
        let get = [KeyValue::new("method", "GET")];
        for value in [0.5, 0.7, 1.0, 5.0, f64::NAN, 99.0, 50.0] {
            examples.note(value, &get, span(1));
        }
        examples.note(2.0, &[], span(2));
        assert_eq!(numbers(&examples, &get), [1.0, 5.0, 50.0]);
        assert_eq!(numbers(&examples, &[]), [2.0]);
    }

    #[test]
    fn there_are_no_more_than_so_many_and_those_there_are_stay_new() {
        let examples = Examples::new(Vec::new());
        let series = |number: usize| [KeyValue::new("n", number as i64)];
        for number in 0..MOST + 10 {
            examples.note(1.0, &series(number), span(1));
        }
        examples.note(2.0, &series(0), span(1));
        assert_eq!(examples.kept.lock().len(), MOST);
        assert_eq!(numbers(&examples, &series(0)), [2.0]);
        assert!(numbers(&examples, &series(MOST)).is_empty());
    }

    #[test]
    fn nobody_waits_to_leave_an_example() {
        let examples = Examples::new(Vec::new());
        let held = examples.kept.lock();
        examples.note(1.0, &[], span(1));
        drop(held);
        assert!(numbers(&examples, &[]).is_empty());
    }
}
