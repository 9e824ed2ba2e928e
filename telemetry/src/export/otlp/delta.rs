//! Differences between what is counted now and what a collector has acknowledged.
//!
//! When an export fails, the next one covers its time as well: nothing is missed. One whose
//! reply was lost is counted twice by the collector, as with any sender of differences.

use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry::KeyValue;

use crate::export::metric::{HistogramPoint, Metric, MetricData, Number, NumberPoint};

/// What was acknowledged last.
#[derive(Debug, Default)]
pub(super) struct Delta {
    histograms: HashMap<String, HistogramPoint>,
    sums: HashMap<String, NumberPoint>,
    /// When all that there was then had been acknowledged.
    until: Option<SystemTime>,
}

impl Delta {
    /// The metrics since then. Points that have not changed are left out.
    pub(super) fn since(&self, metrics: &[Metric]) -> Vec<Metric> {
        metrics
            .iter()
            .map(|metric| Metric {
                data: self.data_since(metric),
                ..metric.clone()
            })
            .collect()
    }

    /// The collector has these metrics; others may still be to come.
    pub(super) fn acknowledge(&mut self, metrics: &[Metric]) {
        for metric in metrics {
            match &metric.data {
                MetricData::Histogram { points, .. } => points.iter().for_each(|point| {
                    self.histograms
                        .insert(key(metric, &point.attributes), point.clone());
                }),
                MetricData::Sum { points, .. } => points.iter().for_each(|point| {
                    self.sums
                        .insert(key(metric, &point.attributes), point.clone());
                }),
                MetricData::Gauge { .. } => {}
            }
        }
    }

    /// The collector has all of these metrics: what appears from now on was not there before.
    pub(super) fn round_is_over(&mut self, metrics: &[Metric]) {
        let time_of = |metric: &Metric| match &metric.data {
            MetricData::Histogram { points, .. } => points.first().map(|point| point.time),
            MetricData::Sum { points, .. } => points.first().map(|point| point.time),
            MetricData::Gauge { .. } => None,
        };
        self.until = metrics.iter().find_map(time_of).or(self.until);
    }

    fn data_since(&self, metric: &Metric) -> MetricData {
        match &metric.data {
            MetricData::Histogram { bounds, points } => MetricData::Histogram {
                bounds: bounds.clone(),
                points: points
                    .iter()
                    .map(|point| self.histogram_since(metric, point))
                    .filter(|point| point.count > 0)
                    .collect(),
            },
            MetricData::Sum {
                monotonic: true,
                points,
            } => MetricData::Sum {
                monotonic: true,
                points: points
                    .iter()
                    .map(|point| self.sum_since(metric, point))
                    .filter(|point| !is_zero(point.value))
                    .collect(),
            },
            other => other.clone(),
        }
    }

    fn histogram_since(&self, metric: &Metric, now: &HistogramPoint) -> HistogramPoint {
        let seen = self.histograms.get(&key(metric, &now.attributes));
        let mut point = now.clone();
        point.start = self.start_of(seen.map(|seen| seen.time), now.start, now.time);
        let start = point.start;
        point.exemplars.retain(|exemplar| exemplar.time >= start);
        if let Some(seen) = seen {
            point.count = now.count.saturating_sub(seen.count);
            point.sum = now.sum - seen.sum;
            // Of what was never negative only rounding could be.
            if now.min.is_none_or(|min| min >= 0.0) {
                point.sum = point.sum.max(0.0);
            }
            // The extremes are those of all time, not of this period.
            (point.min, point.max) = (None, None);
            for (bucket, seen) in point.buckets.iter_mut().zip(&seen.buckets) {
                *bucket = bucket.saturating_sub(*seen);
            }
        }
        point
    }

    /// Never after the end of the period: the wall clock may have been set back.
    fn start_of(&self, seen: Option<SystemTime>, first: SystemTime, end: SystemTime) -> SystemTime {
        seen.or(self.until).unwrap_or(first).min(end)
    }

    fn sum_since(&self, metric: &Metric, now: &NumberPoint) -> NumberPoint {
        let seen = self.sums.get(&key(metric, &now.attributes));
        NumberPoint {
            start: self.start_of(seen.map(|seen| seen.time), now.start, now.time),
            value: seen.map_or(now.value, |seen| difference(now.value, seen.value)),
            ..now.clone()
        }
    }
}

fn difference(now: Number, seen: Number) -> Number {
    match (now, seen) {
        (Number::Int(now), Number::Int(seen)) if now >= seen => Number::Int(now - seen),
        (Number::Float(now), Number::Float(seen)) if now >= seen => Number::Float(now - seen),
        // What a callback observes may begin anew. A point does not change its type.
        (now, _) => now,
    }
}

fn is_zero(value: Number) -> bool {
    match value {
        Number::Int(value) => value == 0,
        Number::Float(value) => value == 0.0,
    }
}

/// Attributes come in the same order each time, so their text tells points apart. All that tells two
/// instruments apart is in it but one thing: whether a histogram's values are whole.
fn key(metric: &Metric, attributes: &[KeyValue]) -> String {
    let Metric {
        scope,
        name,
        description,
        unit,
        data,
    } = metric;
    let kind = kind(data);
    format!("{scope:?} {name:?} {description:?} {unit:?} {kind} {attributes:?}")
}

fn kind(data: &MetricData) -> &'static str {
    let is_whole = |points: &[NumberPoint]| {
        let first = points.first();
        first.is_none_or(|point| matches!(point.value, Number::Int(_)))
    };
    match data {
        MetricData::Histogram { .. } => "histogram",
        MetricData::Sum { monotonic, points } => match (monotonic, is_whole(points)) {
            (true, true) => "counter of wholes",
            (true, false) => "counter",
            (false, true) => "sum of wholes",
            (false, false) => "sum",
        },
        MetricData::Gauge { .. } => "gauge",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::metric::Exemplar;
    use opentelemetry::{SpanId, TraceId};
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    fn count(value: i64, time: SystemTime) -> Metric {
        Metric {
            scope: crate::export::span_data::scope(),
            name: "process.count".into(),
            description: "".into(),
            unit: "".into(),
            data: MetricData::Sum {
                monotonic: true,
                points: vec![NumberPoint {
                    attributes: Vec::new(),
                    start: UNIX_EPOCH,
                    time,
                    value: Number::Int(value),
                }],
            },
        }
    }

    #[test]
    fn no_period_ends_before_it_starts() {
        let late = UNIX_EPOCH + Duration::from_secs(60);
        let early = UNIX_EPOCH + Duration::from_secs(10);
        let mut delta = Delta::default();
        delta.acknowledge(&[count(3, late)]);
        let MetricData::Sum { points, .. } = &delta.since(&[count(5, early)])[0].data else {
            panic!("a sum stays a sum");
        };
        assert_eq!((points[0].start, points[0].value), (early, Number::Int(2)));
    }

    #[test]
    fn what_has_not_changed_is_left_out() {
        for value in [Number::Int(3), Number::Float(0.5)] {
            let mut metric = count(0, UNIX_EPOCH);
            let MetricData::Sum { points, .. } = &mut metric.data else {
                panic!("it is a sum");
            };
            points[0].value = value;
            let mut delta = Delta::default();
            delta.acknowledge(std::slice::from_ref(&metric));
            let MetricData::Sum { points, .. } = &delta.since(&[metric])[0].data else {
                panic!("a sum stays a sum");
            };
            assert_eq!(*points, [], "{value:?}");
        }
    }

    #[test]
    fn only_exemplars_of_the_period_are_sent() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let durations = |counted, seconds| Metric {
            data: MetricData::Histogram {
                bounds: Arc::new([]),
                points: vec![HistogramPoint {
                    attributes: Vec::new(),
                    start: at(0),
                    time: at(seconds),
                    count: counted,
                    sum: 1.0,
                    min: None,
                    max: None,
                    buckets: vec![counted],
                    exemplars: [5, 15].map(exemplar_at).to_vec(),
                }],
            },
            ..count(0, at(seconds))
        };
        let mut delta = Delta::default();
        delta.acknowledge(&[durations(1, 10)]);
        let MetricData::Histogram { points, .. } = &delta.since(&[durations(2, 20)])[0].data else {
            panic!("a histogram stays a histogram");
        };
        assert_eq!(points[0].exemplars, [exemplar_at(15)]);
    }

    #[test]
    fn a_sum_of_values_below_zero_may_fall() {
        let degrees = |count, sum, time| Metric {
            data: MetricData::Histogram {
                bounds: Arc::new([]),
                points: vec![HistogramPoint {
                    attributes: Vec::new(),
                    start: UNIX_EPOCH,
                    time,
                    count,
                    sum,
                    min: Some(-20.0),
                    max: Some(8.0),
                    buckets: vec![count],
                    exemplars: Vec::new(),
                }],
            },
            ..self::count(0, time)
        };
        let mut delta = Delta::default();
        delta.acknowledge(&[degrees(1, 8.0, UNIX_EPOCH)]);
        let MetricData::Histogram { points, .. } =
            &delta.since(&[degrees(2, -12.0, UNIX_EPOCH)])[0].data
        else {
            panic!("a histogram stays a histogram");
        };
        assert_eq!((points[0].count, points[0].sum), (1, -20.0));
    }

    #[test]
    fn metrics_of_one_name_that_differ_in_anything_are_not_taken_for_each_other() {
        let metrics = |value| {
            let of = |value, change: fn(&mut Metric)| {
                let mut metric = count(value, UNIX_EPOCH);
                change(&mut metric);
                metric
            };
            let scope = |schema| {
                let scope = opentelemetry::InstrumentationScope::builder("shop");
                scope.with_schema_url(schema).build()
            };
            let first = of(value, |_| ());
            let described = of(value + 10, |metric| metric.description = "other".into());
            let mut later = of(value + 20, |_| ());
            later.scope = scope("https://example.com/2");
            let mut earlier = of(value + 30, |_| ());
            earlier.scope = scope("https://example.com/1");
            [first, described, later, earlier]
        };
        let mut delta = Delta::default();
        delta.acknowledge(&metrics(1));
        for metric in delta.since(&metrics(3)) {
            let MetricData::Sum { points, .. } = &metric.data else {
                panic!("a sum stays a sum");
            };
            assert_eq!(points[0].value, Number::Int(2), "{metric:?}");
        }
    }

    fn exemplar_at(seconds: u64) -> Exemplar {
        Exemplar {
            value: 1.0,
            time: UNIX_EPOCH + Duration::from_secs(seconds),
            trace_id: TraceId::from(1),
            span_id: SpanId::from(2),
        }
    }
}
