//! Does any answer of a collector do harm? For the fuzzer, which makes up answers: what is shown of
//! them is short and obeyed by no terminal, and what they ask for is done within bounds.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use telemetry_rt_clock::instant;
use ureq::Body;
use ureq::http::Response;

use super::failure::Failure;
use super::{decoded, http, partial_success};

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
    let partial = decoded::<ExportTraceServiceResponse>(reply).and_then(|it| it.partial_success);
    check_partial(partial.map(|partial| (partial.rejected_spans, partial.error_message)));
    let partial = decoded::<ExportMetricsServiceResponse>(reply).and_then(|it| it.partial_success);
    check_partial(partial.map(|partial| (partial.rejected_data_points, partial.error_message)));
}

fn check_partial(partial: Option<(i64, String)>) {
    let rejects = partial.as_ref().is_some_and(|(rejected, _)| *rejected > 0);
    let result = partial_success(partial);
    assert_eq!(result.is_err(), rejects);
    if let Err(error) = result {
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
