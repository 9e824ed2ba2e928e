//! Code of the application that looks at requests and adds to their spans.
//!
//! It is called by the task that makes the request. If it panics the panic is said on standard error
//! and the request goes on: telemetry does not decide what becomes of a request.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Uri, request, response};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanRef;

use super::failure::Failure;
use crate::common::warn::warn;

/// What a span is called, and what it says besides what all spans of requests say.
///
/// ```
/// use telemetry_rt_http::{ClientLayer, SpanDetails};
///
/// let layer = ClientLayer::builder()
///     .span_details(|request| {
///         SpanDetails::named(format!("{} orders", request.method))
///     })
///     .build();
/// # drop(layer);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SpanDetails {
    /// In place of the name by the conventions.
    pub name: Option<Cow<'static, str>>,
    /// Beside the attributes by the conventions. One of the same key takes the place of theirs.
    pub attributes: Vec<KeyValue>,
}

impl SpanDetails {
    /// A name, and no attributes.
    pub fn named(name: impl Into<Cow<'static, str>>) -> SpanDetails {
        SpanDetails {
            name: Some(name.into()),
            attributes: Vec::new(),
        }
    }

    /// The same with these attributes.
    pub fn with_attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }
}

type Details = dyn Fn(&request::Parts) -> SpanDetails + Send + Sync;
type OnRequest = dyn Fn(&SpanRef<'_>, &request::Parts) + Send + Sync;
type OnResponse = dyn Fn(&SpanRef<'_>, Result<&response::Parts, &Failure<'_>>) + Send + Sync;
type MayPropagate = dyn Fn(&Uri) -> bool + Send + Sync;

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) details: Option<Box<Details>>,
    pub(super) on_request: Option<Box<OnRequest>>,
    pub(super) on_response: Option<Box<OnResponse>>,
    pub(super) may_propagate: Option<Box<MayPropagate>>,
}

impl Hooks {
    pub(super) fn details(&self, parts: &request::Parts) -> SpanDetails {
        let Some(details) = &self.details else {
            return SpanDetails::default();
        };
        guarded("span_details", || details(parts)).unwrap_or_default()
    }

    pub(super) fn on_request(&self, span: &SpanRef<'_>, parts: &request::Parts) {
        if let Some(hook) = &self.on_request {
            guarded("on_request", || hook(span, parts));
        }
    }

    pub(super) fn looks_at_responses(&self) -> bool {
        self.on_response.is_some()
    }

    pub(super) fn on_response(
        &self,
        span: &SpanRef<'_>,
        outcome: Result<&response::Parts, &Failure<'_>>,
    ) {
        if let Some(hook) = &self.on_response {
            guarded("on_response", || hook(span, outcome));
        }
    }

    /// If the hook does not say, the context stays here.
    pub(super) fn may_propagate(&self, uri: &Uri) -> bool {
        match &self.may_propagate {
            Some(hook) => guarded("propagate_to", || hook(uri)).unwrap_or(false),
            None => true,
        }
    }
}

fn guarded<R>(name: &str, hook: impl FnOnce() -> R) -> Option<R> {
    // A hook that has panicked is called again with whatever it has left of its own state.
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(returned) => Some(returned),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("a value that is no text");
            warn(format_args!(
                "the hook {name} of a ClientLayer panicked: {text}"
            ));
            None
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("details", &self.details.is_some())
            .field("on_request", &self.on_request.is_some())
            .field("on_response", &self.on_response.is_some())
            .field("may_propagate", &self.may_propagate.is_some())
            .finish()
    }
}
