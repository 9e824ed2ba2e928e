//! Tasks, and the spans and metrics of an application that has providers of its own.
#![cfg(all(feature = "telemetry", feature = "macros"))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use telemetry_rt::otel::{Otel, instrument};
use telemetry_rt::runtime::Builder;

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Seen {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Seen {
    /// Each span of the trace below `request`, as `name < parent`, sorted.
    fn tree(&self) -> Vec<String> {
        let spans = self.0.lock().unwrap();
        let request = spans.iter().find(|span| span.name == "request").unwrap();
        let trace = request.span_context.trace_id();
        let name_of = |id: SpanId| {
            let parent = spans.iter().find(|span| span.span_context.span_id() == id);
            parent.map_or("nothing", |span| &*span.name)
        };
        let in_trace = spans
            .iter()
            .filter(|span| span.span_context.trace_id() == trace);
        let mut tree: Vec<String> = in_trace
            .map(|span| format!("{} < {}", span.name, name_of(span.parent_span_id)))
            .collect();
        tree.sort();
        tree
    }
}

#[telemetry_rt::span]
async fn query() {
    telemetry_rt::task::spawn_blocking(|| {}).await.unwrap();
}

async fn fetch() {
    query().await;
}

/// A request of the application, with two tasks below each other.
fn serve(otel: Otel, provider: &SdkTracerProvider) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .otel(otel)
        .build()
        .unwrap();
    let request = provider
        .tracer("app")
        .start_with_context("request", &Context::new());
    let context = Context::new().with_span(request);
    let attached = context.clone().attach();
    let outer = runtime.spawn(async { telemetry_rt::spawn(fetch()).await.unwrap() });
    drop(attached);
    runtime.block_on(outer).unwrap();
    context.span().end();
    drop(runtime);
}

const TREE: [&str; 5] = [
    "fetch < serve",
    "query < fetch",
    "query < query",
    "request < nothing",
    "serve < request",
];

#[test]
fn tasks_and_spans_of_users_are_one_trace_in_an_instrumented_provider() {
    let seen = Seen::default();
    let builder = SdkTracerProvider::builder().with_span_processor(seen.clone());
    let instrumented = instrument(builder, Sampler::AlwaysOn);
    let otel = Otel::builder().tracer_provider(&instrumented).build();
    serve(otel, &instrumented.provider());
    assert_eq!(seen.tree(), TREE);
}

#[test]
fn tasks_and_spans_of_users_are_one_trace_in_a_foreign_provider() {
    let seen = Seen::default();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(seen.clone())
        .build();
    let otel = Otel::builder().foreign_tracer_provider(provider.clone());
    serve(otel.build(), &provider);
    assert_eq!(seen.tree(), TREE);
}
