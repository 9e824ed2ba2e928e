//! The same where nothing is recorded: no size, no code.

use std::borrow::Cow;
use std::error::Error;
use std::future::Future;

/// A span that is not recorded, as this is a build without the feature `telemetry`.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped: `let _` drops at once, `let _span` does not"]
pub struct SpanGuard(());

impl SpanGuard {
    /// Sets no attribute.
    pub fn set_attribute<K, V>(&self, _key: K, _value: V) {}

    /// Notes no error.
    pub fn record_error<E: Error + ?Sized>(&self, _error: &E) {}

    /// Marks nothing as failed.
    pub fn set_error<E: Error + ?Sized>(&self, _error: &E) {}
}

impl Drop for SpanGuard {
    // There, so that programs and lints see a guard in both builds.
    #[inline]
    fn drop(&mut self) {}
}

/// A span that is not recorded.
#[derive(Clone, Debug)]
#[must_use = "the span has not begun"]
pub struct SpanBuilder(());

impl SpanBuilder {
    pub(super) fn new(_name: impl Into<Cow<'static, str>>) -> SpanBuilder {
        SpanBuilder(())
    }

    /// Adds nothing.
    pub fn with<K, V>(self, _key: K, _value: V) -> SpanBuilder {
        self
    }

    /// Begins nothing.
    pub fn open(self) -> SpanGuard {
        SpanGuard(())
    }

    /// The future as it is.
    pub fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        future
    }
}
