//! Guards and futures whose spans are recorded.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::thread::panicking;

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, Key, KeyValue, Value};
use telemetry_rt_telemetry::record::OpenSpan;

use crate::__private::{future, spans};

/// A span that is current in its task until this is dropped, which ends it; made by
/// [`span`](crate::span()).
///
/// Everything else that OpenTelemetry can do with a span is to be had by its
/// [`context`](Self::context).
#[must_use = "the span ends when this is dropped: `let _` drops at once, `let _span` does not"]
pub struct SpanGuard {
    open: OpenSpan,
    /// Whether it was opened by a destructor that a panic called: that panic is not one of its own.
    opened_in_panic: bool,
}

impl SpanGuard {
    fn open(context: Context) -> SpanGuard {
        SpanGuard {
            open: OpenSpan::open(context),
            opened_in_panic: panicking(),
        }
    }

    /// Sets an attribute: `bool`, `i64`, `f64`, `String`, `&'static str`, or whatever else
    /// OpenTelemetry makes one of.
    ///
    /// A sampler does not see it, as the span has begun; for that there is [`SpanBuilder::with`].
    /// OpenTelemetry's SDK keeps both values of a key that is set twice.
    pub fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        let attribute = KeyValue::new(key, value);
        self.open.context().span().set_attribute(attribute);
    }

    /// Notes an error that the work goes on after: an `exception` event, and no more.
    ///
    /// # Example
    ///
    /// ```
    /// # telemetry_rt::block_on(async {
    /// let load = telemetry_rt::span("load");
    /// let number = "seven".parse().unwrap_or_else(|error: std::num::ParseIntError| {
    ///     load.record_error(&error);
    ///     7
    /// });
    /// assert_eq!(number, 7);
    /// # });
    /// ```
    pub fn record_error<E: Error + ?Sized>(&self, error: &E) {
        spans::note_error(&self.open.context().span(), error);
    }

    /// Marks the span as failed with this error: an `exception` event, `error.type`, and the status,
    /// whose description is what the error displays.
    ///
    /// # Example
    ///
    /// ```
    /// use std::num::ParseIntError;
    ///
    /// fn parse(text: &str) -> Result<u8, ParseIntError> {
    ///     let parse = telemetry_rt::span("parse");
    ///     text.parse().inspect_err(|error| parse.set_error(error))
    /// }
    ///
    /// assert!(parse("seven").is_err());
    /// ```
    pub fn set_error<E: Error + ?Sized>(&self, error: &E) {
        spans::mark_failed(&self.open.context().span(), error);
    }

    /// The context with the span: for what the guard does not offer, and for handing it on.
    ///
    /// Only with the feature `telemetry`.
    ///
    /// # Example
    ///
    /// ```
    /// use opentelemetry::trace::TraceContextExt;
    ///
    /// let load = telemetry_rt::span("load");
    /// load.context().span().add_event("halfway", Vec::new());
    /// ```
    pub fn context(&self) -> &Context {
        self.open.context()
    }
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if panicking() && !self.opened_in_panic {
            spans::mark_panicked(&self.open.context().span());
        }
    }
}

impl fmt::Debug for SpanGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.open.context().span();
        f.debug_tuple("SpanGuard")
            .field(span.span_context())
            .finish()
    }
}

/// A span that has not begun; made by [`span_builder`](crate::span_builder).
#[derive(Clone, Debug)]
#[must_use = "the span has not begun"]
pub struct SpanBuilder {
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    site: &'static Location<'static>,
}

impl SpanBuilder {
    #[track_caller]
    pub(super) fn new(name: impl Into<Cow<'static, str>>) -> SpanBuilder {
        SpanBuilder {
            name: name.into(),
            attributes: Vec::new(),
            site: Location::caller(),
        }
    }

    /// Adds an attribute that the span has from its beginning, so that a sampler sees it.
    pub fn with(mut self, key: impl Into<Key>, value: impl Into<Value>) -> SpanBuilder {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Begins the span, which is current until the guard is dropped; see [`span`](crate::span()).
    pub fn open(self) -> SpanGuard {
        SpanGuard::open(self.begin())
    }

    /// Runs a future within the span: from its first poll until it is ready or dropped, and current
    /// while it is polled. For a block in `join!` or `select!` what `#[span]` is for a function.
    ///
    /// A returned `Err` marks the span as failed, and so does a panic.
    ///
    /// # Cancel safety
    ///
    /// That of the future. When it is dropped early the span ends there.
    pub fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        future::around(move || self.begin(), future)
    }

    fn begin(self) -> Context {
        let place = (self.site.file(), self.site.line());
        spans::begin(self.name, self.attributes, place)
    }
}
