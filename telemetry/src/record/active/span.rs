//! The span of a process, as OpenTelemetry sees it while it runs and as it leaves the worker.
//!
//! While the process runs its span is a [`TaskSpan`] inside of a `Context`, which is current
//! during each poll: spans that users start nest below it, and what they do to
//! `Context::current().span()` is kept in its [`SpanExtras`]. A context may be cloned and outlive
//! the process; so the span is told when the process ends, and records nothing afterwards.
//!
//! The API gives no way from a `Context` back to the span's own type. [`end`] therefore goes
//! through `Span::end_with_timestamp`, with a thread-local door ([`ENDING`]): when the door is
//! open the span puts what it holds there, and when it is closed the call came from a user, for
//! whom the span of a process has no end but the end of the process.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Event, Link, Span, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState,
};
use opentelemetry::{Context, KeyValue};
use telemetry_rt_clock::Ticks;

use super::poll_log::{PollLog, PollNote};
use crate::record::{Outcome, Waiting};

/// The span of a spawner, in little space: most links are to one, and have nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spawner {
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
    is_remote: bool,
}

impl Spawner {
    fn of(context: &SpanContext) -> Spawner {
        Spawner {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            flags: context.trace_flags(),
            is_remote: context.is_remote(),
        }
    }

    /// As it was, but for the trace state, which it had none of.
    pub fn span_context(&self) -> SpanContext {
        let state = TraceState::default();
        SpanContext::new(
            self.trace_id,
            self.span_id,
            self.flags,
            self.is_remote,
            state,
        )
    }
}

/// What few spans have: attributes and events that users added, links, a status.
#[derive(Debug, Default)]
pub struct SpanExtras {
    /// The name that the user gave the span while it ran.
    pub name: Option<Cow<'static, str>>,
    /// Attributes beside those of the process.
    pub attributes: Vec<KeyValue>,
    /// Events, in the order they happened.
    pub events: Vec<Event>,
    /// Links to other spans.
    pub links: Vec<Link>,
    /// The status that the user gave.
    pub status: Status,
    /// Trace state, when there is any.
    pub trace_state: TraceState,
    /// How many attributes, events and links exceeded the limit.
    pub dropped: DroppedParts,
}

/// Parts of a span that exceeded its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedParts {
    /// Attributes.
    pub attributes: u32,
    /// Events.
    pub events: u32,
    /// Links.
    pub links: u32,
}

/// A span that has ended, on its way from the worker to the drain.
#[derive(Debug)]
pub struct SpanRecord {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Its parent's id, invalid if it is a root.
    pub parent_span_id: SpanId,
    /// Whether the parent is in another process of the operating system.
    pub parent_is_remote: bool,
    /// The span that it links to, if it was spawned by one that is not its parent.
    pub spawner: Option<Spawner>,
    /// When it was spawned.
    pub start: Ticks,
    /// When it ended.
    pub end: Ticks,
    /// Ticks during which it was polled.
    pub busy: u64,
    /// Ticks during which it was ready and waited for a poll.
    pub scheduled: u64,
    /// Ticks during which it was idle, by [`Waiting`]; that for [`Waiting::Other`] is not kept.
    pub idle: [u64; Waiting::COUNT],
    /// The number of the task, as in `task::Id`.
    pub task_id: u64,
    /// The number of its [`Kind`](super::Kind).
    pub kind: u32,
    /// How often it was polled.
    pub polls: u32,
    /// How often it was woken.
    pub wakes: u32,
    /// How often it was polled by another worker than the time before.
    pub migrations: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The thread that ran it, if it is one with a name worth telling: those of the blocking pool.
    pub thread: Option<Arc<str>>,
    /// What few spans have.
    pub extras: Option<Box<SpanExtras>>,
    /// Polls that become events of the span.
    pub polls_noted: Option<Box<PollLog>>,
    /// The poll that this is the span of, if it is not that of the process as a whole. Then the
    /// process is the parent, and its name and outcome are not told.
    pub poll: Option<Box<PollNote>>,
}

/// What the span itself knows, handed over when it ends.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) parent_span_id: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) spawner: Option<Spawner>,
    pub(super) extras: Option<Box<SpanExtras>>,
}

/// The live span of a process.
#[derive(Debug)]
pub(super) struct TaskSpan {
    context: SpanContext,
    parent_span_id: SpanId,
    parent_is_remote: bool,
    spawner: Option<Spawner>,
    extras: Option<Box<SpanExtras>>,
    limit: usize,
    ended: bool,
}

thread_local! {
    /// Where the span that is being ended puts what it holds: see the module header.
    static ENDING: RefCell<Door> = const { RefCell::new(Door::Closed) };
}

enum Door {
    Closed,
    Open,
    Passed(Ended),
}

/// Ends the span of a process. `None` if the context's span is not that of a process.
pub(super) fn end(context: &Context) -> Option<Ended> {
    ENDING.set(Door::Open);
    context.span().end_with_timestamp(SystemTime::UNIX_EPOCH);
    match ENDING.replace(Door::Closed) {
        Door::Passed(ended) => Some(ended),
        Door::Open | Door::Closed => None,
    }
}

impl TaskSpan {
    /// A span that has nothing yet but a parent, which may be invalid.
    #[inline]
    pub(super) fn below(parent: &SpanContext, context: SpanContext, limit: usize) -> TaskSpan {
        let mut span = TaskSpan {
            context,
            parent_span_id: parent.span_id(),
            parent_is_remote: parent.is_remote(),
            spawner: None,
            extras: None,
            limit,
            ended: false,
        };
        if *span.context.trace_state() != TraceState::default() {
            span.extras().trace_state = span.context.trace_state().clone();
        }
        span
    }

    #[inline]
    pub(super) fn link_to(&mut self, spawner: &SpanContext) {
        if *spawner.trace_state() == TraceState::default() {
            self.spawner = Some(Spawner::of(spawner));
        } else {
            self.add_link(spawner.clone(), Vec::new());
        }
    }

    fn extras(&mut self) -> &mut SpanExtras {
        self.extras.get_or_insert_default()
    }
}

impl Span for TaskSpan {
    fn add_event_with_timestamp<T>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) where
        T: Into<Cow<'static, str>>,
    {
        if self.ended {
            return;
        }
        let limit = self.limit;
        let extras = self.extras();
        if extras.events.len() < limit {
            extras
                .events
                .push(Event::new(name, timestamp, attributes, 0));
        } else {
            extras.dropped.events += 1;
        }
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        !self.ended
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if self.ended {
            return;
        }
        let limit = self.limit;
        let extras = self.extras();
        let kept = &mut extras.attributes;
        match kept.iter().position(|known| known.key == attribute.key) {
            Some(place) => kept[place] = attribute,
            None if kept.len() < limit => kept.push(attribute),
            None => extras.dropped.attributes += 1,
        }
    }

    fn set_status(&mut self, status: Status) {
        if self.ended {
            return;
        }
        // The order of the API: `Ok` is final, an error is not unset.
        let extras = self.extras();
        if status > extras.status {
            extras.status = status;
        }
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if !self.ended {
            self.extras().name = Some(new_name.into());
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        if self.ended {
            return;
        }
        let limit = self.limit;
        let extras = self.extras();
        if extras.links.len() < limit {
            extras.links.push(Link::new(span_context, attributes, 0));
        } else {
            extras.dropped.links += 1;
        }
    }

    fn end_with_timestamp(&mut self, _timestamp: SystemTime) {
        ENDING.with_borrow_mut(|door| {
            if matches!(door, Door::Open) && !self.ended {
                self.ended = true;
                *door = Door::Passed(Ended {
                    parent_span_id: self.parent_span_id,
                    parent_is_remote: self.parent_is_remote,
                    spawner: self.spawner,
                    extras: self.extras.take(),
                });
            }
        });
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_span_on_its_way_is_as_small_as_the_figures_say() {
        assert_eq!(size_of::<SpanRecord>(), 208);
    }
}
