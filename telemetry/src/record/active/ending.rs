//! The end of a process: it is counted, and its span is closed and handed to the drain.

use opentelemetry::trace::{Event, TraceContextExt, TraceState};
use opentelemetry::{Context, KeyValue, SpanId};
use telemetry_rt_clock::wall;

use super::account::{Process, SpanKeeping};
use super::ids;
use super::panics;
use super::poll_log::{PollLog, PollNote};
use super::scribe::Scribe;
use super::span::{self, Ended, SpanExtras, SpanRecord};
use super::task::TaskExtra;
use crate::record::{Ending, Outcome};

/// What is left of a process that has ended: its context, with whatever users put into it.
#[must_use = "it is dropped where user code may run"]
pub struct Leftover {
    #[expect(dead_code, reason = "held to be dropped")]
    context: Option<Context>,
    #[expect(dead_code, reason = "held to be dropped")]
    extra: Option<Box<TaskExtra>>,
}

impl Scribe {
    /// The process has ended, with the turn that was ended last. What is left of it holds values
    /// of users, and is to be dropped where their code may run.
    pub fn ended(&self, process: &mut Process<'_>, ending: Ending<'_>) -> Leftover {
        if let Ending::Panicked(_) = ending {
            self.recorder.count_panic();
        }
        if let Some(unborn) = process.detail.unborn() {
            // It has ended without having been polled.
            self.bear_span(process, unborn);
        }
        let context = process.scope.context.take();
        if process.detail.is_counted() {
            self.count_process(process, ending.outcome());
        }
        match (process.detail.span(), &context) {
            (SpanKeeping::Ours, Some(context)) => self.end_span(process, context, ending),
            (SpanKeeping::Foreign, Some(context)) => self.end_foreign(process, context, ending),
            (SpanKeeping::None, _) | (_, None) => {}
        }
        Leftover {
            context,
            extra: process.scope.extra.take(),
        }
    }

    fn count_process(&self, process: &Process<'_>, outcome: Outcome) {
        let shard = self.shard();
        shard.durations.of(process.record.kind(), outcome).record(
            process.record.length(),
            self.recorder.bounds(),
            shard.writers,
        );
    }

    fn end_span(&self, process: &mut Process<'_>, context: &Context, ending: Ending<'_>) {
        let Some(mut ended) = span::end(context) else {
            // A user's code panicked within the span, which the API keeps behind a lock that such
            // a panic closes for good.
            self.count_dropped();
            return;
        };
        add_panic(&mut ended, ending);
        self.hand_over(|| self.closed(process, context, ending.outcome(), ended));
    }

    #[cold]
    fn end_foreign(&self, process: &mut Process<'_>, context: &Context, ending: Ending<'_>) {
        let mut ended = Ended {
            parent_span_id: SpanId::INVALID,
            parent_is_remote: false,
            spawner: None,
            extras: None,
        };
        add_panic(&mut ended, ending);
        let record = self.closed(process, context, ending.outcome(), ended);
        self.recorder.end_foreign(context, record);
    }

    /// The account of a process, closed. Nothing is done to the record once it is made: so it is made
    /// where it goes.
    #[inline]
    fn closed(
        &self,
        process: &mut Process<'_>,
        context: &Context,
        outcome: Outcome,
        ended: Ended,
    ) -> SpanRecord {
        let span = context.span();
        let of_span = span.span_context();
        let record = process.record;
        SpanRecord {
            trace_id: of_span.trace_id(),
            span_id: of_span.span_id(),
            parent_span_id: ended.parent_span_id,
            parent_is_remote: ended.parent_is_remote,
            spawner: ended.spawner,
            start: record.spawned(),
            end: record.last(),
            busy: record.busy(),
            scheduled: record.scheduled(),
            idle: process.detail.idle(),
            task_id: process.id,
            kind: record.kind(),
            polls: record.polls(),
            wakes: record.wakes(),
            migrations: record.migrations(),
            outcome,
            thread: self.thread.clone(),
            extras: ended.extras,
            polls_noted: noted(process.scope.extra.as_deref_mut()),
            poll: None,
        }
    }

    /// A poll is exported as a span below that of its process.
    pub(super) fn hand_over_poll(&self, process: &Process<'_>, note: PollNote) {
        let context = process.scope.context.as_ref();
        let trace_state =
            context.map(|context| context.span().span_context().trace_state().clone());
        let trace_state = trace_state.filter(|state| *state != TraceState::default());
        self.hand_over(|| SpanRecord {
            trace_id: process.detail.trace_id(),
            span_id: ids::new_span_id(),
            parent_span_id: SpanId::from(process.detail.span_id()),
            parent_is_remote: false,
            spawner: None,
            start: note.start,
            end: note.end,
            busy: note.end.since(note.start),
            scheduled: note.scheduled,
            idle: Default::default(),
            task_id: process.id,
            kind: process.record.kind(),
            polls: note.number,
            wakes: 0,
            migrations: 0,
            outcome: Outcome::Finished,
            thread: None,
            extras: trace_state.map(|trace_state| {
                Box::new(SpanExtras {
                    trace_state,
                    ..SpanExtras::default()
                })
            }),
            polls_noted: None,
            poll: Some(Box::new(note)),
        });
    }
}

fn noted(extra: Option<&mut TaskExtra>) -> Option<Box<PollLog>> {
    let log = std::mem::take(&mut extra?.polls);
    (!log.notes.is_empty() || log.dropped > 0).then(|| Box::new(log))
}

/// Adds the exception event of the semantic conventions when the process panicked.
#[inline]
fn add_panic(span: &mut Ended, ending: Ending<'_>) {
    if let Ending::Panicked(message) = ending {
        let extras = span.extras.get_or_insert_default();
        extras.events.push(exception(message));
    }
}

#[cold]
fn exception(message: &str) -> Event {
    let mut attributes = vec![
        KeyValue::new("exception.type", "panic"),
        KeyValue::new("exception.message", message.to_owned()),
    ];
    attributes.extend(panics::place_of(message));
    Event::new("exception", wall(), attributes, 0)
}
