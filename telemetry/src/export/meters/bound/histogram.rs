//! A histogram of ours: its series, and the exemplars of each.

use std::sync::Arc;

use opentelemetry::KeyValue;
use parking_lot::Mutex;

use super::cells::{Cells, Counted};
use super::head::Head;
use super::series::AllSeries;
use super::value::Measured;
use crate::export::calendar::Calendar;
use crate::export::meters::examples::{Example, sampled_span};
use crate::export::metric::{Exemplar, HistogramPoint, Metric, MetricData};
use crate::export::period::Period;

#[derive(Debug)]
pub(super) struct Histogram<T> {
    pub(super) head: Head,
    bounds: Arc<[f64]>,
    /// Whether values stand as examples.
    exemplified: bool,
    series: AllSeries<Distribution<T>>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Distribution<T> {
    attributes: Vec<KeyValue>,
    bounds: Arc<[f64]>,
    cells: Cells<T>,
    /// The newest of each bucket that has any, with its number. None where none are wanted.
    examples: Option<Mutex<Vec<(usize, Example)>>>,
}

impl<T: Measured> Histogram<T> {
    pub(super) fn new(head: Head, bounds: &[f64], exemplified: bool) -> Histogram<T> {
        Histogram {
            head,
            bounds: bounds.into(),
            exemplified,
            series: AllSeries::default(),
        }
    }

    pub(super) fn series(&self, attributes: &[KeyValue]) -> Arc<Distribution<T>> {
        self.series.of(attributes, |attributes| Distribution {
            attributes,
            bounds: Arc::clone(&self.bounds),
            cells: Cells::new(self.bounds.len() + 1),
            examples: self.exemplified.then(Mutex::default),
        })
    }

    /// None if no series has a value yet.
    pub(super) fn metric(&self, period: Period, calendar: &Calendar) -> Option<Metric> {
        let period = period.from(self.head.start);
        let series = self.series.all();
        let points = series.iter().filter_map(|of| of.point(period, calendar));
        let points: Vec<_> = points.collect();
        (!points.is_empty()).then(|| {
            self.head.metric(MetricData::Histogram {
                bounds: Arc::clone(&self.bounds),
                points,
            })
        })
    }
}

impl<T: Measured> Distribution<T> {
    #[inline]
    pub(super) fn record(&self, value: T) {
        let float = value.float();
        if !float.is_finite() {
            return;
        }
        let bucket = self.bounds.partition_point(|&bound| bound < float);
        // First: an example is of a value that is counted.
        self.cells.record(value, bucket);
        if let Some(examples) = &self.examples
            && let Some(span) = sampled_span()
            && let Some(mut examples) = examples.try_lock()
        {
            note(&mut examples, bucket, Example::now(float, span));
        }
    }

    fn point(&self, period: Period, calendar: &Calendar) -> Option<HistogramPoint> {
        // Before the values: see `record`.
        let exemplars = self.exemplars(period, calendar);
        let counted = self.cells.counted()?;
        let Counted {
            buckets,
            sum,
            min,
            max,
        } = counted;
        Some(HistogramPoint {
            attributes: self.attributes.clone(),
            start: period.start,
            time: period.time,
            count: buckets.iter().sum(),
            sum,
            min: Some(min),
            max: Some(max),
            buckets,
            exemplars,
        })
    }

    /// Short ones first.
    fn exemplars(&self, period: Period, calendar: &Calendar) -> Vec<Exemplar> {
        let Some(examples) = &self.examples else {
            return Vec::new();
        };
        let mut examples = examples.lock().clone();
        examples.sort_by_key(|(bucket, _)| *bucket);
        let each = examples.iter();
        each.map(|(_, example)| example.exemplar(calendar, period.time))
            .collect()
    }
}

/// Few buckets of a series have values, so they are looked through.
fn note(examples: &mut Vec<(usize, Example)>, bucket: usize, example: Example) {
    match examples.iter_mut().find(|(of, _)| *of == bucket) {
        Some((_, before)) => *before = example,
        None => examples.push((bucket, example)),
    }
}
