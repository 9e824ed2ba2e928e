//! Which span is a record written in?

use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, SpanId, TraceFlags, TraceId};
use telemetry_rt::__private::contexts_are_alive;

/// What names a span on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub flags: TraceFlags,
}

impl Ids {
    /// Those of the current span, if there is one that is valid. On our runtime that is the span of
    /// the task, or one that was begun within it.
    pub fn current() -> Option<Ids> {
        if !contexts_are_alive() {
            return None;
        }
        Context::map_current(|context| {
            let span = context.has_active_span().then(|| context.span())?;
            Ids::of(span.span_context())
        })
    }

    fn of(span: &SpanContext) -> Option<Ids> {
        span.is_valid().then(|| Ids {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
            flags: span.trace_flags(),
        })
    }
}
