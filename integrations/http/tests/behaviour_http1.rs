//! Is HTTP/1 what its clients expect? Asked by raw sockets and by `curl`.

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use support::{Server, eventually, header};
use telemetry_rt::time::sleep;
use telemetry_rt_http::{CloseReason, Connection, Sent, ServerLayer};

async fn echo(request: Request<Body>) -> Body {
    request.into_body()
}

async fn length(body: Bytes) -> String {
    body.len().to_string()
}

/// Answers in chunks, with a trailer that tells the one of the request.
async fn trailers(request: Request<Body>) -> Response {
    let collected = request.into_body().collect().await.unwrap();
    let told = collected
        .trailers()
        .and_then(|trailers| trailers.get("x-sum"));
    let told = told.cloned().unwrap_or(HeaderValue::from_static("none"));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-told", told);
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first "))),
        Ok(Frame::data(collected.to_bytes())),
        Ok(Frame::trailers(trailers)),
    ];
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Response::builder()
        .header("trailer", "x-told")
        .body(body)
        .unwrap()
}

/// A body that breaks off, after what there was has been sent.
async fn broken() -> Body {
    let parts = stream::unfold(true, async |is_first| {
        if is_first {
            return Some((Ok(Bytes::from_static(b"good so far")), false));
        }
        sleep(Duration::from_millis(1)).await;
        Some((Err("the well has run dry"), false))
    });
    Body::from_stream(parts)
}

async fn panics() -> &'static str {
    panic!("a handler that panics")
}

fn application() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(echo))
        .route("/length", post(length))
        .route("/trailers", post(trailers))
        .route("/broken", get(broken))
        .route("/early", post(async || (StatusCode::FORBIDDEN, "no")))
        .route("/panic", get(panics))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

#[test]
fn two_requests_share_a_connection() {
    let server = Server::start(application());
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(GET);
        let (head, body) = client.response();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert_eq!(body, "hello");
    }
    drop(client);
    let connects = ["-w", "%{num_connects} ", &server.url("/")];
    assert_eq!(server.curl("/", &connects), "hello1 hello0 ");
    let report = server.stop();
    assert_eq!(report.accepted, 2);
    assert_eq!(report.closed_in_all(), 2);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let server = Server::start(application());
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\none\
         GET / HTTP/1.1\r\nHost: here\r\n\r\n\
         POST /length HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nConnection: close\r\n\r\n1234",
    );
    let bodies: Vec<String> = (0..3).map(|_| client.response().1).collect();
    assert_eq!(bodies, ["one", "hello", "4"]);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_head_without_a_body_tells_how_long_it_would_be() {
    let server = Server::start(application());
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: here\r\n\r\n");
    let head = client.until("\r\n\r\n").to_ascii_lowercase();
    assert_eq!(header(&head, "content-length"), Some("5"));
    // Had there been a body, it would stand before the next answer.
    client.send("HEAD / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    assert!(client.rest().ends_with("\r\n\r\n"));
    let shown = server.curl("/", &["--head"]).to_ascii_lowercase();
    assert_eq!(header(&shown, "content-length"), Some("5"));
}

#[test]
fn who_closes_is_agreed_upon_by_version_and_header() {
    let server = Server::start(application());
    for (request, closes) in [
        (
            "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        (GET, false),
    ] {
        let mut client = server.connect();
        client.send(request);
        let (head, body) = client.response();
        assert_eq!(body, "hello");
        if closes {
            assert_eq!(client.rest(), "", "{request}");
        } else {
            assert_ne!(header(&head, "connection"), Some("close"), "{request}");
            client.send(GET);
            assert_eq!(client.response().1, "hello", "{request}");
        }
    }
    assert_eq!(server.curl("/", &["--http1.0"]), "hello");
}

#[test]
fn a_client_that_closes_its_side_after_the_request_is_not_answered() {
    // hyper takes it for a disconnect, unless it was told to allow half-closed connections.
    let server = Server::start(application());
    let mut client = server.connect();
    client.send("POST /length HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n123");
    client.half_close();
    client.rest();
    let report = server.stop();
    assert_eq!(report.closed_in_all(), 1, "{report:?}");
}

#[test]
fn chunks_and_trailers_go_both_ways() {
    let server = Server::start(application());
    let answer = server.answer_to(
        "POST /trailers HTTP/1.1\r\nHost: here\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
         Trailer: x-sum\r\nConnection: close\r\n\r\n\
         4\r\nseco\r\n2;ignored=yes\r\nnd\r\n0\r\nx-sum: 42\r\n\r\n",
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "transfer-encoding"), Some("chunked"));
    assert_eq!(
        body,
        "6\r\nfirst \r\n6\r\nsecond\r\n0\r\nx-told: 42\r\n\r\n"
    );
}

#[test]
fn curl_sends_and_takes_chunks() {
    let server = Server::start(application());
    let arguments = [
        "--header",
        "Transfer-Encoding: chunked",
        "--data",
        "in chunks",
    ];
    assert_eq!(server.curl("/echo", &arguments), "in chunks");
}

/// A file of so many bytes.
fn file(bytes: usize) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b'x'; bytes]).unwrap();
    file
}

fn upload(file: &tempfile::NamedTempFile) -> String {
    format!("@{}", file.path().display())
}

#[test]
fn who_expects_to_be_told_to_continue_is_told_when_the_body_is_wanted() {
    let server = Server::start(application());
    let file = file(1_500_000);
    let body = upload(&file);
    let expect = [
        "--data-binary",
        &body,
        "--header",
        "Expect: 100-continue",
        "--include",
    ];
    let shown = server.curl("/length", &expect);
    assert!(
        shown.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"),
        "{shown}"
    );
    assert!(shown.ends_with("1500000"), "{shown}");
}

#[test]
fn who_is_refused_before_the_body_is_not_told_to_continue() {
    let server = Server::start(application());
    let mut client = server.connect();
    client.send(
        "POST /early HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    let (head, body) = client.response();
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert_eq!(body, "no");
    let file = file(1_500_000);
    let arguments = [
        "--data-binary",
        &upload(&file),
        "-w",
        " %{http_code} %{size_upload}",
    ];
    assert_eq!(server.curl("/early", &arguments), "no 403 0");
}

/// Asks for an early answer, and goes on sending when it is there. Whether all could be sent.
fn is_heard_out(server: &Server) -> bool {
    let mut client = server.connect();
    client.send("POST /early HTTP/1.1\r\nHost: here\r\nContent-Length: 8000000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    let (head, body) = client.response();
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert_eq!(body, "no");
    let piece = vec![b'x'; 50_000];
    (0..20).all(|_| client.try_send(&piece).is_ok())
}

#[test]
fn an_early_answer_is_not_taken_back_by_a_reset_while_the_client_is_sending() {
    let server = Server::start(application());
    // The server has so much patience, and this machine may be slow; without patience, none of them
    // is heard out.
    assert!((0..20).any(|_| is_heard_out(&server)));
}

#[test]
fn a_body_that_fails_is_not_ended_as_if_it_were_complete() {
    let server = Server::start(application());
    let answer = server.answer_to("GET /broken HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("B\r\ngood so far\r\n"), "{answer}");
    let output = server.try_curl("/broken", &[]);
    assert!(!output.status.success());
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Service), 2, "{report:?}");
}

#[test]
fn a_client_that_leaves_in_its_body_is_an_error_to_who_reads_it() {
    let failed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&failed);
    let read = async move |request: Request<Body>| {
        let body = request.into_body().collect().await;
        seen.store(body.is_err(), Ordering::SeqCst);
    };
    let server = Server::start(Router::new().route("/", post(read)));
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n12345");
    drop(client);
    eventually("the handler is told", || failed.load(Ordering::SeqCst));
    let report = server.stop();
    assert_eq!(report.closed_in_all(), 1, "{report:?}");
}

#[test]
fn a_handler_that_panics_ends_its_connection_and_no_other() {
    let server = Server::start(application());
    let mut other = server.connect();
    other.send(GET);
    assert_eq!(other.response().1, "hello");
    assert_eq!(
        server.answer_to("GET /panic HTTP/1.1\r\nHost: here\r\n\r\n"),
        ""
    );
    other.send(GET);
    assert_eq!(other.response().1, "hello");
    drop(other);
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Panic), 1, "{report:?}");
}

#[test]
fn handlers_know_their_connection() {
    let peers = async |request: Request<Body>| {
        let connection = request.extensions().get::<Connection>().unwrap();
        format!(
            "{} {}",
            connection.peer_addr().unwrap(),
            connection.local_addr().unwrap()
        )
    };
    let server = Server::start(Router::new().route("/", get(peers)));
    let mut client = server.connect();
    client.send(GET);
    let expected = format!("{} {}", client.stream.local_addr().unwrap(), server.address);
    assert_eq!(client.response().1, expected);
}

#[test]
fn requests_that_are_dropped_by_their_clients_are_dropped_by_the_server() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (gone, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (in_handler, mark) = (Arc::clone(&gone), Arc::clone(&begun));
    let never = async move || {
        let _gone = Gone(in_handler);
        mark.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    };
    let server = Server::start(Router::new().route("/", get(never)));
    let mut client = server.connect();
    client.send(GET);
    eventually("the request is there", || begun.load(Ordering::SeqCst) == 1);
    drop(client);
    eventually("the request is dropped", || {
        gone.load(Ordering::SeqCst) == 1
    });
}

/// hyper drops such a body when it has as many bytes as the head announced.
#[test]
fn a_streamed_answer_of_announced_length_is_seen_to_its_end() {
    let has_ended = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&has_ended);
    let layer = ServerLayer::builder().client_response_hook(move |_, sent| {
        if matches!(sent, Sent::End) {
            ends.store(true, Ordering::SeqCst);
        }
    });
    let announced = || async {
        let parts = [Ok::<_, Infallible>(Bytes::from_static(b"abc"))];
        Response::builder()
            .header("content-length", "3")
            .body(Body::from_stream(stream::iter(parts)))
            .unwrap()
    };
    let server = Server::start(
        Router::new()
            .route("/", get(announced))
            .layer(layer.build()),
    );
    let answer = server.answer_to("GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    server.stop();
    assert!(has_ended.load(Ordering::SeqCst));
}
