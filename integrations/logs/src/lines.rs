//! How a record becomes a line of a writer, even on a thread that is ending.
//!
//! The work is `tracing_subscriber::fmt`'s. Here is only what that cannot do: a record that is
//! written by the destructor of a thread-local.

use std::io::Write;

use opentelemetry::Context as OtelContext;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{self, FormatFields, MakeWriter};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::alive::is_alive;
use crate::format::TraceFormat;

pub struct Lines<S, N> {
    inner: fmt::Layer<S, N, TraceFormat, BoxMakeWriter>,
    format: TraceFormat,
}

impl<S, N> Lines<S, N>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    pub fn new(format: TraceFormat, fields: N, writer: BoxMakeWriter) -> Lines<S, N> {
        let inner = fmt::layer()
            .event_format(format.clone())
            .fmt_fields(fields)
            .with_ansi(false)
            // They would be printed with a macro that panics when standard error is closed.
            .log_internal_errors(false)
            .with_writer(writer);
        Lines { inner, format }
    }

    /// Without what is kept in thread-locals: spans, ids, and the buffer.
    #[cold]
    fn write_at_the_end(&self, event: &Event<'_>) {
        let mut line = String::new();
        if self.format.write_alone(&mut line, event).is_ok() {
            let mut writer = self.inner.writer().make_writer_for(event.metadata());
            drop(writer.write_all(line.as_bytes()));
        }
    }
}

impl<S, N> Layer<S> for Lines<S, N>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_alive(|| touch(&context)) {
            self.inner.on_event(event, context);
        } else {
            self.write_at_the_end(event);
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(id, values, context);
    }
}

/// Uses the thread-locals of the libraries for the first time.
pub fn touch<S: Subscriber + for<'a> LookupSpan<'a>>(context: &Context<'_, S>) {
    OtelContext::map_current(|_| ());
    drop(context.lookup_current());
}
