//! A record as an object of JSON.
//!
//! Members of objects are written one after the other; what stands between quotes is written by
//! `serde_json`.

use std::any::TypeId;
use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::{io, process, str, thread};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::record::{Chain, Record, is_of_log, thread_number, write_time};

/// Fields of spans as members of an object, for [`TraceFormat::json`](super::TraceFormat::json).
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonFields;

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members::new(&mut writer);
        fields.record(&mut members);
        members.result
    }

    /// A field that is recorded again has its last value, and is there once.
    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &span::Record<'_>,
    ) -> fmt::Result {
        let mut added = String::new();
        let mut members = Members::new(&mut added);
        fields.record(&mut members);
        members.result?;
        let mut all = object(current);
        all.append(&mut object(&added));
        let all = Value::Object(all).to_string();
        current.fields = all[1..all.len() - 1].to_owned();
        Ok(())
    }
}

/// Members as an object again.
fn object(members: &str) -> Map<String, Value> {
    serde_json::from_str(&format!("{{{members}}}")).unwrap_or_default()
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
    out.write_str("{\"timestamp\":\"")?;
    write_time(out)?;
    write!(out, "\",\"level\":\"{}\"", metadata.level())?;
    member(out, "target", metadata.target())?;
    write_fields(out, record)?;
    if let Some(spans) = spans {
        write_spans::<S, N>(out, spans)?;
    }
    if let Some(ids) = record.ids {
        write!(
            out,
            ",\"trace_id\":\"{}\",\"span_id\":\"{}\",\"trace_flags\":\"{:02x}\"",
            ids.trace_id,
            ids.span_id,
            ids.flags.to_u8()
        )?;
    }
    let texts = [
        ("service.name", record.service_name),
        ("filename", metadata.file()),
        ("module", metadata.module_path()),
    ];
    for (name, text) in texts {
        text.map_or(Ok(()), |text| member(out, name, text))?;
    }
    if let Some(line) = metadata.line() {
        write!(out, ",\"line\":{line}")?;
    }
    write_whereabouts(out)?;
    out.write_str("}\n")
}

/// The message, and the other fields of the record as an object.
fn write_fields(out: &mut dyn Write, record: &Record<'_>) -> fmt::Result {
    let mut message = Message(None);
    record.event.record(&mut message);
    if let Some(message) = message.0 {
        member(out, "message", &message)?;
    }
    out.write_str(",\"fields\":{")?;
    let mut members = Members::new(out);
    members.without_message = true;
    record.event.record(&mut members);
    members.result?;
    out.write_char('}')
}

/// The innermost is the last.
fn write_spans<S, N>(out: &mut dyn Write, spans: Scope<'_, S>) -> fmt::Result
where
    S: for<'a> LookupSpan<'a>,
    N: 'static,
{
    let mut before = ",\"spans\":[";
    for span in spans.from_root() {
        out.write_str(before)?;
        out.write_str("{\"name\":")?;
        value(out, &json!(span.name()))?;
        if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
            && !fields.is_empty()
        {
            match TypeId::of::<N>() == TypeId::of::<JsonFields>() {
                true => write!(out, ",\"fields\":{{{fields}}}")?,
                false => member(out, "fields", fields)?,
            }
        }
        out.write_char('}')?;
        before = ",";
    }
    match before {
        "," => out.write_char(']'),
        _ => Ok(()),
    }
}

/// Which thread of which process.
fn write_whereabouts(out: &mut dyn Write) -> fmt::Result {
    write!(out, ",\"thread\":{}", thread_number())?;
    if let Some(name) = thread::current().name() {
        member(out, "thread_name", name)?;
    }
    write!(out, ",\"process\":{}", process::id())
}

fn member(out: &mut dyn Write, name: &str, text: &str) -> fmt::Result {
    write!(out, ",\"{name}\":")?;
    quoted(out, text)
}

fn quoted(out: &mut dyn Write, text: &str) -> fmt::Result {
    serde_json::to_writer(Utf8(out), text).map_err(|_| fmt::Error)
}

fn value(out: &mut dyn Write, value: &Value) -> fmt::Result {
    serde_json::to_writer(Utf8(out), value).map_err(|_| fmt::Error)
}

/// `serde_json` writes bytes, of which it never divides a character.
struct Utf8<'a>(&'a mut dyn Write);

impl io::Write for Utf8<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Finds the message.
struct Message(Option<String>);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = Some(formatted(format_args!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0 = Some(value.to_owned());
        }
    }
}

/// Not `to_string`, which panics when a value says that it cannot be formatted.
fn formatted(value: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    let _ = text.write_fmt(value);
    text
}

/// Writes fields as members of an object.
struct Members<'a> {
    out: &'a mut dyn Write,
    first: bool,
    without_message: bool,
    result: fmt::Result,
}

impl<'a> Members<'a> {
    fn new(out: &'a mut dyn Write) -> Members<'a> {
        Members {
            out,
            first: true,
            without_message: false,
            result: Ok(()),
        }
    }

    fn member(&mut self, field: &Field, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        let left_out = is_of_log(field) || self.without_message && field.name() == "message";
        if self.result.is_ok() && !left_out {
            self.result = self.try_member(field.name(), write);
        }
    }

    fn try_member(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> fmt::Result,
    ) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.out.write_char(',')?;
        }
        quoted(self.out, name)?;
        self.out.write_char(':')?;
        write(self.out)
    }

    fn number(&mut self, field: &Field, number: impl fmt::Display) {
        self.member(field, |out| write!(out, "{number}"));
    }

    fn text(&mut self, field: &Field, text: &str) {
        self.member(field, |out| quoted(out, text));
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &formatted(format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, &formatted(format_args!("{}", Chain(value))));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    /// JSON has no word for infinity, nor for what is no number.
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.member(field, |out| self::value(out, &json!(value))),
            false => self.text(field, &value.to_string()),
        }
    }
}
