//! The record of a process as a `Span` of OTLP, without any form in between.
//!
//! ```text
//!   12 length | ids, flags, start, end | name, kind, attributes, status | attributes | link
//!             |      from the record   |    the same for all of a kind  |     from the record
//! ```
//!
//! What is the same for all processes of a kind that end in the same way is encoded once, by the
//! library that knows the protocol, and copied from then on. What differs is numbers, of which
//! [`wire`](super::wire) writes one in some 3 ns.
//!
//! A record with anything else about it (what users have said, single polls, a panic) takes the
//! long way by `SpanData`, and so do all records if a limit cuts attributes of ours. There is no
//! second truth about what a span says: a test compares both ways, field by field.

use opentelemetry::trace::{SpanId, Status};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{self as proto, Span, status::StatusCode};
use opentelemetry_proto::transform::common::tonic::Attributes;
use prost::Message;

use super::identity::{self, Identity, PARENT, id};
use super::long::MOST_CHARACTERS;
use super::user;
use super::wire::{NumberKey, Pen, SmallKeys, Wire};
use crate::export::calendar::Calendar;
use crate::export::length::shorten_all;
use crate::export::span_data::{
    Converter, Ledger, MOST_ATTRIBUTES, constants, idle_key, name_of, status,
};
use crate::record::{Kind, Outcome, ProcessType, SpanRecord, Spawner, Waiting};

static ID: NumberKey = NumberKey::new("task.id");
static POLLS: NumberKey = NumberKey::new("task.polls");
static WAKES: NumberKey = NumberKey::new("task.wakes");
static MIGRATIONS: NumberKey = NumberKey::new("task.migrations");
static COUNTS: SmallKeys<3> = SmallKeys::new([&POLLS, &WAKES, &MIGRATIONS]);
static BUSY: NumberKey = NumberKey::new("task.busy_ns");
static SCHEDULED: NumberKey = NumberKey::new("task.scheduled_ns");
static IDLE: NumberKey = NumberKey::new("task.idle_ns");
static COALESCED: NumberKey = NumberKey::new("task.coalesced_wakes");
static QUEUED: NumberKey = NumberKey::new("task.queued_ns");
static IDLE_BY_REASON: [NumberKey; Waiting::COUNT] = {
    let mut keys = [const { NumberKey::new("") }; Waiting::COUNT];
    let mut index = 0;
    while index < Waiting::COUNT {
        let waiting = Waiting::ALL[index];
        keys[waiting as usize] = NumberKey::new(idle_key(waiting));
        index += 1;
    }
    keys
};

/// Writes records as spans; remembers what is the same for many.
#[derive(Debug, Default)]
pub(super) struct SpanWriter {
    /// By the numbers of kind and outcome.
    forms: Vec<Form>,
    /// Whose kinds these are.
    converter: u64,
}

/// How the spans of processes of one kind that end in the same way are written.
#[derive(Clone, Debug, Default)]
enum Form {
    #[default]
    Unknown,
    /// From the record, around what they have in common.
    Short {
        common: Box<[u8]>,
        is_blocking: bool,
        most_of_name: usize,
    },
    /// By `SpanData`.
    Long,
}

/// What a span may take beside what is common to many: 62 bytes of ids and times, 15 numbers of at
/// most 37, a link of 35, a name of 117.
const ROOM: usize = 1024;

/// More in common than this takes the long way: lengths of spans have two bytes.
const MOST_COMMON: usize = 8 * 1024;

/// Names of threads that are longer take the long way: lengths of attributes have one byte.
const MOST_NAME: usize = 100;

impl SpanWriter {
    /// Writes one span, as a field of `ScopeSpans`.
    #[inline]
    pub(super) fn write(
        &mut self,
        wire: &mut Wire,
        record: &SpanRecord,
        calendar: &Calendar,
        converter: &mut Converter,
    ) {
        match self.form_of(record, converter) {
            Form::Short {
                common,
                is_blocking,
                most_of_name,
            } if is_plain(record, *most_of_name) => {
                write_short(wire, record, calendar, common, *is_blocking);
            }
            _ => write_long(wire, record, calendar, converter),
        }
    }

    #[inline]
    fn form_of(&mut self, record: &SpanRecord, converter: &mut Converter) -> &Form {
        if self.converter != converter.number() {
            self.converter = converter.number();
            self.forms.clear();
        }
        let place = record.kind as usize * Outcome::COUNT + record.outcome as usize;
        if matches!(self.forms.get(place), None | Some(Form::Unknown)) {
            self.learn(place, record, converter);
        }
        &self.forms[place]
    }

    #[cold]
    fn learn(&mut self, place: usize, record: &SpanRecord, converter: &mut Converter) {
        if place >= self.forms.len() {
            self.forms.resize(place + 1, Form::Unknown);
        }
        self.forms[place] = Form::of(record, converter);
    }
}

impl Form {
    fn of(record: &SpanRecord, converter: &mut Converter) -> Form {
        let limits = converter.limits();
        let cuts = (limits.max_attributes_per_span as usize) < MOST_ATTRIBUTES
            || limits.max_links_per_span == 0;
        let most = converter.value_length();
        let most = most.map_or(MOST_CHARACTERS, |most| most.min(MOST_CHARACTERS));
        let kind = converter.kind(record.kind);
        let common = common(kind, record.outcome, most);
        // Whoever has panicked has an event about it.
        if cuts || record.outcome == Outcome::Panicked || common.len() > MOST_COMMON {
            return Form::Long;
        }
        Form::Short {
            common: common.into(),
            is_blocking: kind.process_type == ProcessType::Blocking,
            most_of_name: most.min(MOST_NAME),
        }
    }
}

/// Name, kind, constant attributes and status, as fields of `Span`.
fn common(kind: &Kind, outcome: Outcome, most: usize) -> Vec<u8> {
    let mut attributes = Vec::new();
    constants(kind, outcome, &mut attributes);
    shorten_all(&mut attributes, most);
    let status = status(Status::Unset, outcome, kind, &[]);
    let span = Span {
        name: name_of(kind).to_owned(),
        kind: SpanKind::Internal.into(),
        attributes: Attributes::from(attributes).0,
        status: Some(proto::Status {
            code: StatusCode::from(&status).into(),
            message: match status {
                Status::Error { description } => description.into_owned(),
                Status::Ok | Status::Unset => String::new(),
            },
        }),
        ..Span::default()
    };
    span.encode_to_vec()
}

/// Whether there is nothing about it but what all processes have.
#[inline]
fn is_plain(record: &SpanRecord, most_of_name: usize) -> bool {
    let thread = record.thread.as_deref();
    record.extras.is_none()
        && record.polls_noted.is_none()
        && record.poll.is_none()
        && thread.is_none_or(|name| name.len() <= most_of_name)
}

/// The tag of a span in its `ScopeSpans`.
const SPAN: u8 = 0x12;

#[inline]
fn write_short(
    wire: &mut Wire,
    record: &SpanRecord,
    calendar: &Calendar,
    common: &[u8],
    is_blocking: bool,
) {
    let mut pen = wire.pen(ROOM + common.len());
    pen.put([SPAN, 0, 0]);
    let start = pen.end();
    let ledger = Ledger::of(record, calendar.scale());
    let begun = calendar.nanos(record.start);
    pen.put(identity(record, begun, begun.saturating_add(ledger.length)).fields());
    if record.parent_span_id != SpanId::INVALID {
        pen.put(id(PARENT, record.parent_span_id));
    }
    pen.append(common);
    numbers(&mut pen, record, &ledger, is_blocking);
    if let Some(thread) = &record.thread {
        thread_name(&mut pen, thread);
    }
    if let Some(spawner) = &record.spawner {
        link(&mut pen, spawner);
    }
    pen.close_short(start);
    let end = pen.end();
    wire.wrote(end);
}

#[inline(always)]
fn identity(record: &SpanRecord, start: u64, end: u64) -> Identity {
    Identity {
        trace_id: record.trace_id,
        span_id: record.span_id,
        flags: identity::flags(1, record.parent_is_remote),
        start,
        end,
    }
}

/// As `measures` of `span_data`, in its order.
#[inline(always)]
fn numbers(pen: &mut Pen<'_>, record: &SpanRecord, ledger: &Ledger, is_blocking: bool) {
    pen.number(&ID, record.task_id);
    let counts = [record.polls, record.wakes, record.migrations.into()];
    if !pen.small_numbers(&COUNTS, counts) {
        pen.number(&POLLS, record.polls.into());
        pen.number(&WAKES, record.wakes.into());
        pen.number(&MIGRATIONS, record.migrations.into());
    }
    pen.number(&BUSY, ledger.busy);
    pen.number(&SCHEDULED, ledger.scheduled);
    pen.number(&IDLE, ledger.idle);
    if ledger.idle > 0 {
        for (key, &nanos) in IDLE_BY_REASON.iter().zip(&ledger.idle_by_reason) {
            if nanos > 0 {
                pen.number(key, nanos);
            }
        }
    }
    if record.wakes > record.polls {
        pen.number(&COALESCED, (record.wakes - record.polls).into());
    }
    if is_blocking {
        pen.number(&QUEUED, ledger.scheduled);
    }
}

/// The attribute `thread.name`.
fn thread_name(pen: &mut Pen<'_>, name: &str) {
    let length = name.len() as u8;
    pen.put([0x4a, length + 17, 0x0a, 11]);
    pen.put(*b"thread.name");
    pen.put([0x12, length + 2, 0x0a, length]);
    pen.append(name.as_bytes());
}

/// The link to a spawner that is not the parent.
fn link(pen: &mut Pen<'_>, spawner: &Spawner) {
    pen.put([0x6a, 33]);
    pen.put(identity::link(&spawner.span_context()));
}

#[cold]
fn write_long(
    wire: &mut Wire,
    record: &SpanRecord,
    calendar: &Calendar,
    converter: &mut Converter,
) {
    user::write(wire, &converter.convert(record, calendar));
}

#[cfg(test)]
mod tests;
