//! What the SDK has aggregated, in our terms.
//!
//! Attributes are sorted: the SDK shows those of a series in whichever of the orders it was
//! recorded with, and our differences and texts tell series apart by theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, Histogram, HistogramDataPoint, Metric as SdkMetric, MetricData as SdkData,
    ResourceMetrics,
};

use crate::export::diagnostics::warn;
use crate::export::metric::{HistogramPoint, Metric, MetricData, Number, NumberPoint};
use crate::export::period::Period;

/// All that there is, in the order of the scopes' names.
pub(super) fn metrics(found: &ResourceMetrics, period: Period) -> Vec<Metric> {
    let mut scopes: Vec<_> = found.scope_metrics().collect();
    let name = |scope: &InstrumentationScope| {
        let version = scope.version().unwrap_or_default().to_owned();
        (scope.name().to_owned(), version)
    };
    scopes.sort_by_cached_key(|metrics| name(metrics.scope()));
    let metrics = scopes.iter().flat_map(|metrics| {
        let scope = metrics.scope();
        let each = metrics.metrics();
        each.filter_map(move |metric| converted(metric, scope, period))
    });
    metrics.collect()
}

fn converted(metric: &SdkMetric, scope: &InstrumentationScope, period: Period) -> Option<Metric> {
    let data = match metric.data() {
        AggregatedMetrics::F64(data) => period.data(data),
        AggregatedMetrics::U64(data) => period.data(data),
        AggregatedMetrics::I64(data) => period.data(data),
    };
    let Some(data) = data else {
        warn_of_exponential(metric.name());
        return None;
    };
    Some(Metric {
        scope: scope.clone(),
        name: metric.name().to_owned().into(),
        description: metric.description().to_owned().into(),
        unit: metric.unit().to_owned().into(),
        data,
    })
}

/// Only a view can make one, and a provider of ours has none.
fn warn_of_exponential(name: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // Relaxed: it only keeps the warning from being said twice.
    if !TOLD.swap(true, Ordering::Relaxed) {
        warn(format_args!(
            "metric {name}: exponential histograms are not exported; accepted: histograms with \
             bounds; this is said once"
        ));
    }
}

/// A number as instruments record it.
trait Figure: Copy {
    fn number(self) -> Number;
    fn float(self) -> f64;
}

impl Figure for f64 {
    fn number(self) -> Number {
        Number::Float(self)
    }

    fn float(self) -> f64 {
        self
    }
}

impl Figure for u64 {
    fn number(self) -> Number {
        self.into()
    }

    fn float(self) -> f64 {
        self as f64
    }
}

impl Figure for i64 {
    fn number(self) -> Number {
        Number::Int(self)
    }

    fn float(self) -> f64 {
        self as f64
    }
}

impl Period {
    /// None for an exponential histogram.
    fn data<T: Figure>(self, data: &SdkData<T>) -> Option<MetricData> {
        Some(match data {
            SdkData::Gauge(gauge) => {
                let points = gauge.data_points();
                let points = points.map(|point| self.point(point.attributes(), point.value()));
                MetricData::Gauge {
                    points: points.collect(),
                }
            }
            SdkData::Sum(sum) => {
                let period = self.from(sum.start_time());
                let points = sum.data_points();
                let points = points.map(|point| period.point(point.attributes(), point.value()));
                MetricData::Sum {
                    monotonic: sum.is_monotonic(),
                    points: points.collect(),
                }
            }
            SdkData::Histogram(histogram) => self.distributions(histogram),
            SdkData::ExponentialHistogram(_) => return None,
        })
    }

    /// The instrument may be younger than the runtime; the wall clock, which the SDK asks, may say
    /// that it is older, or not there yet.
    pub(super) fn from(self, start: SystemTime) -> Period {
        Period {
            start: start.clamp(self.start, self.time),
            ..self
        }
    }

    fn point<'a>(
        self,
        attributes: impl Iterator<Item = &'a KeyValue>,
        value: impl Figure,
    ) -> NumberPoint {
        NumberPoint {
            attributes: sorted(attributes),
            start: self.start,
            time: self.time,
            value: value.number(),
        }
    }

    fn distributions<T: Figure>(self, histogram: &Histogram<T>) -> MetricData {
        let period = self.from(histogram.start_time());
        let mut points = histogram.data_points().peekable();
        let bounds: Option<Arc<[f64]>> = points.peek().map(|point| point.bounds().collect());
        MetricData::Histogram {
            bounds: bounds.unwrap_or_default(),
            points: points.map(|point| period.histogram_point(point)).collect(),
        }
    }

    fn histogram_point<T: Figure>(self, point: &HistogramDataPoint<T>) -> HistogramPoint {
        HistogramPoint {
            attributes: sorted(point.attributes()),
            start: self.start,
            time: self.time,
            count: point.count(),
            sum: point.sum().float(),
            min: point.min().map(Figure::float),
            max: point.max().map(Figure::float),
            buckets: point.bucket_counts().collect(),
            exemplars: Vec::new(),
        }
    }
}

fn sorted<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Vec<KeyValue> {
    let mut attributes: Vec<KeyValue> = attributes.cloned().collect();
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    attributes
}
