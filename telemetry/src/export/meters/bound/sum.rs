//! A sum that rises and falls, of ours: one number for each series.
//!
//! One, and not several as in histograms: what is added by one thread and taken away by another would
//! stand in two places, and who reads them one after the other could see it taken away before it was
//! added.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use opentelemetry::KeyValue;

use super::head::Head;
use super::series::AllSeries;
use crate::export::metric::{Metric, MetricData, Number, NumberPoint};
use crate::export::period::Period;

#[derive(Debug)]
pub(super) struct UpDown {
    pub(super) head: Head,
    series: AllSeries<Sum>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Sum {
    attributes: Vec<KeyValue>,
    value: CachePadded<AtomicI64>,
}

impl UpDown {
    pub(super) fn new(head: Head) -> UpDown {
        UpDown {
            head,
            series: AllSeries::default(),
        }
    }

    pub(super) fn series(&self, attributes: &[KeyValue]) -> Arc<Sum> {
        self.series.of(attributes, |attributes| Sum {
            attributes,
            value: CachePadded::default(),
        })
    }

    pub(super) fn metric(&self, period: Period) -> Option<Metric> {
        let period = period.from(self.head.start);
        let series = self.series.all();
        let points: Vec<_> = series.iter().map(|sum| sum.point(period)).collect();
        (!points.is_empty()).then(|| {
            self.head.metric(MetricData::Sum {
                monotonic: false,
                points,
            })
        })
    }
}

impl Sum {
    #[inline]
    pub(super) fn add(&self, number: i64) {
        // Relaxed: a number, and nothing else hangs on it. All additions are in one order, and who
        // takes away what another thread added has heard of it, so that one comes first.
        self.value.fetch_add(number, Relaxed);
    }

    fn point(&self, period: Period) -> NumberPoint {
        NumberPoint {
            attributes: self.attributes.clone(),
            start: period.start,
            time: period.time,
            // Relaxed: as above.
            value: Number::Int(self.value.load(Relaxed)),
        }
    }
}
