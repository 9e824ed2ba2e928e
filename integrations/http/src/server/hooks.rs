//! What does an application want to be called for, and what if it panics then?

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, response};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanRef;

use crate::common::guard::Guard;

/// A piece of a request's body, as it arrives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Received<'r> {
    /// So many bytes of data.
    Data(usize),
    /// The trailers.
    Trailers(&'r HeaderMap),
    /// There is nothing more.
    End,
}

/// A piece of a response, as it leaves.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Sent<'s> {
    /// Status and headers.
    Head(&'s response::Parts),
    /// So many bytes of data.
    Data(usize),
    /// The trailers.
    Trailers(&'s HeaderMap),
    /// There is nothing more.
    End,
}

pub(super) type Details = Box<dyn Fn(&Parts) -> (Cow<'static, str>, Vec<KeyValue>) + Send + Sync>;
pub(super) type OnRequest = Box<dyn Fn(&SpanRef<'_>, &Parts) + Send + Sync>;
pub(super) type OnReceived = Box<dyn Fn(&SpanRef<'_>, Received<'_>) + Send + Sync>;
pub(super) type OnSent = Box<dyn Fn(&SpanRef<'_>, Sent<'_>) + Send + Sync>;

/// The functions of the application, called under guard: one that panics takes nothing with it.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) details: Option<Details>,
    pub(super) request: Option<OnRequest>,
    pub(super) received: Option<OnReceived>,
    pub(super) sent: Option<OnSent>,
    guard: Guard,
}

impl Hooks {
    /// Name and attributes of the span, if the application gives them.
    pub(super) fn details(&self, parts: &Parts) -> Option<(Cow<'static, str>, Vec<KeyValue>)> {
        let details = self.details.as_ref()?;
        self.guarded("span_details", || details(parts))
    }

    pub(super) fn request(&self, span: &SpanRef<'_>, parts: &Parts) {
        if let Some(hook) = &self.request {
            self.guarded("server_request_hook", || hook(span, parts));
        }
    }

    #[cfg_attr(
        not(feature = "axum"),
        expect(dead_code, reason = "only bodies of axum are measured as they arrive")
    )]
    pub(super) fn received(&self, span: &SpanRef<'_>, piece: Received<'_>) {
        if let Some(hook) = &self.received {
            self.guarded("client_request_hook", || hook(span, piece));
        }
    }

    pub(super) fn sent(&self, span: &SpanRef<'_>, piece: Sent<'_>) {
        if let Some(hook) = &self.sent {
            self.guarded("client_response_hook", || hook(span, piece));
        }
    }

    /// Calls a function of the application; `None` if it panicked.
    pub(super) fn guarded<R>(&self, name: &str, hook: impl FnOnce() -> R) -> Option<R> {
        self.guard
            .call(format_args!("`{name}` of a `ServerLayer`"), hook)
    }
}
