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
                    .filter(|point| point.value != Number::Int(0))
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
            point.sum = (now.sum - seen.sum).max(0.0);
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

/// Attributes come in the same order each time, so their text tells points apart.
fn key(metric: &Metric, attributes: &[KeyValue]) -> String {
    let scope = &metric.scope;
    let version = scope.version().unwrap_or_default();
    let of_scope: Vec<&KeyValue> = scope.attributes().collect();
    format!(
        "{} {version} {of_scope:?} {} {} {attributes:?}",
        scope.name(),
        metric.name,
        metric.unit
    )
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

    fn exemplar_at(seconds: u64) -> Exemplar {
        Exemplar {
            value: 1.0,
            time: UNIX_EPOCH + Duration::from_secs(seconds),
            trace_id: TraceId::from(1),
            span_id: SpanId::from(2),
        }
    }
}
