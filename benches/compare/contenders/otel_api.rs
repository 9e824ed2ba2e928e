//! tokio with what a careful programmer writes around each task, with the API of OpenTelemetry: a
//! span, its context during each poll, a histogram of durations, a counter.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Instant;

use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use opentelemetry::trace::{FutureExt, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::runtime::{Builder, Runtime};

use super::on_tokio::{Instrument, build};
use super::sdk::Sdk;
use crate::runtime::Ledger;

struct Instruments {
    tracer: SdkTracer,
    duration: Histogram<f64>,
    count: Counter<u64>,
    attributes: [KeyValue; 2],
    sdk: Sdk,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let sdk = Sdk::new();
    let meter = sdk.metrics.meter("compare");
    Instruments {
        tracer: sdk.traces.tracer("compare"),
        duration: meter.f64_histogram("process.duration").build(),
        count: meter.u64_counter("process.count").build(),
        attributes: [KeyValue::new("type", "task"), KeyValue::new("name", "task")],
        sdk,
    }
});

pub struct ByHand;

impl Instrument for ByHand {
    fn start(builder: Builder) -> (Runtime, ByHand) {
        INSTRUMENTS.sdk.begin();
        (build(builder), ByHand)
    }

    #[inline]
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let instruments = &*INSTRUMENTS;
        instruments.sdk.count_span();
        let start = Instant::now();
        let span = instruments.tracer.start("task");
        let context = Context::current_with_span(span);
        let recorded = async move {
            let output = future.await;
            let seconds = start.elapsed().as_secs_f64();
            instruments
                .duration
                .record(seconds, &instruments.attributes);
            instruments.count.add(1, &instruments.attributes);
            Context::map_current(|context| context.span().end());
            output
        };
        recorded.with_context(context)
    }

    fn settle(&self) {
        INSTRUMENTS.sdk.flush();
    }

    fn finish(self) -> Option<Ledger> {
        Some(INSTRUMENTS.sdk.ledger())
    }
}
