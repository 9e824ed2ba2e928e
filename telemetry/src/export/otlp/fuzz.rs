//! Does any answer of a collector do harm? For the fuzzer, which makes up answers: what is shown of
//! them is short and obeyed by no terminal, and what they ask for is done within bounds.

use std::time::Duration;

use telemetry_rt_clock::instant;
use ureq::Body;
use ureq::http::Response;

use super::failure::Failure;
use super::{http, reply};

pub use super::grpc::fuzz::{grpc_reply, grpc_status};

/// An answer by HTTP: two bytes of status, a line that is the pause asked for, and the body.
pub fn http_reply(bytes: &[u8]) {
    let Some((status, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let status = 100 + u16::from_be_bytes(*status) % 900;
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let pause = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let response = Response::builder()
        .status(status)
        .header("retry-after", pause)
        .body(Body::builder().data(body));
    if let Ok(response) = response {
        check(http::reply_of(response));
    }
}

/// What is done with an answer from then on.
pub(super) fn check(reply: Result<Vec<u8>, Failure>) {
    match reply {
        Ok(reply) => check_accepted(&reply),
        Err(failure) => check_failure(&failure),
    }
}

fn check_accepted(reply: &[u8]) {
    if let Err(error) = reply::result_of(reply) {
        assert!(error.is_partial(), "a part of it was accepted");
        check_text(&error.to_string());
    }
}

fn check_failure(failure: &Failure) {
    check_text(&failure.message);
    for attempt in [0, 1, 7, u32::MAX] {
        let _ = failure.pause(attempt);
    }
    if let Some(until) = failure.rest() {
        assert!(until <= instant() + Duration::from_secs(31));
    }
}

fn check_text(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 8_000, "{} bytes are shown", text.len());
}
