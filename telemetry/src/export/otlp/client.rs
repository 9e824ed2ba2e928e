//! One request at a time, repeated while there is hope and time, whatever carries it.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use telemetry_rt_clock::instant;

use super::endpoint::{Endpoint, Protocol};
use super::failure::{Failure, shortened};
use super::http::Http;
use crate::export::deadline::deadline_after;
use crate::export::exporter::{ExportError, Signal};
use crate::export::gzip::gzip;
use crate::export::stop::Stop;

/// As much of a reply is read; a collector that sends more is not understood.
pub(super) const MOST_REPLY: usize = 64 * 1024;

/// Who we are.
pub(super) const USER_AGENT: &str = concat!("telemetry_rt/", env!("CARGO_PKG_VERSION"));

/// What carries requests to a collector.
pub(super) trait Transport: Send {
    /// What errors call a request, such as `POST http://localhost:4318/v1/traces`.
    fn request(&self) -> String;

    /// Sends a request once, and returns the message that answers it once that says it was
    /// accepted. Takes no longer than `time`.
    fn attempt(&self, body: &[u8], time: Duration) -> Result<Vec<u8>, Failure>;
}

/// Sends one signal to one endpoint.
pub(super) struct Client {
    transport: Box<dyn Transport>,
    timeout: Duration,
    gzip: bool,
    signal: Signal,
    stop: Stop,
    /// Whether the last request failed.
    failing: Cell<bool>,
    /// The collector asked to be left alone until then.
    not_before: Cell<Option<Instant>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client")
            .field(&self.transport.request())
            .finish()
    }
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, signal: Signal) -> Client {
        Client {
            timeout: endpoint.timeout,
            gzip: endpoint.gzip,
            transport: transport(endpoint, signal),
            signal,
            stop: Stop::new(),
            failing: Cell::new(false),
            not_before: Cell::new(None),
        }
    }

    pub(super) fn stop_with(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    /// Sends a request and returns the reply to it, once there is one that says it was accepted.
    pub(super) fn send(&self, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let body = match self.gzip {
            true => Cow::Owned(gzip(body)),
            false => Cow::Borrowed(body),
        };
        self.rest();
        let sent = self.send_repeatedly(&body);
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

    fn send_repeatedly(&self, body: &[u8]) -> Result<Vec<u8>, ExportError> {
        let deadline = deadline_after(self.timeout);
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
            true => std::thread::sleep(shortened(pause)),
            false => self.stop.sleep(pause),
        }
    }

    fn attempt(&self, body: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
        match time.is_zero() {
            true => Err(Failure::last("there was no time left")),
            false => self.transport.attempt(body, time),
        }
    }

    fn error(&self, failure: &Failure) -> ExportError {
        let request = self.transport.request();
        ExportError::new(format!("{request}: {}", failure.message))
    }
}

#[cfg_attr(
    not(feature = "grpc"),
    expect(
        unused_variables,
        reason = "for HTTP the URL says which signal it takes"
    )
)]
fn transport(endpoint: Endpoint, signal: Signal) -> Box<dyn Transport> {
    match endpoint.protocol {
        Protocol::Http => Box::new(Http::new(endpoint)),
        #[cfg(feature = "grpc")]
        Protocol::Grpc => Box::new(super::grpc::Grpc::new(endpoint, signal)),
    }
}
