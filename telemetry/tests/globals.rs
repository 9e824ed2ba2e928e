//! What an application sets for its whole process; alone in its test binary for that reason.

mod common;

use std::collections::HashMap;

use common::{Bench, LONG};
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
    // Another pipeline has to wait until this one has ended, and one without spans never comes.
    let (seconds_memory, second) = self::bench();
    assert!(!install_globals(&second.pipeline));
    let only = Only::new(Signal::Metrics, InMemory::new());
    let without_spans = Bench::new(Otel::builder().exporter(only).build());
    assert!(!install_globals(&without_spans.pipeline));
    bench.shutdown(LONG);

    let spans = memory.spans();
    let of_span = &spans[0].span_context;
    let expected = format!("00-{}-{}-01", of_span.trace_id(), of_span.span_id());
    assert_eq!(headers.get("traceparent"), Some(&expected));
    // Tracers may outlive the pipeline; their spans are dropped, and counted.
    global::tracer("client").in_span("late", |_| {});
    assert_eq!(bench.pipeline.account().dropped.shutdown_deadline, 1);

    assert!(!install_globals(&without_spans.pipeline));
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
