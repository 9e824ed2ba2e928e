//! What becomes of the context that a request brings along, on its way through a service that asks
//! another one? Whatever came in, what goes out is such that the next service takes all of it.

use std::convert::Infallible;
use std::sync::{LazyLock, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use telemetry_rt_http::{ClientLayer, ServerLayer};
use tower::{Layer, ServiceExt, service_fn};

use crate::http_world::{World, total};

const NAMES: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Lines, each of which is the value of a header; which one says its first character.
pub fn http_context(bytes: &[u8]) {
    let world = World::get();
    let headers: HeaderMap = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(header)
        .collect();
    let first = world.runtime.block_on(pass(headers));
    assert_is_well_formed(&first);
    let dropped = dropped(world);
    let second = world.runtime.block_on(pass(first.clone()));
    assert_is_well_formed(&second);
    assert_eq!(self::dropped(world), dropped, "of {first:?}");
    assert_eq!(trace(&first), trace(&second));
    assert_eq!(first.get("tracestate"), second.get("tracestate"));
    // OpenTelemetry's propagator does not encode `%` again, so that a member may not outlive a hop; but
    // none comes that nobody sent.
    assert!(members(&second) <= members(&first), "{first:?}: {second:?}");
    let (started, ended) = world.spans();
    assert_eq!(started, ended);
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let (first, value) = line.split_first()?;
    let name = match first {
        b'p' => NAMES[0],
        b's' => NAMES[1],
        b'b' => NAMES[2],
        _ => return None,
    };
    let value = HeaderValue::from_bytes(value).ok()?;
    Some((HeaderName::from_static(name), value))
}

fn assert_is_well_formed(headers: &HeaderMap) {
    for name in NAMES {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        assert!(
            values.iter().all(|value| value.to_str().is_ok()),
            "{values:?}"
        );
    }
    assert_eq!(headers["traceparent"].len(), 55);
}

fn trace(headers: &HeaderMap) -> &str {
    let parent = headers["traceparent"].to_str();
    &parent.expect("it was looked at")[..35]
}

fn members(headers: &HeaderMap) -> usize {
    let baggage = headers.get("baggage").map(HeaderValue::as_bytes);
    baggage.map_or(0, |baggage| baggage.split(|byte| *byte == b',').count())
}

fn dropped(world: &World) -> i64 {
    total(&world.metrics(), "telemetry_rt.http.propagation.dropped")
}

/// The headers that a service sends on which gets these.
async fn pass(headers: HeaderMap) -> HeaderMap {
    static LAYERS: LazyLock<(ServerLayer, ClientLayer)> = LazyLock::new(|| {
        let provider = &World::get().provider;
        let server = ServerLayer::builder().tracer_provider(provider.clone());
        let client = ClientLayer::builder().tracer_provider(provider.clone());
        (server.build(), client.build())
    });
    let (server, client) = &*LAYERS;
    let sent = Mutex::new(HeaderMap::new());
    let next = client.layer(service_fn(async |request: Request<Body>| {
        *sent.lock().unwrap() = request.headers().clone();
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let service = server.layer(service_fn(async |_: Request<Body>| {
        let request = Request::get("http://next.example/").body(Body::empty());
        let answer = next
            .clone()
            .oneshot(request.expect("it has all parts"))
            .await;
        answer.map(|_| Response::new(Body::empty()))
    }));
    let mut request = Request::new(Body::empty());
    *request.headers_mut() = headers;
    let answer: Result<_, Infallible> = service.oneshot(request).await;
    drop(answer);
    sent.into_inner().unwrap()
}
