//! One request at a time, repeated while there is hope and time.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use telemetry_rt_clock::instant;
use ureq::http::Response;
use ureq::{Agent, Body, Proxy};

use super::endpoint::{Endpoint, shown};
use crate::export::deadline::deadline_after;
use crate::export::exporter::{ExportError, Signal};
use crate::export::render::escaped;
use crate::export::stop::Stop;

/// Sends one signal to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    signal: Signal,
    agent: Agent,
    stop: Stop,
    /// Whether the last request failed.
    failing: Cell<bool>,
    /// The collector asked to be left alone until then.
    not_before: Cell<Option<Instant>>,
}

/// As much of a reply is read; a collector that sends more is not understood.
const MOST_REPLY: u64 = 64 * 1024;
/// As much of a reply's text is shown in a warning.
const MOST_SHOWN: usize = 200;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A collector that asks for more is tried after this, with one batch at a time.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Why one attempt failed.
struct Failure {
    message: String,
    again: Again,
}

/// Whether to try again, and when.
enum Again {
    Never,
    Soon,
    After(Duration),
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, signal: Signal) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A collector that moves is to be configured anew: headers hold credentials.
            .max_redirects(0)
            .proxy(proxy(&endpoint))
            .user_agent(concat!("telemetry_rt/", env!("CARGO_PKG_VERSION")));
        Client {
            agent: endpoint.authorities.trusted_in(config).build().into(),
            endpoint,
            signal,
            stop: Stop::new(),
            failing: Cell::new(false),
            not_before: Cell::new(None),
        }
    }

    pub(super) fn stop_with(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    /// Posts a request and returns the reply to it, once there is one that says it was accepted.
    pub(super) fn post(&self, body: Vec<u8>) -> Result<Vec<u8>, ExportError> {
        let body = match self.endpoint.gzip {
            true => compressed(&body),
            false => body,
        };
        self.rest();
        let sent = self.post_repeatedly(&body);
        self.failing.set(sent.is_err());
        sent
    }

    /// Waits as long as the collector asked for when it refused an earlier request; a beginning
    /// shutdown ends that. Meanwhile spans wait in the queue, which is bounded, and not one batch
    /// after the other is sent in vain.
    fn rest(&self) {
        if let Some(until) = self.not_before.take() {
            self.stop.sleep(until.saturating_duration_since(instant()));
        }
    }

    fn post_repeatedly(&self, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let deadline = deadline_after(self.endpoint.timeout);
        let mut attempt = 0;
        loop {
            let failure = match self.attempt(body, self.time_left(deadline)) {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let stopping = self.stop.deadline().is_some();
            match failure.pause(attempt) {
                Some(pause) if pause < self.time_left(deadline) && self.may_repeat(attempt) => {
                    self.pause(pause, stopping);
                }
                _ => {
                    self.not_before.set(failure.rest());
                    return Err(self.error(&failure));
                }
            }
            attempt += 1;
        }
    }

    /// Once the shutdown has begun there is time for one repetition, and for none when the request
    /// before this one failed as well: others wait for their turn.
    fn may_repeat(&self, attempt: u32) -> bool {
        self.stop.deadline().is_none() || (attempt == 0 && !self.failing.get())
    }

    /// The time until the deadline of the request or of the shutdown.
    fn time_left(&self, deadline: Instant) -> Duration {
        let deadline = self
            .stop
            .request_deadline(self.signal)
            .map_or(deadline, |stop| stop.min(deadline));
        deadline.saturating_duration_since(instant())
    }

    /// A pause that a beginning shutdown ends; one that begins in a shutdown is short anyway.
    fn pause(&self, pause: Duration, stopping: bool) {
        match stopping {
            true => std::thread::sleep(pause.min(FIRST_PAUSE)),
            false => self.stop.sleep(pause),
        }
    }

    fn attempt(&self, body: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
        if time.is_zero() {
            return Err(Failure::last("there was no time left".to_owned()));
        }
        let mut request = self
            .agent
            .post(&self.endpoint.url)
            .config()
            .timeout_global(Some(time))
            .build()
            .header("content-type", "application/x-protobuf");
        if self.endpoint.gzip {
            request = request.header("content-encoding", "gzip");
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        match request.send(body) {
            Ok(response) => reply_of(response),
            Err(error) => Err(Failure {
                message: error.to_string(),
                again: again_after(&error),
            }),
        }
    }

    fn error(&self, failure: &Failure) -> ExportError {
        let url = shown(&self.endpoint.url);
        ExportError::new(format!("POST {url}: {}", failure.message))
    }
}

/// A connection that fails may succeed later; a collector that cannot prove who it is will not.
fn again_after(error: &ureq::Error) -> Again {
    match error {
        // What rustls refuses arrives as this kind of error, an untrusted certificate above all.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Again::Never,
        _ => Again::Soon,
    }
}

fn reply_of(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let status = response.status();
    let after = retry_after(&response);
    let reply = response
        .into_body()
        .into_with_config()
        .limit(MOST_REPLY)
        .read_to_vec();
    if status.is_success() {
        // The status says that the request was accepted; its details are worth a try, no more.
        return Ok(reply.unwrap_or_default());
    }
    let text = text_of(&reply.unwrap_or_default());
    let again = match status.as_u16() {
        429 | 502 | 503 | 504 => after.map_or(Again::Soon, Again::After),
        _ => Again::Never,
    };
    Err(Failure {
        message: format!("{status}{text}"),
        again,
    })
}

/// The pause that the collector asks for, if it says so in seconds.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What can be read of a reply: a collector sends an explanation as text, or as a protobuf
/// `Status` whose message is text as well.
fn text_of(reply: &[u8]) -> String {
    let message = <Status as prost::Message>::decode(reply)
        .map(|status| status.message)
        .ok()
        .filter(|message| !message.is_empty())
        .unwrap_or_else(|| String::from_utf8_lossy(reply).into_owned());
    match shown_text(&message) {
        shown if shown.is_empty() => shown,
        shown => format!(": {shown}"),
    }
}

/// A collector's text as a warning may show it: its beginning, and nothing that a terminal obeys.
pub(super) fn shown_text(message: &str) -> String {
    let shown: String = message.trim().chars().take(MOST_SHOWN).collect();
    escaped(&shown)
}

/// `google.rpc.Status`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

impl Failure {
    fn last(message: String) -> Failure {
        Failure {
            message,
            again: Again::Never,
        }
    }

    /// Until when the collector wants no request at all.
    fn rest(&self) -> Option<Instant> {
        match self.again {
            Again::After(pause) => Some(deadline_after(pause.min(LONGEST_REST))),
            Again::Never | Again::Soon => None,
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn pause(&self, attempt: u32) -> Option<Duration> {
        match self.again {
            Again::Never => None,
            // A collector that says "at once", again and again, is not asked more often than others.
            Again::After(pause) => Some(pause.max(backoff(attempt))),
            Again::Soon => Some(backoff(attempt)),
        }
    }
}

/// The pause after so many failed attempts.
fn backoff(attempt: u32) -> Duration {
    with_jitter((FIRST_PAUSE * 2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE))
}

/// Between half and all of a pause, so that clients that failed together do not return together.
fn with_jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 2000.0)
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("a vector takes all that is written")
}

/// The proxy of the environment, but none for a collector on this machine.
fn proxy(endpoint: &Endpoint) -> Option<Proxy> {
    match endpoint.url.host() {
        Some("localhost" | "127.0.0.1" | "[::1]") => None,
        _ => Proxy::try_from_env(),
    }
}
