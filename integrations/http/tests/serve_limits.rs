//! Are slow, silent and greedy clients cut off, for the right reason, and nobody else?
//!
//! Bounds are short here. That a bound is not hit too early is seen from clients that do something
//! now and then, for longer than the bound.

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::Request;
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::{BodyExt, Full};
use support::{Raw, Server, eventually};
use telemetry_rt::time::sleep;
use telemetry_rt_http::{CloseReason, LimitedBody, Limits, Report, RequestBody, serve};
use tower::{BoxError, service_fn};

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);

/// As many pieces as the stream of one second has, and then some.
const PIECES: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);

async fn collected(request: Request<Body>) -> Result<String, String> {
    let body = request.into_body().collect().await;
    let body = body.map_err(|error| error.to_string())?;
    Ok(body.to_bytes().len().to_string())
}

fn application() -> Router {
    let endless = || stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![0; 64 * 1024])));
    Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", get(async || sleep(4 * SHORT).await))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/collected", post(collected))
        .route("/endless", get(async move || Body::from_stream(endless())))
        .layer(DefaultBodyLimit::disable())
}

fn limited(limits: Limits) -> Server {
    Server::with(application(), |serve| serve.limits(limits))
}

#[track_caller]
fn one_closed_for(reason: CloseReason, server: Server) -> Report {
    let report = server.stop();
    assert_eq!(report.closed(reason), 1, "{report:?}");
    assert_eq!(report.closed_in_all(), report.accepted);
    report
}

#[test]
fn a_client_that_says_nothing_is_cut_off() {
    let server = limited(Limits::default().header_timeout(SHORT));
    assert_eq!(server.connect().rest(), "");
    one_closed_for(CloseReason::HeaderTimeout, server);
}

#[test]
fn a_client_whose_first_head_takes_its_time_is_cut_off_although_it_goes_on_sending() {
    let server = limited(Limits::default().header_timeout(SHORT));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    while client.try_send("X").is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    one_closed_for(CloseReason::HeaderTimeout, server);
}

#[test]
fn a_client_that_could_still_be_of_either_version_is_cut_off() {
    let server = limited(Limits::default().header_timeout(SHORT));
    let mut client = server.connect();
    client.send("PRI * HTTP/2.0\r\n");
    assert_eq!(client.rest(), "");
    one_closed_for(CloseReason::HeaderTimeout, server);
}

#[test]
fn a_client_whose_second_head_takes_its_time_is_cut_off() {
    let server = limited(Limits::default().header_timeout(SHORT));
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.response().1, "hello");
    // So that the server has seen it quiet.
    thread::sleep(SHORT);
    while client.try_send("X").is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    one_closed_for(CloseReason::HeaderTimeout, server);
}

#[test]
fn a_connection_in_use_outlives_the_bounds_of_heads_and_of_idleness() {
    let server = limited(Limits::default().header_timeout(SHORT).idle_timeout(SHORT));
    let mut client = server.connect();
    for _ in 0..PIECES {
        client.send(GET);
        assert_eq!(client.response().1, "hello");
        thread::sleep(PAUSE);
    }
    client.send("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n");
    client.response();
    drop(client);
    let report = server.stop();
    // The server may hear of its own end before it hears of the client's.
    let unbounded = [CloseReason::Finished, CloseReason::Shutdown];
    let unbounded = unbounded.map(|reason| report.closed(reason));
    assert_eq!(unbounded.iter().sum::<u64>(), 1, "{report:?}");
}

#[test]
fn a_connection_without_requests_is_closed() {
    let server = limited(Limits::default().idle_timeout(SHORT));
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.response().1, "hello");
    assert_eq!(client.rest(), "");
    one_closed_for(CloseReason::IdleTimeout, server);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = limited(Limits::default().write_timeout(SHORT));
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: here\r\n\r\n");
    eventually_closed(&client);
    one_closed_for(CloseReason::WriteTimeout, server);
}

/// Waits until the server has closed the connection of a client that does not read: then writing
/// fails.
fn eventually_closed(client: &Raw) {
    let stream = client.stream.try_clone().unwrap();
    eventually("the server closes the connection", || {
        std::io::Write::write_all(&mut &stream, b"x").is_err()
    });
}

#[test]
fn a_client_that_reads_slowly_is_borne() {
    let server = limited(Limits::default().write_timeout(SHORT));
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: here\r\n\r\n");
    for _ in 0..PIECES {
        // More than the buffers of both sockets hold, so that the server gets on with it.
        for _ in 0..64 {
            client.until(&"\0".repeat(64 * 1024));
        }
        thread::sleep(PAUSE);
    }
    drop(client);
    one_closed_for(CloseReason::Disconnected, server);
}

#[test]
fn a_body_that_is_announced_to_be_too_large_is_refused_before_the_handler() {
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let handler = async move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let router = Router::new().route("/", post(handler));
    let limits = Limits::default().max_body_bytes(1000);
    let server = Server::with(router, |serve| serve.limits(limits));
    let status = ["--write-out", "%{http_code}", "--data-binary"];
    let post = |bytes: usize| server.curl("/", &[&status[..], &[&"x".repeat(bytes)]].concat());
    assert_eq!(post(1000), "200");
    assert_eq!(post(1001), "413");
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

#[test]
fn a_body_that_turns_out_to_be_too_large_is_an_error_to_the_handler() {
    let server = limited(Limits::default().max_body_bytes(1000));
    let chunked = [
        "--header",
        "Transfer-Encoding: chunked",
        "--write-out",
        " %{http_code}",
    ];
    let post = |path: &str, bytes: usize| {
        server.curl(
            path,
            &[&chunked[..], &["--data-binary", &"x".repeat(bytes)]].concat(),
        )
    };
    assert_eq!(post("/length", 1000), "1000 200");
    assert!(post("/length", 100_000).ends_with(" 413"));
    assert_eq!(post("/collected", 100_000), "length limit exceeded 200");
}

#[test]
fn a_body_that_does_not_come_is_an_error_to_the_handler() {
    let server = limited(Limits::default().body_timeout(SHORT));
    let head = "POST /collected HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n12345";
    let answer = server.answer_to(head);
    assert!(answer.contains("did not come in time"), "{answer}");
    // What comes slowly does come.
    let mut client = server.connect();
    client.send(head);
    for _ in 5..100 {
        client.send("x");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.response().1, "100");
}

#[test]
fn a_body_that_has_failed_is_over() {
    async fn frames(request: Request<Body>) -> String {
        let mut body = request.into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            seen.push(frame.is_ok());
        }
        format!("{seen:?}")
    }
    let router = Router::new().route("/", post(frames));
    let limits = Limits::default().body_timeout(SHORT).max_body_bytes(8);
    let server = Server::with(router, |serve| serve.limits(limits));
    let post = |body: &str| {
        let head = "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
        server.answer_to(&format!("{head}{body}"))
    };
    assert!(post("5\r\n12345\r\n").ends_with("[true, false]"));
    assert!(post("9\r\n123456789\r\n").ends_with("[false]"));
}

#[test]
fn a_plain_service_passes_the_errors_of_its_bodies_on() {
    async fn length(
        request: Request<RequestBody>,
    ) -> Result<http::Response<Full<Bytes>>, BoxError> {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(http::Response::new(Full::from(body.len().to_string())))
    }
    let limits = Limits::default().max_body_bytes(1000).body_timeout(SHORT);
    let server = Server::run(async |listener, stopped| {
        serve(listener, LimitedBody::new(service_fn(length)))
            .limits(limits)
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    });
    let post = |headers: &str, body: &str| {
        let text = format!(
            "POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n\r\n{body}"
        );
        server.answer_to(&text)
    };
    let large = format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000));
    assert!(post("Content-Length: 5", "12345").starts_with("HTTP/1.1 200"));
    assert!(post("Content-Length: 2000", "12345").starts_with("HTTP/1.1 413"));
    assert!(post("Transfer-Encoding: chunked", &large).starts_with("HTTP/1.1 413"));
    assert!(post("Content-Length: 100", "12345").starts_with("HTTP/1.1 408"));
}

#[test]
fn connections_beyond_the_bound_wait_until_there_is_room() {
    let server = limited(Limits::default().max_connections(2));
    let mut clients: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    assert_eq!(clients[0].response().1, "hello");
    assert_eq!(clients[1].response().1, "hello");
    let waiting = &clients[2].stream;
    waiting.set_read_timeout(Some(SHORT)).unwrap();
    assert!(waiting.peek(&mut [0]).is_err(), "there was no room for it");
    waiting.set_read_timeout(Some(support::LIMIT)).unwrap();
    drop(clients.remove(0));
    assert_eq!(clients[1].response().1, "hello");
    drop(clients);
    let report = server.stop();
    assert_eq!(report.accepted, 3);
    // The second wait is for a place beside the client that was let in last.
    assert!(matches!(report.waits_for_room, 1 | 2), "{report:?}");
}

#[test]
fn an_old_connection_is_closed_after_its_request() {
    let server = limited(Limits::default().max_connection_age(SHORT));
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, _) = client.response();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(client.rest(), "");
    one_closed_for(CloseReason::Age, server);
}
