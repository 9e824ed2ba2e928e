//! What a test from outside cannot bring about: connections, and runtimes that come and go.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;

use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use telemetry_rt::runtime::{Builder, Runtime};
use tower::{Layer, Service, service_fn};

use super::ServerLayer;
use crate::connection::Connection;

fn runtime() -> Runtime {
    let otel = telemetry_rt::otel::Otel::builder().build();
    Builder::new_current_thread()
        .enable_all()
        .otel(otel)
        .build()
        .unwrap()
}

/// Drops a request that came by this connection, once it has been polled.
fn abandoned(connection: &Connection) -> SpanData {
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    let layer = ServerLayer::builder()
        .tracer_provider(provider.clone())
        .build();
    let never = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(connection.clone());
    runtime().block_on(async {
        let mut answer = layer.layer(never).call(request);
        assert!((&mut answer).now_or_never().is_none());
    });
    spans.get_finished_spans().unwrap().remove(0)
}

fn connection() -> Connection {
    let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    Connection::new(Some(peer), None)
}

#[test]
fn a_request_that_the_server_gives_up_is_an_error_of_the_server() {
    let connection = connection();
    connection.give_up();
    let span = abandoned(&connection);
    assert_eq!(span.status, Status::error(""));
    assert!(
        span.attributes
            .contains(&KeyValue::new("error.type", "shutdown"))
    );
    assert!(
        !span
            .attributes
            .iter()
            .any(|attribute| attribute.key.as_str() == super::in_flight::OUTCOME)
    );
}

#[test]
fn a_connection_tells_who_the_peer_is() {
    let span = abandoned(&connection());
    assert_eq!(span.status, Status::Unset);
    let expected = [
        KeyValue::new("client.address", "192.0.2.7"),
        KeyValue::new("network.peer.address", "192.0.2.7"),
        KeyValue::new("network.peer.port", 4711),
    ];
    for attribute in expected {
        assert!(span.attributes.contains(&attribute), "{attribute:?}");
    }
}
