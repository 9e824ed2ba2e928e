//! What is a request from its start to its end, and how does it end?
//!
//! [`Shared`] is written at the start and read by all: the owner of the request, the request's body,
//! an inner layer. Only what an inner layer may add (`route`, `adopted`: once; a name) and the count of bytes
//! change. [`InFlight`] is the owner: it alone ends the request, once.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, request, response};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, ContextGuard, KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, EXCEPTION_MESSAGE, EXCEPTION_TYPE, HTTP_REQUEST_BODY_SIZE, HTTP_RESPONSE_BODY_SIZE,
    HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
};
use telemetry_rt::time::Instant;

use super::attributes::{Kind, span_name};
use super::config::Config;
use super::hooks::{Hooks, Sent};
use super::metrics::{Ended, Measured};
use super::route::{self, Route};
use super::telemetry::Telemetry;
use crate::common::text::bounded;
use crate::connection::Connection;

/// How a request ended, if neither well nor by an error.
pub(super) const OUTCOME: &str = "telemetry_rt.http.outcome";
const DISCONNECTED: &str = "client_disconnected";

/// Where the request was when the client went.
const PHASE: &str = "telemetry_rt.http.phase";

/// As many bytes are kept of what an error says.
const LONGEST_MESSAGE: usize = 1024;

pub(super) struct Shared {
    pub(super) started: Instant,
    pub(super) kind: Kind,
    /// With the span of the request in it.
    pub(super) context: Context,
    /// Whether the application gave the span its name.
    pub(super) is_named: AtomicBool,
    pub(super) connection: Option<Connection>,
    /// Whether the response has no body whatever it says: the request is `HEAD`.
    pub(super) has_no_body: bool,
    pub(super) is_connect: bool,
    pub(super) route: OnceLock<Route>,
    /// Whether the request's body is counted as it arrives; else its announced length is taken.
    pub(super) is_measured: bool,
    pub(super) announced: Option<u64>,
    pub(super) received: AtomicU64,
    pub(super) config: Arc<Config>,
    /// The configuration of an inner layer, which the application made for this very service.
    pub(super) adopted: OnceLock<Arc<Config>>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Shared {
    pub(super) fn config(&self) -> &Config {
        self.adopted.get().unwrap_or(&self.config)
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.config().hooks
    }

    /// The application gave the span a name only now.
    pub(super) fn named(&self, name: Cow<'static, str>) {
        // Relaxed: of the order in which layers are called, on whichever threads, the task takes care.
        self.is_named.store(true, Relaxed);
        self.context.span().update_name(name);
    }

    /// The route became known only now. The first that is known stays.
    pub(super) fn found(&self, route: Route) {
        if self.route.set(route.clone()).is_err() {
            return;
        }
        let span = self.context.span();
        span.set_attribute(KeyValue::new(HTTP_ROUTE, route.value()));
        // Relaxed: see where it is written.
        if !self.is_named.load(Relaxed) {
            span.update_name(span_name(self.kind.method, Some(&route)));
        }
    }

    /// How long the request's body was, if it had one.
    fn received(&self) -> Option<u64> {
        match self.is_measured {
            // Relaxed: the count is all there is; a body that is still read on another thread when the
            // request ends is counted as far as it came.
            true => Some(self.received.load(Relaxed)),
            false => self.announced.filter(|announced| *announced > 0),
        }
    }
}

/// Found in the extensions of a request: it has a span already.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Arc<Shared>);

/// What is done with a request.
pub(super) enum Watch {
    /// Nothing.
    Through,
    /// It has no telemetry: this context says so to all that it does.
    Quiet(Context),
    Traced(InFlight),
}

impl Watch {
    pub(super) fn shared(&self) -> Option<&Arc<Shared>> {
        match self {
            Watch::Traced(in_flight) => Some(in_flight.shared()),
            Watch::Through | Watch::Quiet(_) => None,
        }
    }

    /// Makes the context of the request the current one: whoever runs a piece of the service, or ends
    /// the request, does so within.
    pub(super) fn enter(&self) -> Option<ContextGuard> {
        match self {
            Watch::Through => None,
            Watch::Quiet(context) => Some(context.clone().attach()),
            Watch::Traced(in_flight) => Some(in_flight.shared.context.clone().attach()),
        }
    }

    /// The same for what is dropped before its end: what it held is dropped within its context, too.
    pub(super) fn enter_unended(&self) -> Option<ContextGuard> {
        match self {
            Watch::Traced(in_flight) if in_flight.has_ended => None,
            Watch::Through | Watch::Quiet(_) | Watch::Traced(_) => self.enter(),
        }
    }

    /// Tells the application of a request that has begun.
    pub(super) fn greet(&self, parts: &request::Parts) {
        if let Watch::Traced(in_flight) = self {
            let shared = &in_flight.shared;
            shared.hooks().request(&shared.context.span(), parts);
        }
    }

    /// Runs a piece of the service. If that panics the request ends, and the panic goes on.
    pub(super) fn run<R>(&mut self, piece: impl FnOnce() -> R) -> R {
        match self {
            Watch::Through | Watch::Quiet(_) => piece(),
            Watch::Traced(in_flight) => in_flight.run(piece),
        }
    }
}

/// How a request ends.
pub(super) enum End {
    Complete,
    Failed(Failure),
    Dropped,
}

/// What is said of an error.
pub(super) struct Failure {
    kind: &'static str,
    message: String,
}

impl Failure {
    /// A panic that takes the request with it and did not come from it.
    const PANIC_AROUND: Failure = Failure {
        kind: "panic",
        message: String::new(),
    };

    /// Of an error that the service or a body returned.
    #[cold]
    pub(super) fn of<E: std::fmt::Display>(error: &E) -> Failure {
        // Of a trait object the type says nothing.
        let name = std::any::type_name::<E>();
        let kind = if name.contains("dyn ") {
            "_OTHER"
        } else {
            name
        };
        Failure {
            kind,
            message: error.to_string(),
        }
    }

    #[cold]
    fn of_panic(payload: &(dyn Any + Send)) -> Failure {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Failure {
            kind: "panic",
            message: text.unwrap_or_default().to_owned(),
        }
    }

    fn event(&self) -> Vec<KeyValue> {
        let message = bounded(&self.message, LONGEST_MESSAGE).to_owned();
        vec![
            KeyValue::new(EXCEPTION_TYPE, self.kind),
            KeyValue::new(EXCEPTION_MESSAGE, message),
        ]
    }
}

/// The owner of a request that has begun.
pub(super) struct InFlight {
    shared: Arc<Shared>,
    /// Of the response, once there is one.
    status: Option<StatusCode>,
    /// As many bytes of the response's body have left.
    sent: u64,
    /// Whether the response has a body: one of no bytes is not the same as none.
    has_body: bool,
    /// As many bytes it said that it has. A server does not ask for more.
    expected: Option<u64>,
    has_ended: bool,
}

impl InFlight {
    pub(super) fn new(shared: Arc<Shared>) -> InFlight {
        InFlight {
            shared,
            status: None,
            sent: 0,
            has_body: false,
            expected: None,
            has_ended: false,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn run<R>(&mut self, piece: impl FnOnce() -> R) -> R {
        // What may be broken by the panic is the service, which the caller knows as the panic goes on.
        match catch_unwind(AssertUnwindSafe(piece)) {
            Ok(result) => result,
            Err(payload) => {
                self.end(End::Failed(Failure::of_panic(&*payload)));
                resume_unwind(payload)
            }
        }
    }

    /// The head of the response is there; `body_ended` says whether its body has nothing to give, and
    /// `expected` how much it announces; if it does not, the head may.
    pub(super) fn head(&mut self, head: &response::Parts, body_ended: bool, expected: Option<u64>) {
        self.status = Some(head.status);
        self.expected = expected.or_else(|| announced(&head.headers));
        self.describe(head);
        self.has_body = !body_ended && !self.is_without_body(head.status);
        if !self.has_body {
            self.end_well();
        }
    }

    fn describe(&self, head: &response::Parts) {
        let shared = &self.shared;
        let span = shared.context.span();
        if let Some(route) = route::left_in(&head.extensions) {
            shared.found(route);
        }
        let headers = &shared.config().response_headers;
        if !headers.is_empty() {
            let mut attributes = Vec::new();
            headers.append(&head.headers, &mut attributes);
            span.set_attributes(attributes);
        }
        shared.hooks().sent(&span, Sent::Head(head));
    }

    /// Whether the server sends nothing of the body, or the connection is no longer HTTP.
    fn is_without_body(&self, status: StatusCode) -> bool {
        self.shared.has_no_body
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || (self.shared.is_connect && status.is_success())
    }

    /// A piece of the response's body leaves.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.shared
            .hooks()
            .sent(&self.shared.context.span(), Sent::Data(bytes));
    }

    /// Nothing more is sent, and that is right.
    pub(super) fn end_well(&mut self) {
        if !self.has_ended {
            self.shared
                .hooks()
                .sent(&self.shared.context.span(), Sent::End);
            self.end(End::Complete);
        }
    }

    /// Ends span and metrics, unless they have ended. The context is the current one, so that exemplars
    /// are of this span.
    pub(super) fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let duration = self.shared.started.elapsed();
        let verdict = self.verdict(&end);
        self.end_span(&end, &verdict);
        let shared = &*self.shared;
        let ended = Ended {
            kind: shared.kind,
            status: self.status.map(|status| status.as_u16()),
            route: shared.route.get(),
            error: verdict.error.as_ref(),
            outcome: verdict.outcome,
        };
        let measured = Measured {
            duration,
            received: shared.received(),
            sent: self.sent_of_body(),
        };
        shared.telemetry.metrics.ended(&ended, &measured);
    }

    fn sent_of_body(&self) -> Option<u64> {
        self.has_body.then_some(self.sent)
    }

    fn verdict(&self, end: &End) -> Verdict {
        let is_ours = || {
            self.shared
                .connection
                .as_ref()
                .is_some_and(Connection::is_given_up)
        };
        let (error, outcome) = match end {
            End::Complete => (None, None),
            End::Failed(failure) => (Some(failure.kind.into()), None),
            End::Dropped if is_ours() => (Some("shutdown".into()), None),
            End::Dropped => (None, Some(DISCONNECTED)),
        };
        let by_status = self.status.filter(StatusCode::is_server_error);
        let by_status = || by_status.map(|status| status.as_str().to_owned().into());
        Verdict {
            error: error.or_else(by_status),
            outcome,
        }
    }

    fn end_span(&self, end: &End, verdict: &Verdict) {
        let span = self.shared.context.span();
        if span.is_recording() {
            if let End::Failed(failure) = end {
                span.add_event("exception", failure.event());
            }
            if verdict.error.is_some() {
                span.set_status(Status::error(match end {
                    End::Failed(failure) => bounded(&failure.message, LONGEST_MESSAGE).to_owned(),
                    _ => String::new(),
                }));
            }
            span.set_attributes(self.attributes(verdict).into_iter().flatten());
        }
        span.end();
    }

    fn attributes(&self, verdict: &Verdict) -> [Option<KeyValue>; 6] {
        let size = |name, bytes: Option<u64>| Some(KeyValue::new(name, bytes? as i64));
        let status = self.status.map(|status| i64::from(status.as_u16()));
        let phase = if self.status.is_some() {
            "response_body"
        } else {
            "before_response"
        };
        [
            status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status)),
            size(HTTP_REQUEST_BODY_SIZE, self.shared.received()),
            size(HTTP_RESPONSE_BODY_SIZE, self.sent_of_body()),
            verdict
                .error
                .clone()
                .map(|error| KeyValue::new(ERROR_TYPE, error)),
            verdict
                .outcome
                .map(|outcome| KeyValue::new(OUTCOME, outcome)),
            verdict.outcome.map(|_| KeyValue::new(PHASE, phase)),
        ]
    }
}

/// What the head says of the body's length.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is said of a request's end, in span and metrics alike.
struct Verdict {
    error: Option<StringValue>,
    outcome: Option<&'static str>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let _current = self.shared.context.clone().attach();
        // hyper stops to ask for more once it has as many bytes as were announced.
        match self.expected {
            Some(expected) if self.sent >= expected => self.end_well(),
            // Around the service, where nobody but this sees it.
            _ if thread::panicking() => self.end(End::Failed(Failure::PANIC_AROUND)),
            _ => self.end(End::Dropped),
        }
    }
}
