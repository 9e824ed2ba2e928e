//! Tracers, meters and propagators that libraries ask for, and where what they record shows up.
//!
//! What is global is so for a whole process: those tests run [`program`] in a process of its own,
//! which is this very test binary.
#![cfg(feature = "telemetry")]

use std::collections::HashMap;
use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use telemetry_rt::otel::{self, InMemory, Metric, MetricData, Number, Only, Otel, Signal};
use telemetry_rt::runtime::{Builder, Handle, Runtime};

const LONG: Duration = Duration::from_secs(20);

fn shop() -> InstrumentationScope {
    InstrumentationScope::builder("shop")
        .with_version("1.2.3")
        .with_schema_url("https://example.com/schema")
        .build()
}

fn runtime(otel: Otel) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .otel(otel)
        .build()
        .unwrap()
}

/// The value of a counter without attributes, if there is one of this name.
fn count(metrics: &[Metric], name: &str) -> Option<Number> {
    let metric = metrics.iter().find(|metric| metric.name == name)?;
    match &metric.data {
        MetricData::Sum { points, .. } => Some(points[0].value),
        other => panic!("{name} is no counter: {other:?}"),
    }
}

fn scope_of<'a>(spans: &'a [SpanData], name: &str) -> &'a InstrumentationScope {
    let span = spans.iter().find(|span| span.name == name);
    &span
        .unwrap_or_else(|| panic!("no {name} in {spans:?}"))
        .instrumentation_scope
}

#[test]
fn a_library_finds_the_pipeline_of_the_runtime_that_it_is_called_on() {
    let memory = InMemory::new();
    let runtime = runtime(Otel::builder().exporter(memory.clone()).build());
    runtime.block_on(async {
        let called = telemetry_rt::task::Builder::new()
            .name("caller")
            .spawn(async {
                otel::tracer(shop()).in_span("order", |context: Context| {
                    let orders = otel::meter(shop()).u64_counter("orders").build();
                    orders.add(2, &[]);
                    let wait = otel::meter(shop()).f64_histogram("wait").build();
                    wait.record(0.5, &[]);
                    context.span().span_context().span_id()
                })
            });
        let span = called.await.unwrap();
        let metrics = otel::metrics(&Handle::current()).collect();
        assert_eq!(count(&metrics, "orders"), Some(Number::Int(2)));
        let wait = metrics.iter().find(|metric| metric.name == "wait").unwrap();
        let MetricData::Histogram { points, .. } = &wait.data else {
            panic!("{wait:?}");
        };
        assert_eq!(points[0].exemplars[0].span_id, span);
        assert_eq!(wait.scope, shop());
    });
    let report = runtime.shutdown(LONG).unwrap();
    assert!(report.completed);
    assert_eq!(*scope_of(&memory.spans(), "order"), shop());
    assert_eq!(scope_of(&memory.spans(), "caller").name(), "telemetry_rt");
    assert_eq!(count(&memory.metrics(), "orders"), Some(Number::Int(2)));
    let (order, caller) = ("order", "caller");
    let spans = memory.spans();
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(of(order).parent_span_id, of(caller).span_context.span_id());
}

#[test]
fn a_provider_of_the_application_hears_of_the_scope_of_a_library() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let otel = Otel::builder().foreign_tracer_provider(provider.clone());
    let runtime = runtime(otel.build());
    runtime.block_on(async {
        otel::tracer(shop()).in_span("order", |_| ());
    });
    drop(runtime);
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(*scope_of(&spans, "order"), shop());
}

#[test]
fn metrics_are_there_though_nothing_is_exported_and_stay_after_the_end() {
    let runtime = runtime(Otel::disabled());
    let held = Arc::new(());
    let orders = runtime.block_on(async {
        let meter = otel::meter(shop());
        let holds = (Arc::clone(&held), Handle::current());
        let _gauge = meter
            .u64_observable_gauge("held")
            .with_callback(move |gauge| gauge.observe(Arc::strong_count(&holds.0) as u64, &[]))
            .build();
        meter.u64_counter("orders").build()
    });
    orders.add(1, &[]);
    let source = otel::metrics(runtime.handle());
    assert_eq!(count(&source.collect(), "orders"), Some(Number::Int(1)));
    drop(runtime);
    assert_eq!(count(&source.collect(), "orders"), Some(Number::Int(1)));
    // The callback held a handle of the runtime, which would have held the callback.
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn instruments_of_one_runtime_do_not_feed_the_next() {
    let memories = [InMemory::new(), InMemory::new()];
    let mut kept = None;
    for memory in &memories {
        let only = Only::new(Signal::Metrics, memory.clone());
        let runtime = runtime(Otel::builder().exporter(only).build());
        runtime.block_on(async {
            let orders =
                kept.get_or_insert_with(|| otel::meter(shop()).u64_counter("orders").build());
            orders.add(1, &[KeyValue::new("kind", "book")]);
        });
        drop(runtime);
    }
    let seen = memories.map(|memory| count(&memory.metrics(), "orders"));
    assert_eq!(seen, [Some(Number::Int(1)), None]);
}

#[test]
fn outside_of_a_runtime_all_of_it_is_global_and_does_no_harm() {
    otel::tracer(shop()).in_span("order", |context: Context| {
        assert!(!context.span().span_context().is_sampled());
    });
    otel::meter(shop())
        .u64_counter("orders")
        .build()
        .add(1, &[]);
}

#[cfg(feature = "prometheus")]
#[test]
fn a_runtime_that_exports_nothing_can_be_scraped() {
    let runtime = runtime(Otel::disabled());
    runtime.block_on(async {
        otel::meter(shop())
            .u64_counter("orders")
            .build()
            .add(4, &[]);
    });
    let scrape = otel::metrics(runtime.handle()).scrape(Some("text/plain"));
    let page = String::from_utf8(scrape.body).unwrap();
    let line = "orders_total{otel_scope_name=\"shop\",otel_scope_version=\"1.2.3\",\
                otel_scope_schema_url=\"https://example.com/schema\"} 4\n";
    assert!(page.contains(line), "{page}");
}

/// A context with a sampled span and a word of baggage.
fn traced() -> Context {
    use opentelemetry::baggage::BaggageExt;
    let span = SpanContext::new(
        TraceId::from(1),
        SpanId::from(2),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    Context::new()
        .with_remote_span_context(span)
        .with_baggage([KeyValue::new("customer", "7")])
}

/// The headers that the propagators of this process write.
fn headers() -> Vec<String> {
    let mut headers: HashMap<String, String> = HashMap::new();
    otel::with_propagator(|propagator| propagator.inject_context(&traced(), &mut headers));
    let mut names: Vec<String> = headers.into_keys().collect();
    names.sort();
    names
}

/// Runs [`program`] with these variables and no others of ours, and returns what it prints.
fn run(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "program", "--ignored", "--nocapture"]);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{variables:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "run by others in a process of its own"]
fn program() {
    println!("without a runtime: {}", headers().join(","));
    Runtime::new().unwrap().block_on(async {
        let orders = global::meter("shop").u64_counter("orders").build();
        orders.add(3, &[]);
        println!("on a runtime: {}", headers().join(","));
    });
    // The place is free for the next.
    Runtime::new().unwrap().block_on(async {
        global::meter("shop")
            .u64_counter("returns")
            .build()
            .add(5, &[]);
    });
}

#[test]
fn a_runtime_of_the_environment_takes_the_metrics_of_global_meters() {
    let printed = run(&[("OTEL_METRICS_EXPORTER", "console")]);
    let table = |name: &str| format!("{name} [] of shop");
    assert!(printed.contains(&table("orders")), "{printed}");
    assert!(printed.contains(&table("returns")), "{printed}");
    let silent = run(&[]);
    assert!(!silent.contains("orders"), "{silent}");
}

#[test]
fn propagators_that_nobody_installed_are_those_of_the_variable() {
    for (variable, names) in [
        (None, "baggage,traceparent,tracestate"),
        (Some("tracecontext"), "traceparent,tracestate"),
        (Some("baggage"), "baggage"),
        (Some("none"), ""),
    ] {
        let variables: Vec<_> = variable
            .map(|named| ("OTEL_PROPAGATORS", named))
            .into_iter()
            .collect();
        let printed = run(&variables);
        for place in ["without a runtime", "on a runtime"] {
            assert!(
                printed.contains(&format!("{place}: {names}\n")),
                "{printed}"
            );
        }
    }
}
