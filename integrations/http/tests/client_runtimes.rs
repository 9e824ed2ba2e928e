//! One client layer, two runtimes in one process: whose are the spans and metrics of a request?

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry::trace::SpanKind;
use telemetry_rt::otel::{InMemory, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt_http::ClientLayer;
use tower::{Layer, ServiceExt, service_fn};

type Body = Full<Bytes>;

/// A runtime that keeps its telemetry, and where it keeps it.
fn runtime() -> (Runtime, InMemory) {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone()).build();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap();
    (runtime, memory)
}

async fn ask(layer: ClientLayer, url: &'static str) {
    let answer =
        async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("an answer")));
    let request = Request::get(url).body(Body::default()).unwrap();
    let answered = layer.layer(service_fn(answer)).oneshot(request).await;
    answered.unwrap().into_body().collect().await.unwrap();
}

/// The URLs of the spans of requests, in order.
fn asked(memory: &InMemory) -> Vec<String> {
    let spans = memory.spans().into_iter();
    let requests = spans.filter(|span| span.span_kind == SpanKind::Client);
    let mut urls: Vec<_> = requests
        .flat_map(|span| span.attributes)
        .filter(|attribute| attribute.key.as_str() == "url.full")
        .map(|attribute| attribute.value.to_string())
        .collect();
    urls.sort();
    urls
}

fn has_durations(memory: &InMemory) -> bool {
    let metrics = memory.metrics();
    metrics
        .iter()
        .any(|metric| metric.name == "http.client.request.duration")
}

#[test]
fn each_request_is_recorded_by_the_runtime_that_it_is_made_on() {
    let layer = ClientLayer::new();
    let (first, in_first) = runtime();
    let (second, in_second) = runtime();
    first.block_on(ask(layer.clone(), "http://one/"));
    second.block_on(ask(layer.clone(), "http://two/"));
    first.block_on(ask(layer.clone(), "http://one/again"));
    second.block_on(ask(layer, "http://two/again"));
    drop((first, second));
    assert_eq!(asked(&in_first), ["http://one/", "http://one/again"]);
    assert_eq!(asked(&in_second), ["http://two/", "http://two/again"]);
    assert!(has_durations(&in_first) && has_durations(&in_second));
}
