//! Which spans and metrics does a server leave, and are they whole when it has ended?

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::otel::{MetricData, Number, NumberPoint};
use telemetry_rt::sync::oneshot;
use telemetry_rt::testing::{Capture, Captured};
use telemetry_rt_http::{Limits, Serve, serve};

async fn hello() -> &'static str {
    let task = telemetry_rt::task::Builder::new().name("asked");
    task.spawn(async {}).await.unwrap();
    "hello"
}

fn application() -> Router {
    Router::new()
        .route("/items/{id}", get(hello))
        .route("/items", post(hello))
        .route("/never", get(std::future::pending::<()>))
}

/// Serves as `configured`, on a runtime that is captured, until `client` has ended.
fn served<F: Future<Output = ()>>(
    configured: impl FnOnce(Serve<TcpListener, Router>) -> Serve<TcpListener, Router>,
    client: impl FnOnce(SocketAddr) -> F,
) -> Captured<()> {
    let capture = Capture::new().sorted_by_text();
    capture.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = configured(serve(listener, application())).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let client = async {
            client(address).await;
            drop(stop);
        };
        telemetry_rt::join!(server.into_future(), client).0.unwrap();
    })
}

/// Sends a request on a connection of its own, and takes the whole answer.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn each_connection_begins_a_trace_that_is_linked_to_the_server() {
    let captured = served(Serve::without_telemetry, async |address| {
        ask(address, "GET /items/1").await;
        ask(address, "GET /items/2").await;
    });
    let server = captured.span("served");
    let connections: Vec<_> = captured.spans_named("http connection").collect();
    assert_eq!(connections.len(), 2, "{}", captured.tree());
    for connection in connections {
        let linked: Vec<_> = connection
            .links
            .iter()
            .map(|link| &link.span_context)
            .collect();
        assert_eq!(linked, [&server.span_context]);
    }
    assert_eq!(captured.count("http connection", "finished"), 2);
}

#[test]
fn requests_have_spans_that_know_their_route() {
    let captured = served(
        |serve| serve,
        async |address| {
            assert!(ask(address, "GET /items/1").await.ends_with("hello"));
            assert!(ask(address, "POST /items").await.ends_with("hello"));
            assert!(
                ask(address, "GET /nowhere")
                    .await
                    .starts_with("HTTP/1.1 404")
            );
        },
    );
    for name in ["GET /items/{id}", "POST /items", "GET"] {
        captured.span(name);
    }
}

#[test]
fn a_request_that_is_refused_for_its_size_has_a_span() {
    let captured = served(
        |serve| serve.limits(Limits::default().max_body_bytes(10)),
        async |address| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = b"POST /items HTTP/1.1\r\nHost: here\r\nContent-Length: 11\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 413");
        },
    );
    let status = captured.attribute("POST /items", "http.response.status_code");
    assert_eq!(status, Some(&413.into()));
    let hits = points_of(&captured, "http.server.limits.hit");
    assert_eq!(hits, ["limit=max_body_bytes 1"]);
}

#[test]
fn a_request_that_is_cut_off_by_the_shutdown_has_a_whole_span() {
    let captured = served(
        |serve| serve.shutdown_deadline(Duration::from_millis(50)),
        async |address| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /never HTTP/1.1\r\nHost: here\r\n\r\n")
                .await
                .unwrap();
            // So that the request is in the handler; a server that is told before only closes it.
            telemetry_rt::time::sleep(Duration::from_millis(100)).await;
            // The client stays until the server goes.
            std::mem::forget(stream);
        },
    );
    // Not taken for a client that left.
    let error = captured.attribute("GET /never", "error.type");
    assert_eq!(error, Some(&"shutdown".into()));
}

#[test]
fn connections_are_counted_while_they_are_open_and_by_why_they_were_closed() {
    let captured = served(
        |serve| serve,
        async |address| {
            ask(address, "GET /items/1").await;
            ask(address, "what is this?").await;
        },
    );
    let closed = points_of(&captured, "http.server.connections.closed");
    assert_eq!(closed, ["reason=finished 1", "reason=malformed 1"]);
    assert_eq!(points_of(&captured, "http.server.connections.open"), [" 0"]);
}

#[test]
fn connections_of_a_server_that_is_dropped_are_counted_as_closed() {
    let captured = Capture::new().run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = b"GET /items/1 HTTP/1.1\r\nHost: here\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.read_exact(&mut [0; 12]).await.unwrap();
            stream
        };
        telemetry_rt::select! {
            _ = serve(listener, application()).into_future() => unreachable!("it was not told to end"),
            stream = client => drop(stream),
        }
    });
    let closed = points_of(&captured, "http.server.connections.closed");
    assert_eq!(closed, ["reason=deadline 1"]);
}

/// The points of a metric, in the order of their attributes.
#[track_caller]
fn points_of(captured: &Captured<()>, name: &str) -> Vec<String> {
    let MetricData::Sum { points, .. } = &captured.metric(name).data else {
        panic!("{name} is not a sum");
    };
    let line = |point: &NumberPoint| {
        let attributes = point.attributes.iter();
        let attributes = attributes.map(|pair| format!("{}={}", pair.key, pair.value));
        let Number::Int(value) = point.value else {
            panic!("{name} is not a whole number");
        };
        format!("{} {value}", attributes.collect::<Vec<_>>().join(" "))
    };
    let mut lines: Vec<String> = points.iter().map(line).collect();
    lines.sort();
    lines
}
