//! A request that has begun, until it has ended: by the end of the response's body, by an error, or by
//! being dropped. Whatever the way, [`Live`] is dropped once, and that is where its span and its
//! metrics are finished.
//!
//! ```text
//! Cancelled ──head──► BodyUnread ──end of body──► Complete
//!     │                   └──error in the body──► Failed
//!     └──error──► Failed
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, response};
use http_body::Body;
use hyper_util::client::legacy::connect::HttpInfo;
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_BODY_SIZE, HTTP_RESPONSE_BODY_SIZE, HTTP_RESPONSE_STATUS_CODE,
    NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, NETWORK_PROTOCOL_VERSION,
};
use telemetry_rt::time::Instant;

use super::facts::Facts;
use super::failure::Failure;
use super::settings::Settings;
use super::telemetry::Telemetry;
use crate::client::transport::SentBytes;
use crate::common::method::Known;
use crate::common::version::version;
use crate::connection::Connection;

/// How a request ended that neither was completed nor failed.
const OUTCOME: &str = "telemetry_rt.http.outcome";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Dropped before there was an answer, unless something else is known.
    Cancelled,
    /// The body was dropped before its end, unless something else is known.
    BodyUnread,
    Complete,
    Failed,
}

/// The bytes of a request's body.
#[derive(Debug)]
pub(super) enum Sent {
    Known(u64),
    Counted(SentBytes),
}

impl Sent {
    pub(super) fn of<B: Body>(body: &B, parts: &mut Parts) -> Sent {
        match body.size_hint().exact() {
            Some(size) => Sent::Known(size),
            None => {
                let counter = SentBytes::new();
                parts.extensions.insert(counter.clone());
                Sent::Counted(counter)
            }
        }
    }

    /// How long the body was, if there was one and that is known.
    fn get(&self) -> Option<u64> {
        match self {
            Sent::Known(size) => Some(*size).filter(|size| *size > 0),
            Sent::Counted(counter) => counter.get(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Live {
    settings: Arc<Settings>,
    telemetry: Arc<Telemetry>,
    context: Context,
    begun: Instant,
    facts: Facts,
    /// Of the metrics: what was known when the request began, and what came with its answer.
    attributes: Vec<KeyValue>,
    /// How many of them were known when it began.
    known_first: usize,
    sent: Sent,
    received: u64,
    end: End,
    /// The last that went wrong. Set when the request ends, because a span keeps all that it is told:
    /// the status of a response whose body then fails would be there beside it.
    error_type: Option<Cow<'static, str>>,
    /// Whether the response has a body: one of no bytes is not the same as none.
    has_body: bool,
}

impl Live {
    pub(super) fn new(
        settings: Arc<Settings>,
        telemetry: Arc<Telemetry>,
        context: Context,
        facts: Facts,
        sent: Sent,
    ) -> Live {
        let attributes = facts.of_active();
        telemetry.metrics.active(1, &attributes);
        Live {
            settings,
            telemetry,
            context,
            begun: Instant::now(),
            facts,
            known_first: attributes.len(),
            attributes,
            sent,
            received: 0,
            end: End::Cancelled,
            error_type: None,
            has_body: false,
        }
    }

    /// The context that is current while the service works.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn answered<R, E: 'static>(
        &mut self,
        outcome: Result<Response<R>, E>,
    ) -> Result<Response<R>, E> {
        match outcome {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                self.head(&parts);
                Ok(Response::from_parts(parts, body))
            }
            Err(error) => {
                self.not_answered(&Failure::new(&error));
                Err(error)
            }
        }
    }

    fn head(&mut self, parts: &response::Parts) {
        self.end = match self.becomes_something_else(parts.status) {
            true => End::Complete,
            false => End::BodyUnread,
        };
        let mut attributes = of_head(parts);
        self.attributes.extend_from_slice(&attributes);
        append_peer(parts, &mut attributes);
        let headers: &HeaderMap = &parts.headers;
        self.settings
            .response_headers
            .append(headers, &mut attributes);
        let span = self.context.span();
        span.set_attributes(attributes);
        if is_error(parts.status) {
            self.error_type = Some(parts.status.as_str().to_owned().into());
            span.set_status(Status::error(""));
        }
        self.settings.hooks.response(&span, Ok(parts));
    }

    /// After the head the connection is a tunnel or speaks another protocol.
    fn becomes_something_else(&self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS
            || (self.facts.method == Known::Named("CONNECT") && status.is_success())
    }

    /// The head was all, or a body follows. Gives itself back if it waits for that.
    pub(super) fn waits_for_body(mut self, is_at_end: bool) -> Option<Live> {
        if is_at_end {
            self.end = End::Complete;
        }
        self.has_body = self.end == End::BodyUnread;
        self.has_body.then_some(self)
    }

    fn not_answered(&mut self, failure: &Failure<'_>) {
        self.fail(failure);
        let span = self.context.span();
        if let Some(connection) = failure.connection() {
            let mut attributes = Vec::with_capacity(2);
            append_connection(connection, &mut attributes);
            span.set_attributes(attributes);
        }
        self.settings.hooks.response(&span, Err(failure));
    }

    /// The body of the response failed.
    pub(super) fn failed<E: 'static>(&mut self, error: &E) {
        self.fail(&Failure::new(error));
    }

    fn fail(&mut self, failure: &Failure<'_>) {
        self.end = End::Failed;
        self.error_type = Some(failure.error_type().into());
        let status = Status::error(failure.message());
        self.context.span().set_status(status);
    }

    /// A piece of the response's body came.
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// The response's body has ended.
    pub(super) fn read_to_end(&mut self) {
        self.end = End::Complete;
    }

    /// What is known only now.
    fn of_end(&self) -> impl Iterator<Item = KeyValue> {
        let size = |key: &'static str, size: u64| KeyValue::new(key, size.cast_signed());
        let sent = self
            .sent
            .get()
            .map(|sent| size(HTTP_REQUEST_BODY_SIZE, sent));
        let received = self.whole_size();
        let received = received.map(|received| size(HTTP_RESPONSE_BODY_SIZE, received));
        let end = match self.end {
            End::Cancelled => Some(KeyValue::new(OUTCOME, "cancelled")),
            End::BodyUnread => Some(KeyValue::new(OUTCOME, "body_unread")),
            End::Complete | End::Failed => None,
        };
        [sent, received, end].into_iter().flatten()
    }

    /// The size of the response's body, if there was one and all of it came by here.
    fn whole_size(&self) -> Option<u64> {
        (self.end == End::Complete && self.has_body).then_some(self.received)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // So that exemplars are of this span.
        let _current = self.context.clone().attach();
        let metrics = &self.telemetry.metrics;
        metrics.active(-1, &self.attributes[..self.known_first]);
        let error_type = self.error_type.take();
        let error_type = error_type.map(|error_type| KeyValue::new(ERROR_TYPE, error_type));
        self.attributes.extend(error_type.clone());
        let (sent, received) = (self.sent.get(), self.whole_size());
        metrics.ended(self.begun.elapsed(), sent, received, &self.attributes);
        let span = self.context.span();
        span.set_attributes(self.of_end().chain(error_type));
        span.end();
    }
}

/// What the head says for span and metrics.
fn of_head(parts: &response::Parts) -> Vec<KeyValue> {
    let status = i64::from(parts.status.as_u16());
    let mut attributes = Vec::with_capacity(5);
    attributes.push(KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status));
    if let Some(version) = version(parts.version) {
        attributes.push(KeyValue::new(NETWORK_PROTOCOL_VERSION, version));
    }
    attributes
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The peer that the response came from: our connections say it, and so do those of hyper-util.
fn append_peer(parts: &response::Parts, attributes: &mut Vec<KeyValue>) {
    if let Some(connection) = parts.extensions.get::<Connection>() {
        append_connection(connection, attributes);
    } else if let Some(info) = parts.extensions.get::<HttpInfo>() {
        let peer = info.remote_addr();
        attributes.push(KeyValue::new(NETWORK_PEER_ADDRESS, peer.ip().to_string()));
        attributes.push(KeyValue::new(NETWORK_PEER_PORT, i64::from(peer.port())));
    }
}

fn append_connection(connection: &Connection, attributes: &mut Vec<KeyValue>) {
    if let (Some(text), Some(peer)) = (connection.peer_text(), connection.peer_addr()) {
        attributes.push(KeyValue::new(NETWORK_PEER_ADDRESS, Arc::clone(text)));
        attributes.push(KeyValue::new(NETWORK_PEER_PORT, i64::from(peer.port())));
    }
}
