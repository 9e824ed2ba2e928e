//! A span in the form of the SDK as a `Span` of OTLP, without any form in between.
//!
//! ```text
//!   12 length | ids, flags, times | parent, trace state, name, kind, status | attributes
//!             | events | links | how many of all were dropped
//! ```
//!
//! The library that knows the protocol copies a span into structs of its own, with some forty
//! pieces of memory for one of an HTTP server, and frees them when they are bytes. Here nothing is
//! copied but into the request. How long an attribute is is known before it is written; lengths of
//! spans, events and links are filled in afterwards. What is too long is [cut](super::long) on its
//! way. There is no second truth about what a span says: a test compares with the library.

mod attribute;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, Status, TraceState};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::trace::SpanData;

use super::identity::{self, Identity, PARENT, id};
use super::long::cut;
use super::wire::{Pen, Wire, length_of_text};
use attribute::attributes;

/// Of `ScopeSpans`.
const SPAN: u8 = 0x12;

/// Of `Span`, and of `Link`.
const TRACE_STATE: u8 = 0x1a;

/// Of `Span`.
const NAME: u8 = 0x2a;
const KIND: u8 = 0x30;
const ATTRIBUTES: u8 = 0x4a;
const DROPPED_ATTRIBUTES: u8 = 0x50;
const EVENTS: u8 = 0x5a;
const DROPPED_EVENTS: u8 = 0x60;
const LINKS: u8 = 0x6a;
const DROPPED_LINKS: u8 = 0x70;
const STATUS: u8 = 0x7a;

/// Of `Event`.
const EVENT_TIME: u8 = 0x09;
const EVENT_NAME: u8 = 0x12;
const EVENT_ATTRIBUTES: u8 = 0x1a;
const EVENT_DROPPED: u8 = 0x20;

/// Of `Link`.
const LINK_ATTRIBUTES: u8 = 0x22;
const LINK_DROPPED: u8 = 0x28;

/// Of `Status`.
const MESSAGE: u8 = 0x12;
const CODE: u8 = 0x18;

/// Nobody takes a span that is larger, and lengths of outer messages have 28 bits.
const MOST_BYTES_OF_A_SPAN: usize = 1 << 27;

/// What the fields beside texts and lists may take: ids and times 52, parent 10, kind 2, three
/// numbers of at most 6, tags and lengths of three texts and of the status 16.
const ROOM: usize = 128;

/// Writes one span, as a field of `ScopeSpans`.
pub(super) fn write(wire: &mut Wire, span: &SpanData) {
    let start = wire.end();
    let open = wire.begin_short(SPAN);
    head(wire, span);
    attributes(wire, ATTRIBUTES, &span.attributes);
    span.events.iter().for_each(|one| event(wire, one));
    span.links.iter().for_each(|one| link(wire, one));
    dropped(wire, span, [0; 3]);
    wire.close_short(open);
    if wire.end() - start > MOST_BYTES_OF_A_SPAN {
        wire.cut(start);
        write_bare(wire, span);
    }
}

/// A span without its lists, which count as dropped.
#[cold]
fn write_bare(wire: &mut Wire, span: &SpanData) {
    let open = wire.begin_short(SPAN);
    head(wire, span);
    let lists = [span.attributes.len(), span.events.len(), span.links.len()];
    dropped(wire, span, lists);
    wire.close_short(open);
}

/// All but the lists.
fn head(wire: &mut Wire, span: &SpanData) {
    let context = &span.span_context;
    let identity = Identity {
        trace_id: context.trace_id(),
        span_id: context.span_id(),
        flags: identity::flags(context.trace_flags().to_u8(), span.parent_span_is_remote),
        start: nanos(span.start_time),
        end: nanos(span.end_time),
    };
    let (name, message) = (cut(&span.name), message(&span.status));
    let mut pen = wire.pen(ROOM + name.len() + message.len());
    pen.put(identity.fields());
    if span.parent_span_id.to_bytes() != [0; 8] {
        pen.put(id(PARENT, span.parent_span_id));
    }
    pen.text(NAME, name);
    pen.put([KIND, SpanKind::from(span.span_kind.clone()) as u8]);
    status(&mut pen, &span.status, message);
    let end = pen.end();
    wire.wrote(end);
    trace_state(wire, context.trace_state());
}

fn message(status: &Status) -> &str {
    match status {
        Status::Error { description } => cut(description),
        Status::Ok | Status::Unset => "",
    }
}

fn status(pen: &mut Pen<'_>, status: &Status, message: &str) {
    match StatusCode::from(status) {
        StatusCode::Unset => pen.put([STATUS, 0]),
        code => {
            pen.put([STATUS]);
            pen.length(length_of_text(message) + 2);
            pen.text(MESSAGE, message);
            pen.put([CODE, code as u8]);
        }
    }
}

/// Mostly there is none.
fn trace_state(wire: &mut Wire, state: &TraceState) {
    let length: usize = state
        .into_iter()
        .map(|(key, value)| key.len() + value.len() + 2)
        .sum();
    if length == 0 {
        return;
    }
    let mut pen = wire.pen(ROOM + length);
    pen.put([TRACE_STATE]);
    // There is no comma behind the last.
    pen.length(length - 1);
    for (index, (key, value)) in state.into_iter().enumerate() {
        if index > 0 {
            pen.put(*b",");
        }
        pen.append(key.as_bytes());
        pen.put(*b"=");
        pen.append(value.as_bytes());
    }
    let end = pen.end();
    wire.wrote(end);
}

fn event(wire: &mut Wire, event: &Event) {
    let open = wire.begin_short(EVENTS);
    let name = cut(&event.name);
    let mut pen = wire.pen(ROOM + name.len());
    pen.put([EVENT_TIME]);
    pen.put(nanos(event.timestamp).to_le_bytes());
    pen.text(EVENT_NAME, name);
    pen.count(EVENT_DROPPED, event.dropped_attributes_count);
    let end = pen.end();
    wire.wrote(end);
    attributes(wire, EVENT_ATTRIBUTES, &event.attributes);
    wire.close_short(open);
}

fn link(wire: &mut Wire, link: &Link) {
    let open = wire.begin_short(LINKS);
    let mut pen = wire.pen(ROOM);
    pen.put(identity::link(&link.span_context));
    pen.count(LINK_DROPPED, link.dropped_attributes_count);
    let end = pen.end();
    wire.wrote(end);
    trace_state(wire, link.span_context.trace_state());
    attributes(wire, LINK_ATTRIBUTES, &link.attributes);
    wire.close_short(open);
}

/// How many attributes, events and links a span has lost, with those that it loses here.
fn dropped(wire: &mut Wire, span: &SpanData, here: [usize; 3]) {
    let before = [
        (DROPPED_ATTRIBUTES, span.dropped_attributes_count),
        (DROPPED_EVENTS, span.events.dropped_count),
        (DROPPED_LINKS, span.links.dropped_count),
    ];
    let mut pen = wire.pen(ROOM);
    for ((tag, before), here) in before.into_iter().zip(here) {
        pen.count(tag, before.saturating_add(here as u32));
    }
    let end = pen.end();
    wire.wrote(end);
}

/// Since 1970; what was before that is that moment.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
pub(super) mod tests;
