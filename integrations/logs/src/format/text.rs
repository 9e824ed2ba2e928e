//! A record as a line for people.

use std::any::TypeId;
use std::error::Error;
use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::record::{Chain, Record, is_of_log, write_time};
use super::safe::Safe;
use crate::ids::Ids;

/// Fields of spans as `name=value`, for [`TraceFormat::text`](super::TraceFormat::text).
#[derive(Clone, Copy, Debug, Default)]
pub struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = Pairs::new(&mut writer, "");
        fields.record(&mut pairs);
        pairs.result
    }
}

pub fn write<S, N>(
    out: &mut dyn Write,
    record: &Record<'_>,
    spans: Option<Scope<'_, S>>,
) -> fmt::Result
where
    S: for<'a> LookupSpan<'a>,
    N: 'static,
{
    let metadata = record.metadata();
    write_time(out)?;
    write!(out, " {:>5} ", metadata.level().as_str())?;
    Safe(out).write_str(metadata.target())?;
    out.write_char(':')?;
    let mut pairs = Pairs::new(out, " ");
    record.event.record(&mut pairs);
    pairs.result?;
    if let Some(spans) = spans {
        write_spans::<S, N>(out, spans)?;
    }
    if let Some(ids) = record.ids {
        write_ids(out, ids)?;
    }
    out.write_char('\n')
}

/// The innermost is the last.
fn write_spans<S, N>(out: &mut dyn Write, spans: Scope<'_, S>) -> fmt::Result
where
    S: for<'a> LookupSpan<'a>,
    N: 'static,
{
    let mut before = " in ";
    for span in spans.from_root() {
        out.write_str(before)?;
        Safe(out).write_str(span.name())?;
        if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
            && !fields.is_empty()
        {
            out.write_char('{')?;
            match TypeId::of::<N>() == TypeId::of::<TextFields>() {
                true => out.write_str(fields)?,
                false => Safe(out).write_str(fields)?,
            }
            out.write_char('}')?;
        }
        before = ":";
    }
    Ok(())
}

fn write_ids(out: &mut dyn Write, ids: Ids) -> fmt::Result {
    write!(out, " trace_id={} span_id={}", ids.trace_id, ids.span_id)?;
    match ids.flags.is_sampled() {
        true => Ok(()),
        false => write!(out, " trace_flags={:02x}", ids.flags.to_u8()),
    }
}

/// Writes fields one after the other, the message without its name.
struct Pairs<'a> {
    out: &'a mut dyn Write,
    before: &'static str,
    result: fmt::Result,
}

impl<'a> Pairs<'a> {
    fn new(out: &'a mut dyn Write, before: &'static str) -> Pairs<'a> {
        Pairs {
            out,
            before,
            result: Ok(()),
        }
    }

    fn pair(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() && !is_of_log(field) {
            self.result = self.try_pair(field.name(), value);
        }
    }

    fn try_pair(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        self.out.write_str(self.before)?;
        self.before = " ";
        let mut safe = Safe(self.out);
        if name != "message" {
            safe.write_str(name)?;
            safe.write_char('=')?;
        }
        // A value that cannot be formatted is not the end of the record.
        let _ = safe.write_fmt(value);
        Ok(())
    }
}

impl Visit for Pairs<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.pair(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.pair(field, format_args!("{value}")),
            _ => self.pair(field, format_args!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.pair(field, format_args!("{:?}", Chain(value).to_string()));
    }
}
