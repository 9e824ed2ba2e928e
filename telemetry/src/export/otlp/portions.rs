//! Metrics that are too many for one request, in portions.
//!
//! Collectors refuse requests above a size, and then all of one: a program with thousands of names
//! would have no metrics at all. How large a point becomes is estimated, from above.

use opentelemetry::KeyValue;

use super::pieces::MOST_BYTES;
use crate::export::metric::{HistogramPoint, Metric, MetricData, NumberPoint};

/// The first of them may hold nothing, if there are no metrics.
pub(super) fn portions(metrics: &[Metric]) -> Vec<Vec<Metric>> {
    let mut portions = Portions::default();
    for metric in metrics {
        match &metric.data {
            MetricData::Histogram { bounds, points } => portions.add(metric, points, |points| {
                let bounds = bounds.clone();
                MetricData::Histogram { bounds, points }
            }),
            MetricData::Sum { monotonic, points } => portions.add(metric, points, |points| {
                let monotonic = *monotonic;
                MetricData::Sum { monotonic, points }
            }),
            MetricData::Gauge { points } => {
                portions.add(metric, points, |points| MetricData::Gauge { points });
            }
        }
    }
    portions.full.push(portions.last);
    portions.full
}

#[derive(Default)]
struct Portions {
    full: Vec<Vec<Metric>>,
    last: Vec<Metric>,
    /// Of the last one, as far as it is known.
    size: usize,
}

impl Portions {
    /// Adds the points of a metric, which `data` puts together again.
    fn add<P: Point>(
        &mut self,
        metric: &Metric,
        points: &[P],
        data: impl Fn(Vec<P>) -> MetricData,
    ) {
        let mut left = points;
        loop {
            let is_first = self.last.is_empty();
            self.size += size_of_head(metric);
            let (fit, rest) = left.split_at(self.fit(left, is_first));
            self.last.push(Metric {
                data: data(fit.to_vec()),
                ..metric.clone()
            });
            left = rest;
            if left.is_empty() {
                return;
            }
            self.full.push(std::mem::take(&mut self.last));
            self.size = 0;
        }
    }

    /// How many of the points there is room for; one at the least in a portion that is empty.
    fn fit<P: Point>(&mut self, points: &[P], is_first: bool) -> usize {
        let fits = |point: &&P| {
            self.size += point.size();
            self.size <= MOST_BYTES
        };
        let fit = points.iter().take_while(fits).count();
        fit.max(usize::from(is_first && !points.is_empty()))
    }
}

trait Point: Clone {
    /// In bytes, at most.
    fn size(&self) -> usize;
}

/// Times, counts and extremes, with the tags and lengths around all.
const NUMBERS: usize = 128;

/// A bucket is a count and a bound.
const BUCKET: usize = 16;
const EXEMPLAR: usize = 64;

impl Point for HistogramPoint {
    fn size(&self) -> usize {
        let buckets = BUCKET * self.buckets.len() + EXEMPLAR * self.exemplars.len();
        NUMBERS + buckets + size_of_all(&self.attributes)
    }
}

impl Point for NumberPoint {
    fn size(&self) -> usize {
        NUMBERS + size_of_all(&self.attributes)
    }
}

/// What stands before the points, the scope included, which may be that of its neighbours.
fn size_of_head(metric: &Metric) -> usize {
    let scope = &metric.scope;
    let texts = [
        metric.name.len(),
        metric.description.len(),
        metric.unit.len(),
        scope.name().len(),
        scope.version().map_or(0, str::len),
        scope.schema_url().map_or(0, str::len),
    ];
    let attributes = scope.attributes().map(size_of);
    64 + texts.iter().sum::<usize>() + attributes.sum::<usize>()
}

fn size_of_all(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(size_of).sum()
}

fn size_of(attribute: &KeyValue) -> usize {
    32 + attribute.key.as_str().len() + attribute.value.as_str().len()
}
