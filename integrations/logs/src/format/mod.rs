//! What does a record look like?
//!
//! ```text
//! record.rs  what there is to say of a record, in either form
//! text.rs    as text, and fields of spans as text
//! json.rs    as JSON, and fields of spans as JSON
//! safe.rs    no character leaves as it is that could be taken for the end of a line
//! ```

mod json;
mod record;
mod safe;
mod text;

use std::fmt;
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::ids::Ids;
use record::Record;

pub use json::JsonFields;
pub use text::TextFields;

/// What lines look like; the [crate's page](crate) shows both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object of JSON on each line.
    Json,
    /// No lines: records are only exported.
    None,
}

/// How a record is written, with the ids of the span that it was written in.
///
/// A [`FormatEvent`] for a subscriber of one's own; [`init`](crate::init) uses it as well. Give the
/// layer [`TextFields`] or [`JsonFields`] beside it, by `fmt_fields`. With fields of another kind, it
/// escapes what they have formatted, and puts that into JSON as one text.
///
/// The ids are those of [`opentelemetry::Context::current`], wherever that comes from.
///
/// # Cost
///
/// A third of a microsecond for a line of text with two fields, one for JSON, where each value that
/// has to be formatted is allocated; the ids are 60 to 100 ns of that (`tests/cost.rs`).
#[derive(Clone, Debug)]
pub struct TraceFormat {
    shape: Shape,
    include_trace: bool,
    service_name: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Json,
}

impl TraceFormat {
    /// A line of text.
    pub fn text() -> TraceFormat {
        TraceFormat::shaped(Shape::Text)
    }

    /// An object of JSON.
    pub fn json() -> TraceFormat {
        TraceFormat::shaped(Shape::Json)
    }

    fn shaped(shape: Shape) -> TraceFormat {
        TraceFormat {
            shape,
            include_trace: true,
            service_name: None,
        }
    }

    /// Whether the ids of the current span are written. Default: yes.
    pub fn include_trace(mut self, include: bool) -> TraceFormat {
        self.include_trace = include;
        self
    }

    /// What JSON has as `service.name`. Default: nothing.
    pub fn service_name(mut self, name: impl Into<String>) -> TraceFormat {
        self.service_name = Some(name.into().into());
        self
    }

    /// Writes a record without what a thread that is ending has no more: spans and ids.
    pub(crate) fn write_alone(&self, out: &mut dyn fmt::Write, event: &Event<'_>) -> fmt::Result {
        self.write::<Registry, TextFields>(out, event, None, None)
    }

    fn write<S, N>(
        &self,
        out: &mut dyn fmt::Write,
        event: &Event<'_>,
        spans: Option<Scope<'_, S>>,
        ids: Option<Ids>,
    ) -> fmt::Result
    where
        S: for<'a> LookupSpan<'a>,
        N: 'static,
    {
        let record = Record::new(event, ids, self.service_name.as_deref());
        match self.shape {
            Shape::Text => text::write::<S, N>(out, &record, spans),
            Shape::Json => json::write::<S, N>(out, &record, spans),
        }
    }
}

impl<S, N> FormatEvent<S, N> for TraceFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let ids = self.include_trace.then(Ids::current).flatten();
        self.write::<S, N>(&mut writer, event, context.event_scope(), ids)
    }
}
