//! How totals that only rise keep from falling.
//!
//! Workers count ticks. How long a tick is gets measured ever better while the process runs, so
//! the same ticks may be a few millionths less time than they were a minute ago. To whoever reads
//! a total, one that falls means that the process has begun anew, and all that was counted would
//! be counted again. So each total stays where it was until it is past that.

use std::collections::HashMap;

use opentelemetry::KeyValue;

use super::metric::{Metric, MetricData, Number};

/// The highest totals so far: of times, not of counts, which do not fall.
#[derive(Debug, Default)]
pub(super) struct Rising {
    highest: HashMap<String, f64>,
}

impl Rising {
    /// Holds sums of times where they were, if they have fallen.
    pub(super) fn hold(&mut self, metrics: &mut [Metric]) {
        for metric in metrics {
            let name = &metric.name;
            match &mut metric.data {
                MetricData::Histogram { points, .. } => points
                    .iter_mut()
                    .for_each(|point| self.raise(name, &point.attributes, &mut point.sum)),
                MetricData::Sum {
                    monotonic: true,
                    points,
                } => points.iter_mut().for_each(|point| {
                    if let Number::Float(value) = &mut point.value {
                        self.raise(name, &point.attributes, value);
                    }
                }),
                MetricData::Sum { .. } | MetricData::Gauge { .. } => {}
            }
        }
    }

    fn raise(&mut self, metric: &str, attributes: &[KeyValue], value: &mut f64) {
        let highest = self.highest.entry(format!("{metric} {attributes:?}"));
        let highest = highest.or_insert(*value);
        *highest = highest.max(*value);
        *value = *highest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::metric::NumberPoint;
    use telemetry_rt_clock::wall;

    fn metric(monotonic: bool, value: f64) -> Metric {
        Metric {
            scope: crate::export::span_data::scope(),
            name: "executor.busy".into(),
            description: "".into(),
            unit: "s".into(),
            data: MetricData::Sum {
                monotonic,
                points: vec![NumberPoint {
                    attributes: Vec::new(),
                    start: wall(),
                    time: wall(),
                    value: Number::Float(value),
                }],
            },
        }
    }

    fn held(rising: &mut Rising, mut metric: Metric) -> Number {
        rising.hold(std::slice::from_mut(&mut metric));
        match metric.data {
            MetricData::Sum { points, .. } => points[0].value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_total_that_falls_stays_and_one_that_may_fall_does() {
        for (monotonic, shown) in [(true, [3.0, 3.0, 4.0]), (false, [3.0, 2.9, 4.0])] {
            let mut rising = Rising::default();
            let seen = [3.0, 2.9, 4.0].map(|value| held(&mut rising, metric(monotonic, value)));
            assert_eq!(seen, shown.map(Number::Float), "{monotonic}");
        }
    }
}
