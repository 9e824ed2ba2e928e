//! Single polls, as events on the span of their process or as spans below it.

use std::time::Duration;

use opentelemetry::trace::{Event, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::calendar::Calendar;
use crate::record::{PollNote, SpanRecord};

/// Adds an event for each poll to those of the span, in the order of time. When the process has
/// panicked its last event is that of the panic, and stays the last.
pub(super) fn merge(
    notes: &[PollNote],
    calendar: &Calendar,
    events: &mut Vec<Event>,
    panicked: bool,
) {
    let panic = if panicked { events.pop() } else { None };
    events.extend(notes.iter().map(|note| event(note, calendar)));
    events.sort_by_key(|event| event.timestamp);
    events.extend(panic);
}

/// An event that says when the poll began.
pub(super) fn event(note: &PollNote, calendar: &Calendar) -> Event {
    let name = if note.slow { "slow_poll" } else { "poll" };
    Event::new(
        name,
        calendar.date(note.start),
        attributes(note, calendar),
        0,
    )
}

/// The span of a poll, below that of its process.
pub(super) fn span(
    record: &SpanRecord,
    note: &PollNote,
    calendar: &Calendar,
    scope: InstrumentationScope,
) -> SpanData {
    let start_time = calendar.date(note.start);
    let length = calendar.scale().nanos(note.end.since(note.start));
    let extras = record.extras.as_ref();
    let trace_state = extras.map_or_else(TraceState::default, |extras| extras.trace_state.clone());
    let mut attributes = attributes(note, calendar);
    attributes.push(KeyValue::new("task.id", int(record.task_id)));
    SpanData {
        span_context: SpanContext::new(
            record.trace_id,
            record.span_id,
            TraceFlags::SAMPLED,
            false,
            trace_state,
        ),
        parent_span_id: record.parent_span_id,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "poll".into(),
        start_time,
        end_time: start_time + Duration::from_nanos(length),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    }
}

fn attributes(note: &PollNote, calendar: &Calendar) -> Vec<KeyValue> {
    let scale = calendar.scale();
    let busy = scale.nanos(note.end.since(note.start));
    let mut attributes = vec![
        KeyValue::new("poll.number", i64::from(note.number)),
        KeyValue::new("poll.busy_ns", int(busy)),
        KeyValue::new("poll.scheduled_ns", int(scale.nanos(note.scheduled))),
        KeyValue::new("poll.wake_cause", note.cause.as_str()),
    ];
    if let Some(waiting) = note.waiting {
        attributes.push(KeyValue::new("poll.waits_for", waiting.as_str()));
    }
    if let Some(worker) = note.worker {
        attributes.push(KeyValue::new("worker.index", i64::from(worker)));
    }
    if note.slow {
        attributes.push(KeyValue::new("poll.slow", true));
    }
    attributes
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
