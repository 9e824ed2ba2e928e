//! Reads `process.count` off the pipeline when a workload has ended, to see that every process
//! that it started was recorded.

use std::sync::{Arc, OnceLock};

use telemetry_rt::otel::{Exporter, Metric, MetricData, MetricSource, Number, Signal};

/// An exporter that is given nothing, but may ask. Clones ask the same pipeline, once one of them
/// belongs to it.
#[derive(Clone, Default)]
pub struct Count {
    source: Arc<OnceLock<MetricSource>>,
}

impl Count {
    /// All processes that have ended, of whatever type, name and state.
    pub fn processes(&self) -> u64 {
        let source = self.source.get().expect("the pipeline has been started");
        let metrics = source.collect();
        let count = metrics.iter().find(|metric| metric.name == "process.count");
        count.map_or(0, sum)
    }
}

impl Exporter for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Metrics
    }

    fn pull_metrics(&mut self, source: &MetricSource) -> bool {
        let first = self.source.set(source.clone()).is_ok();
        assert!(first, "it belongs to one pipeline");
        true
    }
}

fn sum(metric: &Metric) -> u64 {
    let MetricData::Sum { points, .. } = &metric.data else {
        panic!("process.count is a sum")
    };
    let numbers = points.iter().map(|point| match point.value {
        Number::Int(number) => u64::try_from(number).expect("counts do not fall"),
        Number::Float(_) => panic!("process.count counts"),
    });
    numbers.sum()
}
