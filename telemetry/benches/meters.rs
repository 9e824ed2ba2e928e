//! What a value of a histogram costs who records it: the SDK's own instrument beside ours, which
//! remembers exemplars, outside of a span, within one that is not sampled, and within one that is.
//! Then a series that is bound, by one thread and by two at once; of two it is the time of a value of
//! each.
//!
//! `cargo bench -p telemetry_rt-telemetry --features export --bench meters [-- PART]`. Each row is
//! the best of its rounds, in nanoseconds a value.

use std::hint::black_box;
use std::time::Instant;

use opentelemetry::metrics::{Histogram, MeterProvider};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use telemetry_rt_telemetry::export::{BoundHistogram, InstrumentSpec, Otel, Share};

const VALUES: u32 = 20_000;
const ROUNDS: u32 = 60;

fn main() {
    let mut words = std::env::args().skip(1);
    let part = words
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default();
    let reader = ManualReader::default();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let share = Share::without_pipeline(&Otel::disabled());
    let scope = InstrumentationScope::builder("bench").build();
    let sdk = provider.meter_with_scope(scope.clone());
    let sdk = sdk.f64_histogram("wait").build();
    let own = share.meter(scope.clone()).f64_histogram("wait").build();
    for attributes in [0, 3, 5] {
        let set = set(attributes);
        for (name, histogram, context) in [
            ("sdk, no span", &sdk, Context::new()),
            ("own, no span", &own, Context::new()),
            ("own, not sampled", &own, within(TraceFlags::default())),
            ("own, sampled", &own, within(TraceFlags::SAMPLED)),
        ] {
            let row = format!("{name}, {attributes} attributes");
            if row.contains(&part) {
                let _inside = context.attach();
                println!("{row:<34}{:>7.1}", best(histogram, &set));
            }
        }
    }
    let bounds: Vec<f64> = (0..14).map(f64::from).collect();
    let spec = InstrumentSpec {
        name: "bound",
        unit: "s",
        description: "",
    };
    let histogram = share.bindable_meter(scope).f64_histogram(spec, &bounds);
    let series = histogram.bind(&set(5));
    for threads in [1, 2] {
        for (name, context) in [
            ("no span", Context::new()),
            ("not sampled", within(TraceFlags::default())),
            ("sampled", within(TraceFlags::SAMPLED)),
        ] {
            let row = format!("bound, {name}, {threads} threads");
            if row.contains(&part) {
                println!(
                    "{row:<34}{:>7.1}",
                    best_of_threads(&series, threads, &context)
                );
            }
        }
    }
}

/// Of one of the threads, while the others do the same.
fn best_of_threads(series: &BoundHistogram<f64>, threads: usize, context: &Context) -> f64 {
    let record = || {
        let _inside = context.clone().attach();
        best_of(|value| series.record(black_box(value)))
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(record)).collect();
        let own = record();
        let others = others.into_iter().map(|other| other.join().unwrap());
        others.fold(own, f64::max)
    })
}

fn set(attributes: usize) -> Vec<KeyValue> {
    let all = [
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("http.route", "/users/{id}"),
        KeyValue::new("http.response.status_code", 200),
        KeyValue::new("url.scheme", "https"),
        KeyValue::new("network.protocol.version", "1.1"),
    ];
    all[..attributes].to_vec()
}

fn within(flags: TraceFlags) -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(1),
        SpanId::from(2),
        flags,
        false,
        TraceState::default(),
    ))
}

fn best(histogram: &Histogram<f64>, set: &[KeyValue]) -> f64 {
    best_of(|value| histogram.record(black_box(value), black_box(set)))
}

fn best_of(record: impl Fn(f64)) -> f64 {
    let round = || {
        let start = Instant::now();
        for value in 0..VALUES {
            record(f64::from(value % 100));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(VALUES)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
