//! Code of the application that looks at requests and adds to their spans.
//!
//! It is called by the task that makes the request, under guard: one that panics takes nothing with it.

use std::borrow::Cow;
use std::fmt;

use http::{Uri, request, response};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanRef;

use super::failure::Failure;
use crate::common::guard::Guard;

type Details = dyn Fn(&request::Parts) -> (Cow<'static, str>, Vec<KeyValue>) + Send + Sync;
type OnRequest = dyn Fn(&SpanRef<'_>, &request::Parts) + Send + Sync;
type OnResponse = dyn Fn(&SpanRef<'_>, Result<&response::Parts, &Failure<'_>>) + Send + Sync;
type MayPropagate = dyn Fn(&Uri) -> bool + Send + Sync;

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) details: Option<Box<Details>>,
    pub(super) request: Option<Box<OnRequest>>,
    pub(super) response: Option<Box<OnResponse>>,
    pub(super) may_propagate: Option<Box<MayPropagate>>,
    guard: Guard,
}

impl Hooks {
    /// Name and attributes of the span, if the application gives them.
    pub(super) fn details(
        &self,
        parts: &request::Parts,
    ) -> Option<(Cow<'static, str>, Vec<KeyValue>)> {
        let details = self.details.as_ref()?;
        self.guarded("span_details", || details(parts))
    }

    pub(super) fn request(&self, span: &SpanRef<'_>, parts: &request::Parts) {
        if let Some(hook) = &self.request {
            self.guarded("request_hook", || hook(span, parts));
        }
    }

    pub(super) fn response(
        &self,
        span: &SpanRef<'_>,
        outcome: Result<&response::Parts, &Failure<'_>>,
    ) {
        if let Some(hook) = &self.response {
            self.guarded("response_hook", || hook(span, outcome));
        }
    }

    /// If the hook does not say, the context stays here.
    pub(super) fn may_propagate(&self, uri: &Uri) -> bool {
        match &self.may_propagate {
            Some(hook) => self.guarded("propagate_to", || hook(uri)).unwrap_or(false),
            None => true,
        }
    }

    /// Calls a function of the application; `None` if it panicked.
    fn guarded<R>(&self, name: &str, hook: impl FnOnce() -> R) -> Option<R> {
        self.guard
            .call(format_args!("`{name}` of a `ClientLayer`"), hook)
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("details", &self.details.is_some())
            .field("request", &self.request.is_some())
            .field("response", &self.response.is_some())
            .field("may_propagate", &self.may_propagate.is_some())
            .finish()
    }
}
