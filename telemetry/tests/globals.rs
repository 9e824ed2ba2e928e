//! What an application sets for its whole process; alone in its test binary for that reason.

mod common;

use std::collections::HashMap;

use common::{Bench, LONG, sums};
use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, global};
use telemetry_rt_telemetry::export::{InMemory, Only, Otel, Signal, install_globals};

#[test]
fn global_tracers_and_propagators_are_those_of_the_pipeline() {
    let (memory, bench) = bench();
    assert!(install_globals(&bench.pipeline));
    assert!(install_globals(&bench.pipeline), "again is no harm");

    let mut headers: HashMap<String, String> = HashMap::new();
    global::tracer("client").in_span("GET", |context: Context| {
        assert!(context.span().span_context().is_sampled());
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut headers);
        });
    });
    global::meter("client")
        .u64_counter("requests")
        .build()
        .add(1, &[]);
    // Another pipeline has to wait until this one has ended, and one without spans never comes.
    let (seconds_memory, second) = self::bench();
    assert!(!install_globals(&second.pipeline));
    let only_memory = InMemory::new();
    let only = Only::new(Signal::Metrics, only_memory.clone());
    let without_spans = Bench::new(Otel::builder().exporter(only).build());
    assert!(!install_globals(&without_spans.pipeline));
    global::meter("client")
        .u64_counter("more")
        .build()
        .add(1, &[]);
    bench.shutdown(LONG);
    assert_eq!(sums(&memory.metrics(), "requests"), [(String::new(), 1)]);
    assert_eq!(sums(&memory.metrics(), "more"), [(String::new(), 1)]);

    let spans = memory.spans();
    let of_span = &spans[0].span_context;
    let expected = format!("00-{}-{}-01", of_span.trace_id(), of_span.span_id());
    assert_eq!(headers.get("traceparent"), Some(&expected));
    // Tracers may outlive the pipeline; their spans are dropped, and counted.
    global::tracer("client").in_span("late", |_| {});
    assert_eq!(bench.pipeline.account().dropped.shutdown_deadline, 1);

    // It takes metrics, and the place for meters is free.
    assert!(!install_globals(&without_spans.pipeline));
    global::meter("client")
        .u64_counter("late")
        .build()
        .add(1, &[]);
    without_spans.shutdown(LONG);
    assert_eq!(sums(&only_memory.metrics(), "late"), [(String::new(), 1)]);
    assert!(install_globals(&second.pipeline));
    global::tracer("client").in_span("next", |_| {});
    second.shutdown(LONG);
    assert_eq!(seconds_memory.spans().len(), 1);
}

fn bench() -> (InMemory, Bench) {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    (memory, bench)
}
