//! What an application sets for its whole process; alone in its test binary for that reason.

mod common;

use std::collections::HashMap;

use common::{Bench, LONG};
use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, global};
use telemetry_rt_telemetry::export::{InMemory, Otel, install_globals};

#[test]
fn global_tracers_and_propagators_are_those_of_the_pipeline() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    install_globals(&bench.pipeline);

    let mut headers: HashMap<String, String> = HashMap::new();
    global::tracer("client").in_span("GET", |context: Context| {
        assert!(context.span().span_context().is_sampled());
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut headers);
        });
    });
    bench.shutdown(LONG);

    let spans = memory.spans();
    let of_span = &spans[0].span_context;
    let expected = format!("00-{}-{}-01", of_span.trace_id(), of_span.span_id());
    assert_eq!(headers.get("traceparent"), Some(&expected));
    // Tracers may outlive the pipeline; their spans are dropped, and counted.
    global::tracer("client").in_span("late", |_| {});
    assert_eq!(bench.pipeline.account().dropped.shutdown_deadline, 1);
}
