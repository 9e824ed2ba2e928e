//! How spans of users begin and end: those of `#[span]`, and those of guards.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;

use opentelemetry::trace::{Span, SpanRef, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, ContextGuard, KeyValue, global};
use telemetry_rt_telemetry::record::{contexts_are_alive, error_type_of, outcome_of};

use crate::otel::{Attached, SCOPE};
use crate::runtime::Handle;

/// File, line, and path of the function that is in a span.
pub(super) type Place = (&'static str, u32, &'static str);

/// Begins the span of a function.
pub(super) fn begin_function(
    name: &'static str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    (file, line, function): Place,
) -> Context {
    let mut attributes = attributes();
    attributes.push(KeyValue::new("code.function.name", function));
    begin(name.into(), attributes, (file, line))
}

/// Begins a span below the current one: in the pipeline of the current runtime, or in the global
/// provider if that exports nothing. On a thread that is ending there is none to begin.
pub(crate) fn begin(
    name: Cow<'static, str>,
    mut attributes: Vec<KeyValue>,
    (file, line): (&'static str, u32),
) -> Context {
    if !contexts_are_alive() {
        return Context::new();
    }
    attributes.extend([
        KeyValue::new("code.file.path", file),
        KeyValue::new("code.line.number", i64::from(line)),
    ]);
    let parent = Context::current();
    let handle = Handle::try_current().ok();
    let own = handle
        .as_ref()
        .and_then(|handle| handle.recorder().attached::<Attached>())
        .and_then(|attached| attached.tracer.as_ref());
    match own {
        Some(tracer) => start(tracer, name, attributes, &parent),
        None => start(&global::tracer(SCOPE), name, attributes, &parent),
    }
}

fn start<T>(
    tracer: &T,
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    parent: &Context,
) -> Context
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let builder = tracer.span_builder(name).with_attributes(attributes);
    let span = tracer.build_with_context(builder, parent);
    match span.span_context().is_valid() {
        true => parent.with_span(span),
        false => with_nothing_new(parent),
    }
}

/// The context of a span that is not made: telemetry is suppressed, or nobody takes it. What begins
/// within it belongs where it would have belonged without; and whoever ends it ends no other span.
fn with_nothing_new(parent: &Context) -> Context {
    match parent.has_active_span() {
        true => parent.with_remote_span_context(parent.span().span_context().clone()),
        false => parent.clone(),
    }
}

/// Makes a context current on this thread; not on one that is ending.
pub(super) fn make_current(context: &Context) -> Option<ContextGuard> {
    contexts_are_alive().then(|| context.clone().attach())
}

/// Ends the span of something that returned `output`.
pub(super) fn end<T>(context: &Context, output: &T) {
    let span = context.span();
    if outcome_of(output).is_error() {
        span.set_attribute(KeyValue::new(
            "error.type",
            error_type_of(type_name::<T>()).unwrap_or(OTHER),
        ));
        span.set_status(Status::error(""));
    }
    span.end();
}

/// What the conventions say of an error whose type is not known.
const OTHER: &str = "_OTHER";

/// Ends the span of something that panicked.
pub(super) fn end_panicked(context: &Context) {
    let span = context.span();
    mark_panicked(&span);
    span.end();
}

pub(crate) fn mark_panicked(span: &SpanRef<'_>) {
    span.set_attribute(KeyValue::new("error.type", "panic"));
    span.set_status(Status::error("panicked"));
}

/// Marks a span as failed with this error.
pub(crate) fn mark_failed<E: Error + ?Sized>(span: &SpanRef<'_>, error: &E) {
    note_error(span, error);
    span.set_attribute(KeyValue::new("error.type", type_of_error::<E>()));
    span.set_status(Status::error(error.to_string()));
}

/// Adds the exception event of the semantic conventions.
pub(crate) fn note_error<E: Error + ?Sized>(span: &SpanRef<'_>, error: &E) {
    span.add_event(
        "exception",
        vec![
            KeyValue::new("exception.type", type_of_error::<E>()),
            KeyValue::new("exception.message", error.to_string()),
        ],
    );
}

/// As it would be told if the error were returned.
fn type_of_error<E: Error + ?Sized>() -> &'static str {
    error_type_of(type_name::<Result<(), Box<E>>>()).unwrap_or(OTHER)
}
