//! What the targets of HTTP share: a runtime whose clock stands still, spans that are counted, and
//! the metrics of the runtime.
//!
//! There is one for all inputs, as a runtime for each takes longer than the inputs: what is checked
//! after each of them are totals.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use telemetry_rt::otel::{Metric, MetricData, Number, Otel, metrics};
use telemetry_rt::runtime::{Builder, Runtime};

static SPANS: Counts = Counts {
    started: AtomicU64::new(0),
    ended: AtomicU64::new(0),
};

pub struct World {
    pub runtime: Runtime,
    pub provider: SdkTracerProvider,
}

impl World {
    pub fn get() -> &'static World {
        static WORLD: LazyLock<World> = LazyLock::new(World::new);
        &WORLD
    }

    fn new() -> World {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .otel(Otel::disabled())
            .build();
        World {
            runtime: runtime.expect("a runtime starts"),
            provider: SdkTracerProvider::builder()
                .with_sampler(Sampler::AlwaysOn)
                .with_span_processor(&SPANS)
                .build(),
        }
    }

    /// Spans that were started, and that were ended.
    pub fn spans(&self) -> (u64, u64) {
        (SPANS.started.load(Relaxed), SPANS.ended.load(Relaxed))
    }

    pub fn metrics(&self) -> Vec<Metric> {
        metrics(self.runtime.handle()).collect()
    }
}

#[derive(Debug)]
struct Counts {
    started: AtomicU64,
    ended: AtomicU64,
}

impl SpanProcessor for &'static Counts {
    fn on_start(&self, _: &mut Span, _: &Context) {
        self.started.fetch_add(1, Relaxed);
    }

    fn on_end(&self, _: SpanData) {
        self.ended.fetch_add(1, Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The sum of all points of a sum, or the number of all values of a histogram.
pub fn total(metrics: &[Metric], name: &str) -> i64 {
    let of_name = metrics.iter().filter(|metric| metric.name == name);
    of_name.map(|metric| points(&metric.data)).sum()
}

fn points(data: &MetricData) -> i64 {
    match data {
        MetricData::Histogram { points, .. } => points.iter().map(|point| point.count as i64).sum(),
        MetricData::Sum { points, .. } | MetricData::Gauge { points } => {
            points.iter().map(|point| whole(point.value)).sum()
        }
    }
}

fn whole(number: Number) -> i64 {
    match number {
        Number::Int(number) => number,
        Number::Float(number) => number as i64,
    }
}
