//! What a collector's answer means: accepted, refused, or to be tried again.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode;
use prost::Message;

use super::connection::{Answer, value};
use super::message;
use crate::export::otlp::failure::{Again, Failure, shown_text};

/// The codes of gRPC, by their number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Those that OTLP wants tried again.
const PASSING: [&str; 6] = [
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// The message of an answer that accepts the request.
pub(super) fn reply_of(answer: &Answer) -> Result<Vec<u8>, Failure> {
    let status = Status::of(answer);
    match status.name {
        // The status says that the request was accepted; its details are worth a try, no more.
        "OK" => Ok(message::of(&answer.body).unwrap_or_default().to_vec()),
        _ => Err(Failure {
            message: status.to_string(),
            again: status.again(),
        }),
    }
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    name: &'static str,
    message: String,
    /// When the collector wants the request again, if it says so.
    retry: Option<Duration>,
}

impl Status {
    fn of(answer: &Answer) -> Status {
        // An answer without a message has everything in its head.
        let find = |name| value(&answer.trailers, name).or_else(|| value(&answer.head, name));
        let Some(code) = find("grpc-status") else {
            return Status::of_http(answer);
        };
        let text = std::str::from_utf8(code).ok();
        let code: Option<usize> = text.and_then(|text| text.parse().ok());
        let message = percent_decode(find("grpc-message").unwrap_or_default());
        Status {
            name: code.map_or("UNKNOWN", |code| NAMES.get(code).unwrap_or(&"UNKNOWN")),
            message: message.decode_utf8_lossy().into_owned(),
            retry: find("grpc-status-details-bin").and_then(retry_delay),
        }
    }

    /// What an answer means that does not come from gRPC, but from something before it.
    fn of_http(answer: &Answer) -> Status {
        let status = String::from_utf8_lossy(value(&answer.head, ":status").unwrap_or_default());
        let name = match &*status {
            "400" => "INTERNAL",
            "401" => "UNAUTHENTICATED",
            "403" => "PERMISSION_DENIED",
            "404" => "UNIMPLEMENTED",
            "429" | "502" | "503" | "504" => "UNAVAILABLE",
            _ => "UNKNOWN",
        };
        Status {
            name,
            message: format!("HTTP status {status} without a status of gRPC"),
            retry: None,
        }
    }

    fn again(&self) -> Again {
        match self.retry {
            Some(pause) if self.name == "RESOURCE_EXHAUSTED" || self.may_pass() => {
                Again::After(pause)
            }
            None if self.may_pass() => Again::Soon,
            _ => Again::Never,
        }
    }

    fn may_pass(&self) -> bool {
        PASSING.contains(&self.name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match shown_text(&self.message) {
            message if message.is_empty() => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

/// The pause that a `RetryInfo` among the details asks for.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, CONFIG)
        .decode(details)
        .ok()?;
    let details = Details::decode(&bytes[..]).ok()?.details;
    let is_retry = |detail: &&Any| detail.type_url.ends_with("/google.rpc.RetryInfo");
    let info = RetryInfo::decode(&details.iter().find(is_retry)?.value[..]).ok()?;
    let Delay { seconds, nanos } = info.delay.unwrap_or_default();
    let seconds = u64::try_from(seconds).ok()?;
    let nanos = u32::try_from(nanos)
        .ok()
        .filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

/// `google.rpc.Status`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
    use shiguredo_http2::HeaderField;

    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<HeaderField> {
        let field = |(name, value): &(&str, &str)| HeaderField::new(name, value).unwrap();
        fields.iter().map(field).collect()
    }

    fn failed(head: &[(&str, &str)], trailers: &[(&str, &str)]) -> (String, Again) {
        let answer = Answer {
            head: fields(head),
            trailers: fields(trailers),
            ..Answer::default()
        };
        let failure = reply_of(&answer).unwrap_err();
        (failure.message, failure.again)
    }

    fn details(type_url: &str, seconds: i64, nanos: i32) -> String {
        let delay = Some(Delay { seconds, nanos });
        let detail = Any {
            type_url: type_url.to_owned(),
            value: RetryInfo { delay }.encode_to_vec(),
        };
        let status = Details {
            details: vec![Any::default(), detail],
        };
        let unpadded = GeneralPurposeConfig::new().with_encode_padding(false);
        GeneralPurpose::new(&STANDARD, unpadded).encode(status.encode_to_vec())
    }

    const RETRY: &str = "type.googleapis.com/google.rpc.RetryInfo";

    #[test]
    fn what_may_pass_is_tried_again() {
        for (code, name) in NAMES.iter().enumerate().skip(1) {
            let code = code.to_string();
            let (message, again) = failed(&[], &[("grpc-status", code.as_str())]);
            assert_eq!(message, *name);
            let expected = match PASSING.contains(name) {
                true => Again::Soon,
                false => Again::Never,
            };
            assert_eq!(again, expected, "{name}");
        }
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_and_makes_exhaustion_pass() {
        let half = details(RETRY, 1, 500_000_000);
        for (code, again) in [
            ("8", Again::After(Duration::from_millis(1500))),
            ("14", Again::After(Duration::from_millis(1500))),
            ("3", Again::Never),
        ] {
            let trailers = [("grpc-status", code), ("grpc-status-details-bin", &half)];
            assert_eq!(failed(&[], &trailers).1, again, "{code}");
        }
        for unusable in [
            details(RETRY, -1, 0),
            details(RETRY, 1, 1_000_000_000),
            details("type.googleapis.com/google.rpc.Help", 1, 0),
            "!".to_owned(),
            "////".to_owned(),
        ] {
            let trailers = [("grpc-status", "8"), ("grpc-status-details-bin", &unusable)];
            assert_eq!(failed(&[], &trailers).1, Again::Never, "{unusable}");
        }
    }

    #[test]
    fn a_message_is_decoded_and_shown_without_what_a_terminal_obeys() {
        let text = "no%20room%1b[2J";
        let head = [("grpc-status", "13"), ("grpc-message", text)];
        let (message, _) = failed(&head, &[]);
        assert!(message.starts_with("INTERNAL: no room"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message:?}");
    }

    #[test]
    fn what_stands_before_the_collector_is_understood_as_well() {
        for (status, message, again) in [
            ("502", "UNAVAILABLE: HTTP status 502", Again::Soon),
            ("401", "UNAUTHENTICATED: HTTP status 401", Again::Never),
            ("200", "UNKNOWN: HTTP status 200", Again::Never),
        ] {
            let (said, tried) = failed(&[(":status", status)], &[]);
            assert!(said.starts_with(message), "{said}");
            assert_eq!(tried, again);
        }
        for code in ["17", "-1", "x", ""] {
            assert_eq!(failed(&[], &[("grpc-status", code)]).0, "UNKNOWN", "{code}");
        }
    }
}
