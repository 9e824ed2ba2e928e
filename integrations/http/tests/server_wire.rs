//! What becomes of headers of context that are not as they should be?

#[path = "support/server.rs"]
mod support;

use std::convert::Infallible;

use axum::body::Body;
use http::{HeaderValue, Request, Response};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::TraceContextExt;
use proptest::prelude::*;
use support::{PARENT, Seen, TRACE};
use tower::{Layer, ServiceExt, service_fn};

/// Sends these headers; what the handler found of them, and what was counted as dropped.
fn ask(headers: &[(&'static str, &[u8])]) -> (String, Vec<String>) {
    let seen = Seen::new();
    let service = seen.layer().layer(service_fn(|_: Request<Body>| async {
        let context = Context::current();
        let span = context.span().span_context().clone();
        let is_continued = span.trace_id().to_string() == TRACE;
        let (state, baggage) = (span.trace_state().header(), context.baggage().len());
        Ok::<_, Infallible>(Response::new(format!("{is_continued} {state} {baggage}")))
    }));
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let found = seen.runtime().block_on(async {
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        String::from_utf8(support::read(response).await.to_vec()).unwrap()
    });
    assert_eq!(seen.counts(), (1, 0));
    (found, seen.rows("telemetry_rt.http.propagation.dropped"))
}

fn parent() -> (&'static str, &'static [u8]) {
    ("traceparent", PARENT.as_bytes())
}

#[test]
fn what_is_malformed_oversized_or_there_twice_is_dropped_and_counted() {
    let long = |text: &str, count: usize| text.repeat(count).into_bytes();
    let many_states = (0..33)
        .map(|number| format!("k{number}=v"))
        .collect::<Vec<_>>()
        .join(",");
    let long_state = format!("k={}", "v".repeat(250));
    let dropped = |header: &str, reason: &str| vec![format!("header={header},reason={reason} 1")];
    type Headers<'h> = Vec<(&'static str, &'h [u8])>;
    let upper = PARENT.to_uppercase();
    let future = format!("cc{}-{}", &PARENT[2..], "x".repeat(300));
    let (huge_baggage, many_baggage) = (long("a=b,", 3000), long("a=b,", 65));
    let table: Vec<(Headers<'_>, &str, Vec<String>)> = vec![
        (vec![], "false  0", vec![]),
        (vec![parent()], "true  0", vec![]),
        (
            vec![parent(), parent()],
            "false  0",
            dropped("traceparent", "duplicate"),
        ),
        (
            vec![("traceparent", b"00-1-2-3")],
            "false  0",
            dropped("traceparent", "malformed"),
        ),
        (
            vec![("traceparent", b"\xff")],
            "false  0",
            dropped("traceparent", "malformed"),
        ),
        (
            vec![("traceparent", upper.as_bytes())],
            "false  0",
            dropped("traceparent", "malformed"),
        ),
        (
            vec![("traceparent", future.as_bytes())],
            "false  0",
            dropped("traceparent", "oversized"),
        ),
        (
            vec![parent(), ("tracestate", b"a=1"), ("tracestate", b"b=2")],
            "true a=1,b=2 0",
            vec![],
        ),
        (
            vec![parent(), ("tracestate", b"A=1")],
            "true  0",
            dropped("tracestate", "malformed"),
        ),
        (
            vec![parent(), ("tracestate", b"\xc3\xa4=1")],
            "true  0",
            dropped("tracestate", "malformed"),
        ),
        (
            vec![parent(), ("tracestate", many_states.as_bytes())],
            "true  0",
            dropped("tracestate", "oversized"),
        ),
        (
            vec![("tracestate", long_state.as_bytes()); 17],
            "false  0",
            vec![],
        ),
        (
            vec![("baggage", b"a=1,b=2"), ("baggage", b"c=3")],
            "false  3",
            vec![],
        ),
        (
            vec![("baggage", b"a")],
            "false  0",
            dropped("baggage", "malformed"),
        ),
        (
            vec![("baggage", &huge_baggage)],
            "false  0",
            dropped("baggage", "oversized"),
        ),
        (
            vec![("baggage", &many_baggage)],
            "false  0",
            dropped("baggage", "oversized"),
        ),
        (
            vec![parent(), ("baggage", b"=")],
            "true  0",
            dropped("baggage", "malformed"),
        ),
    ];
    for (headers, found, dropped) in table {
        assert_eq!(ask(&headers), (found.to_owned(), dropped), "{headers:?}");
    }
    let mut lines = vec![("tracestate", long_state.as_bytes()); 17];
    lines.push(parent());
    assert_eq!(
        ask(&lines),
        ("true  0".to_owned(), dropped("tracestate", "oversized"))
    );
}

/// Bytes that HTTP allows in a header, near to those that mean something.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(b"0123456789abcdef-=,;% \t@".to_vec()),
        0x20..=0x7e_u8,
        0x80..=0xff_u8,
    ];
    let anything = prop::collection::vec(byte, 0..200);
    let nearly = (0..PARENT.len(), 0x20..=0x7e_u8).prop_map(|(place, byte)| {
        let mut parent = PARENT.as_bytes().to_vec();
        parent[place] = byte;
        parent
    });
    prop_oneof![anything, nearly]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_peer_sends_the_request_is_served_and_counted(
        lines in prop::collection::vec(
            (prop::sample::select(vec!["traceparent", "tracestate", "baggage", "b3"]), value()),
            0..6,
        )
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        ask(&lines);
    }
}
