//! Is HTTP/2 served on the same listener to those who speak it from the first byte on?

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use support::Server;
use telemetry_rt::net::TcpStream;
use telemetry_rt::task::JoinSet;
use telemetry_rt::time::sleep;
use telemetry_rt_http::{CloseReason, Limits};

const HTTP2: &str = "--http2-prior-knowledge";

fn application() -> Router {
    Router::new()
        .route(
            "/",
            get(async |request: Request<Body>| format!("{:?}", request.version())),
        )
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route(
            "/echo",
            post(async |request: Request<Body>| request.into_body()),
        )
        .route("/early", post(async || (StatusCode::FORBIDDEN, "no")))
        .route(
            "/slow",
            get(async || sleep(Duration::from_millis(50)).await),
        )
        .route("/panic", get(panics))
        .layer(DefaultBodyLimit::disable())
}

async fn panics() -> &'static str {
    panic!("a handler that panics")
}

#[test]
fn both_versions_are_spoken_on_one_listener() {
    let server = Server::start(application());
    assert_eq!(server.curl("/", &[HTTP2]), "HTTP/2.0");
    assert_eq!(server.curl("/", &[]), "HTTP/1.1");
    let shown = server.curl("/", &[HTTP2, "--head"]);
    assert!(shown.contains("content-length: 8"), "{shown}");
}

/// Runs hyper's tasks, for its client.
#[derive(Clone)]
struct Spawner;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        drop(telemetry_rt::spawn(future));
    }
}

/// Connects by hyper's client. The `curl` of Debian 12 fails with "Error in the HTTP2 framing layer"
/// before it sends a second request at once on a connection of prior knowledge, and with "Stream
/// error" now and then when it is answered early.
async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(Spawner, io).await;
    let (sender, connection) = handshake.unwrap();
    telemetry_rt::spawn(connection);
    sender
}

#[test]
fn requests_at_once_share_a_connection() {
    let server = Server::start(application());
    let address = server.address;
    telemetry_rt::block_on(async {
        let sender = connect(address).await;
        let mut requests = JoinSet::new();
        for _ in 0..50 {
            let mut sender = sender.clone();
            requests.spawn(async move {
                let request = Request::get("http://here/slow").body(Full::default());
                let response = sender.send_request(request.unwrap()).await;
                response.unwrap().status()
            });
        }
        let statuses = requests.join_all().await;
        assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    });
    let report = server.stop();
    assert_eq!(report.accepted, 1, "{report:?}");
    assert_eq!(report.closed_in_all(), 1, "{report:?}");
}

#[test]
fn an_early_answer_arrives_although_the_client_is_still_sending() {
    let server = Server::start(application());
    let address = server.address;
    telemetry_rt::block_on(async {
        let mut sender = connect(address).await;
        for _ in 0..20 {
            let body = Full::from(vec![b'x'; 1 << 20]);
            let request = Request::post("http://here/early").body(body).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(response.collect().await.unwrap().to_bytes(), "no");
        }
    });
}

#[test]
fn bodies_go_both_ways() {
    let server = Server::start(application());
    let large = "x".repeat(100_000);
    let data = [HTTP2, "--data-binary", &large];
    assert_eq!(server.curl("/length", &data), "100000");
    assert_eq!(server.curl("/echo", &data), large);
}

#[test]
fn bodies_and_heads_are_bounded() {
    let limits = Limits::default()
        .max_body_bytes(1000)
        .max_header_bytes(8192);
    let server = Server::with(application(), |serve| serve.limits(limits));
    let status = |path: &str, arguments: &[&str]| {
        let common = [
            HTTP2,
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ];
        server.curl(path, &[&common[..], arguments].concat())
    };
    assert_eq!(
        status("/length", &["--data-binary", &"x".repeat(1000)]),
        "200"
    );
    assert_eq!(
        status("/length", &["--data-binary", &"x".repeat(1001)]),
        "413"
    );
    let large = format!("X-Large: {}", "y".repeat(9000));
    assert_eq!(status("/", &["--header", &large]), "431");
}

#[test]
fn a_handler_that_panics_ends_its_stream_and_not_the_connection() {
    let server = Server::start(application());
    let output = server.try_curl("/panic", &[HTTP2, &server.url("/")]);
    assert!(
        !output.status.success() || output.stdout.ends_with(b"HTTP/2.0"),
        "{output:?}"
    );
    assert_eq!(output.stdout, b"HTTP/2.0");
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Panic), 0, "{report:?}");
}

#[test]
fn a_connection_without_requests_is_closed() {
    let limits = Limits::default().idle_timeout(Duration::from_millis(100));
    let server = Server::with(application(), |serve| serve.limits(limits));
    let mut client = server.connect();
    // The preface, empty settings, and a request for `/` with three indexed headers.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.send(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86");
    let all = client.rest();
    assert!(all.contains("HTTP/2.0"), "{all:?}");
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::IdleTimeout), 1, "{report:?}");
}

#[test]
fn a_peer_that_opens_no_window_for_its_answer_is_cut_off() {
    let limits = Limits::default()
        .write_timeout(Duration::from_millis(100))
        .ping_interval(Duration::from_millis(20));
    let server = Server::with(application(), |serve| serve.limits(limits));
    let mut client = server.connect();
    // Settings by which streams begin with a window of no bytes; the request is as above.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0");
    client.send(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86");
    client.rest();
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::WriteTimeout), 1, "{report:?}");
}

#[test]
fn a_peer_that_answers_no_pings_is_gone() {
    let limits = Limits::default()
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(50));
    let server = Server::with(application(), |serve| serve.limits(limits));
    let mut client = server.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.rest();
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::PingTimeout), 1, "{report:?}");
}
