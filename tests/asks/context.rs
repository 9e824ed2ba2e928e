//! Does what belongs to a request go where its work goes, whoever spawns that work?

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use telemetry_rt::net::UnixStream;
use telemetry_rt::task::{spawn_blocking, yield_now};
use telemetry_rt::time::{Duration, sleep};

use crate::named;
use crate::observed::{Observed, on_each};

type Headers = HashMap<String, String>;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

async fn handler() -> Headers {
    yield_now().await;
    named("query").spawn(query()).await.unwrap()
}

async fn query() -> Headers {
    sleep(Duration::from_millis(1)).await;
    named("call").spawn_blocking(headers).await.unwrap()
}

/// What a request would be sent with from here.
fn headers() -> Headers {
    let mut headers = Headers::new();
    TraceContextPropagator::new().inject(&mut headers);
    headers
}

// The first ask.
#[test]
fn a_request_is_one_trace_from_the_headers_it_came_with_to_those_it_leaves_with() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let came_with =
            Headers::from([("traceparent".to_owned(), format!("00-{TRACE}-{CALLER}-01"))]);
        let left_with = observed.runtime.block_on(async {
            let task = {
                let _arrived = TraceContextPropagator::new().extract(&came_with).attach();
                named("handler").spawn(handler())
            };
            task.await.unwrap()
        });
        let seen = observed.end();
        assert_eq!(seen.named("handler").parent_span_id.to_string(), CALLER);
        seen.assert_child("query", "handler");
        seen.assert_child("call", "query");
        let call = seen.named("call").span_context.span_id();
        assert_eq!(left_with["traceparent"], format!("00-{TRACE}-{call}-01"));
    });
}

/// All that hyper asks of a runtime, and how often it did.
#[derive(Clone, Default)]
struct Spawner(Arc<AtomicUsize>);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.fetch_add(1, SeqCst);
        telemetry_rt::spawn(future);
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    named("answer").spawn(yield_now()).await.unwrap();
    Ok(Response::new(Empty::new()))
}

async fn ask_once(spawner: Spawner) {
    let (near, far) = UnixStream::pair().unwrap();
    let server = server::Builder::new(spawner.clone());
    let serving = server.serve_connection(TokioIo::new(far), service_fn(answer));
    let serving = named("serving").spawn(serving);
    let handshake = client::handshake(spawner, TokioIo::new(near));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = named("connection").spawn(connection);
    let request = Request::new(Empty::<Bytes>::new());
    assert!(sender.send_request(request).await.is_ok());
    drop(sender);
    // How a connection ends is hyper's business.
    drop(connection.await.unwrap());
    drop(serving.await.unwrap());
}

// The second ask.
#[test]
fn what_a_library_spawns_by_itself_is_recorded_below_the_task_it_works_for() {
    on_each(|builder| {
        let spawner = Spawner::default();
        let seen = Observed::new(builder).run(ask_once(spawner.clone()));
        let spawned_by_hyper = spawner.0.load(SeqCst);
        // The root future, and the three that have a name.
        assert_eq!(seen.spans.len(), spawned_by_hyper + 4, "{:?}", seen.spans);
        let counted: i64 = seen.counts().values().sum();
        assert_eq!(counted, seen.spans.len() as i64);
        let ours = seen.named("answer").parent_span_id;
        let mut spans = seen.spans.iter();
        let hypers = spans.find(|span| span.span_context.span_id() == ours);
        let serving = seen.named("serving").span_context.span_id();
        assert_eq!(hypers.unwrap().parent_span_id, serving);
    });
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Tenant(&'static str);

/// The tenant and the order that whatever runs here works for.
fn works_for() -> (Option<Tenant>, Option<String>) {
    let context = Context::current();
    let order = context.baggage().get("order").map(ToString::to_string);
    (context.get::<Tenant>().copied(), order)
}

fn blue() -> (Option<Tenant>, Option<String>) {
    (Some(Tenant("blue")), Some("7".to_owned()))
}

async fn works_for_blue() {
    yield_now().await;
    assert!(Context::current().has_active_span());
    assert_eq!(works_for(), blue());
    assert_eq!(spawn_blocking(works_for).await.unwrap(), blue());
    let child = {
        let changed = Context::current().with_value(Tenant("red"));
        let _attached = changed.attach();
        telemetry_rt::spawn(async {
            yield_now().await;
            works_for().0
        })
    };
    assert_eq!(child.await.unwrap(), Some(Tenant("red")));
    assert_eq!(works_for(), blue(), "a child's are its own");
}

// The third ask.
#[test]
fn baggage_and_values_of_a_parent_are_those_of_its_children_and_never_the_other_way() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let task = {
                let context = Context::current().with_value(Tenant("blue"));
                let context = context.with_baggage([KeyValue::new("order", "7")]);
                let _attached = context.attach();
                named("parent").spawn(works_for_blue())
            };
            task.await.unwrap();
            assert_eq!(works_for(), (None, None));
        });
        assert_eq!(seen.end_of("parent"), crate::observed::FINISHED);
    });
}
