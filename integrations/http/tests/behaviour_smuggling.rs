//! Can a request be hidden in another, or be taken for two by one who stands in between?
//!
//! hyper decides where requests end; this table holds it to the strictness that is relied on. Each
//! entry is sent on a connection of its own, followed by a request that must not be answered if what
//! was before it is ambiguous.

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::BodyExt;
use support::Server;
use telemetry_rt_http::{CloseReason, Limits};

/// What becomes of a connection.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Answered by this status, and closed; the service has not seen the request.
    Refused(u16),
    /// The service saw the head, and an error instead of the end of the body; nothing after it.
    BrokenBody,
    /// The request, and the one after it, were understood. The service got this body.
    Served(&'static str),
    /// As `Served`, but the connection is closed and nothing after the request was looked at: RFC 9112
    /// (6.1) lets a server go by the chunks then.
    ServedAlone(&'static str),
}

use Outcome::{BrokenBody, Refused, Served, ServedAlone};

const CASES: &[(&str, &str, Outcome)] = &[
    (
        "a length",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello",
        Served("hello"),
    ),
    (
        "chunks",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Served("hello"),
    ),
    (
        "length and chunks",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ServedAlone(""),
    ),
    (
        "chunks and length",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ServedAlone(""),
    ),
    (
        "two lengths that differ",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        Refused(400),
    ),
    (
        "two lengths in one header",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5, 6\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a length with a sign",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: +5\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -5\r\n\r\nhello",
        Refused(400),
    ),
    (
        "a length that is too large to be a number",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        Refused(400),
    ),
    (
        "an encoding that only looks like chunks",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "chunks that are not the last encoding",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "two encodings of which the last is not chunks",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "chunks in a version that has none",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a space before the name",
        "POST / HTTP/1.1\r\nHost: here\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a folded header",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a control character in a value",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "a carriage return in a value",
        "POST / HTTP/1.1\r\nHost: here\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        Refused(400),
    ),
    (
        "a zero byte in a value",
        "POST / HTTP/1.1\r\nHost: here\r\nX: a\0b\r\n\r\n",
        Refused(400),
    ),
    (
        "a version that is none",
        "POST / HTTP/1.9\r\nHost: here\r\n\r\n",
        Refused(400),
    ),
    (
        "no method",
        " / HTTP/1.1\r\nHost: here\r\n\r\n",
        Refused(400),
    ),
    (
        "two spaces in the request line",
        "POST  / HTTP/1.1\r\nHost: here\r\n\r\n",
        Refused(400),
    ),
    (
        "a chunk whose size is no number",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5x\r\nhello\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "a chunk whose size has a prefix",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "a chunk whose size is too large to be a number",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "a chunk that is longer than it says",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "a chunk whose size ends in a bare line feed",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "an extension of a chunk with a bare line feed",
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        BrokenBody,
    ),
    (
        "bare line feeds in a head",
        "POST / HTTP/1.1\nHost: here\nContent-Length: 5\n\nhello",
        Served("hello"),
    ),
    (
        "the same length twice",
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Served("hello"),
    ),
];

/// What must not be answered when it follows something ambiguous.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

/// Answers with the body; counts the requests that it has seen to the end, and those after them.
fn application(seen: &Arc<AtomicUsize>) -> Router {
    let seen = Arc::clone(seen);
    Router::new().fallback(
        async move |request: Request<Body>| -> Result<Bytes, String> {
            seen.fetch_add(1, Ordering::SeqCst);
            let is_next = request.uri().path() == "/next";
            let body = request.into_body().collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(if is_next {
                Bytes::from_static(b"next")
            } else {
                body
            })
        },
    )
}

#[test]
fn what_is_ambiguous_is_refused_and_hides_no_second_request() {
    let mut wrong = Vec::new();
    for (what, request, expected) in CASES {
        let seen = Arc::new(AtomicUsize::new(0));
        let server = Server::start(application(&seen));
        let answer = server.answer_to(&format!("{request}{NEXT}"));
        server.stop();
        let statuses: Vec<&str> = answer
            .match_indices("HTTP/1.1 ")
            .map(|(at, found)| &answer[at + found.len()..][..3])
            .collect();
        let right = match expected {
            Refused(status) => statuses == [status.to_string()] && seen.load(Ordering::SeqCst) == 0,
            BrokenBody => {
                statuses.len() <= 1 && !answer.contains("next") && seen.load(Ordering::SeqCst) == 1
            }
            ServedAlone(body) => {
                statuses == ["200"] && answer.ends_with(&format!("\r\n\r\n{body}"))
            }
            Served(body) => {
                statuses == ["200", "200"] && answer.contains(body) && answer.ends_with("next")
            }
        };
        if !right {
            wrong.push(format!(
                "{what}: expected {expected:?}, seen {seen:?}, got {answer:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn heads_are_bounded_in_size_and_number() {
    let limits = Limits::default()
        .max_header_bytes(16 * 1024)
        .max_headers(20);
    let seen = Arc::new(AtomicUsize::new(0));
    let server = Server::with(application(&seen), |serve| serve.limits(limits));
    let with = |headers: String| {
        server.answer_to(&format!(
            "GET / HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        ))
    };
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect()
    };
    let large = |bytes: usize| format!("x: {}\r\n", "y".repeat(bytes));
    assert!(with(many(19)).starts_with("HTTP/1.1 200"));
    assert!(with(large(15 * 1024)).starts_with("HTTP/1.1 200"));
    for answer in [with(many(20)), with(large(17 * 1024)), with(large(1 << 20))] {
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::HeaderSize), 3, "{report:?}");
}

#[test]
fn who_is_still_sending_the_head_that_is_refused_is_heard_out() {
    let server = Server::start(application(&Arc::default()));
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(100_000)));
    let answer = client.until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A socket that is gone answers the first of these by a reset, which the next ones find.
    for _ in 0..5 {
        client.send("y".repeat(10_000));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_is_not_http_is_refused() {
    let seen = Arc::new(AtomicUsize::new(0));
    let server = Server::start(application(&seen));
    for garbage in [
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0\0\0",
    ] {
        let mut client = server.connect();
        client.send(garbage);
        client.half_close();
        let answer = client.rest();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Malformed), 3, "{report:?}");
}
