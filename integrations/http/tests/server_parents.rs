//! Whose child is a request, and what is its child?

#[path = "support/server.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use http::Request;
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::Sampler;
use support::{PARENT, SPAN, Seen, TRACE, get, read};
use telemetry_rt::task;
use telemetry_rt_http::{RemoteParent, ServerLayerBuilder};
use tower::ServiceExt;

/// What a handler finds in its context.
fn found() -> String {
    let context = Context::current();
    let span = context.span().span_context().clone();
    let baggage: Vec<_> = context
        .baggage()
        .iter()
        .map(|(key, (value, _))| format!("{key}={value}"))
        .collect();
    let state = span.trace_state().header();
    format!(
        "{} {} {} {}",
        span.is_remote(),
        span.is_sampled(),
        state,
        baggage.join(",")
    )
}

fn from_remote() -> Request<Body> {
    Request::get("/")
        .header("traceparent", PARENT)
        .header("tracestate", "a=1")
        .header("tracestate", "b=2")
        .header("baggage", "user=7")
        .body(Body::empty())
        .unwrap()
}

fn ask(seen: &Seen, builder: ServerLayerBuilder, request: Request<Body>) -> String {
    let router = Router::new()
        .route("/", on_get(|| async { found() }))
        .layer(builder.build());
    let answer = seen
        .runtime()
        .block_on(async { read(router.oneshot(request).await.unwrap()).await });
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn a_request_goes_on_with_the_trace_of_its_sender_and_hands_state_and_baggage_to_the_handler() {
    let seen = Seen::new();
    assert_eq!(
        ask(&seen, seen.builder(), from_remote()),
        "false true a=1,b=2 user=7"
    );
    let span = seen.span();
    assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    assert_eq!(span.parent_span_id.to_string(), SPAN);
    assert!(span.parent_span_is_remote);
}

#[test]
fn a_peer_that_is_not_trusted_is_linked_or_ignored_and_so_is_its_baggage() {
    for (remote, links) in [(RemoteParent::Link, 1), (RemoteParent::Ignore, 0)] {
        let seen = Seen::new();
        let builder = seen.builder().remote_parent(remote);
        assert_eq!(ask(&seen, builder, from_remote()), "false true  ");
        let span = seen.span();
        assert_ne!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert_eq!(span.links.links.len(), links);
        for link in &span.links.links {
            assert_eq!(link.span_context.span_id().to_string(), SPAN);
        }
    }
}

#[test]
fn who_is_trusted_is_decided_for_each_request_and_nobody_is_if_that_panics() {
    let traces = |path: &str| {
        let seen = Seen::new();
        let builder = seen
            .builder()
            .remote_parent_fn(|parts| match parts.uri.query() {
                Some("friend") => RemoteParent::Continue,
                Some("panic") => panic!("who is that"),
                _ => RemoteParent::Ignore,
            });
        let mut request = from_remote();
        *request.uri_mut() = path.parse().unwrap();
        ask(&seen, builder, request);
        seen.span().span_context.trace_id().to_string() == TRACE
    };
    assert_eq!(
        ["/?friend", "/", "/?panic"].map(traces),
        [true, false, false]
    );
}

#[test]
fn without_a_sender_a_request_is_the_root_of_a_trace_of_its_own() {
    let seen = Seen::new();
    let router = Router::new()
        .route("/", on_get(|| async {}))
        .layer(seen.layer());
    seen.runtime().block_on(async {
        for _ in 0..2 {
            read(router.clone().oneshot(get("/")).await.unwrap()).await;
        }
    });
    let [first, second] = <[_; 2]>::try_from(seen.spans()).unwrap();
    assert_eq!(first.parent_span_id, SpanId::INVALID);
    assert_ne!(
        first.span_context.trace_id(),
        second.span_context.trace_id()
    );
    assert_eq!(first.links.links.len(), 0);
}

#[test]
fn spans_tasks_and_blocking_functions_of_the_handler_and_of_the_body_nest_under_the_request() {
    let seen = Seen::new();
    let tracer = seen.tracers.tracer("app");
    let in_body = seen.tracers.tracer("app");
    let handler = move || {
        let (tracer, in_body) = (tracer.clone(), in_body.clone());
        async move {
            drop(tracer.start("own"));
            let task = task::Builder::new().name("task").spawn(async {
                task::Builder::new()
                    .name("hop")
                    .spawn_blocking(|| ())
                    .await
                    .unwrap();
            });
            task.await.unwrap();
            Body::from_stream(futures_util::stream::iter([1, 2]).map_while_started(in_body))
        }
    };
    let router = Router::new()
        .route("/", on_get(handler))
        .layer(seen.layer());
    seen.runtime()
        .block_on(async { read(router.oneshot(get("/")).await.unwrap()).await });
    let request = seen.span().span_context.span_id();
    let spans = seen.all_spans();
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("{name}: {spans:?}"))
    };
    for name in ["own", "task", "in body"] {
        assert_eq!(named(name).parent_span_id, request, "{name}");
    }
    assert_eq!(
        named("hop").parent_span_id,
        named("task").span_context.span_id()
    );
    assert!(named("in body").end_time <= seen.span().end_time);
}

/// A stream that makes a span with each of its items.
trait Started: Sized {
    fn map_while_started<T>(
        self,
        tracer: T,
    ) -> impl futures_util::Stream<Item = Result<String, std::io::Error>> + Send
    where
        T: Tracer<Span: Send> + Send + 'static;
}

impl<S: futures_util::Stream<Item = i32> + Send> Started for S {
    fn map_while_started<T>(
        self,
        tracer: T,
    ) -> impl futures_util::Stream<Item = Result<String, std::io::Error>> + Send
    where
        T: Tracer<Span: Send> + Send + 'static,
    {
        futures_util::StreamExt::map(self, move |number| {
            drop(tracer.start("in body"));
            Ok(number.to_string())
        })
    }
}

#[test]
fn a_request_that_is_not_sampled_has_a_context_and_metrics_all_the_same() {
    let seen = Seen::sampled(Sampler::AlwaysOff);
    assert_eq!(
        ask(&seen, seen.builder(), from_remote()),
        "false false a=1,b=2 user=7"
    );
    assert_eq!(seen.spans().len(), 0);
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn without_providers_the_spans_of_requests_go_where_those_of_the_runtime_go() {
    let (seen, elsewhere) = (Seen::new(), Seen::new());
    let layer = telemetry_rt_http::ServerLayer::new();
    let router = Router::new().route("/", on_get(|| async {})).layer(layer);
    for seen in [&seen, &elsewhere, &seen] {
        seen.runtime()
            .block_on(async { read(router.clone().oneshot(get("/")).await.unwrap()).await });
    }
    assert_eq!((seen.spans().len(), elsewhere.spans().len()), (2, 1));
}
