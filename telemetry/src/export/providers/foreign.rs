//! Spans of processes in a tracer provider that this crate knows nothing of.
//!
//! Nothing can be made up afterwards there: a foreign span gets its id when it is begun. So it is
//! begun on the thread that spawns the process and ended on the thread where that ends. What it
//! costs there is up to the provider. It has the attributes, status and times of any span of ours.
//!
//! The live span is a [`ForeignSpan`] around that of the provider. As with our own spans, the end of
//! the process is its only end, and only [`ForeignPolicy::end_foreign`] knows the word: it puts what
//! is to be said last into [`ENDING`] before it ends the span, and a call without that is a user's.
//!
//! The provider's code may panic. It runs within `spawn`, where a panic would be taken for one of the
//! spawner, and on a worker, where it would end the process: it is caught and warned of once.
//!
//! A forked child has copies of the spans that live in its parent, who will end them: in a child
//! they are neither ended nor dropped, because both may export them, and none are begun.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::global::{BoxedSpan, BoxedTracer, ObjectSafeTracerProvider};
use opentelemetry::trace::{
    Event, Link, Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceId,
    Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, Key, KeyValue};
use telemetry_rt_clock::wall;

use crate::export::calendar::Calendar;
use crate::export::diagnostics::warn;
use crate::export::panics::message_of;
use crate::export::policy::rootless;
use crate::export::polls;
use crate::export::span_data::{Ledger, attributes, name_of, scope, status};
use crate::record::{Decision, Kind, Outcome, PollNote, ProcessType, SpanPolicy, SpanRecord};

/// Any tracer provider, its type forgotten.
#[derive(Clone)]
pub(in crate::export) struct ForeignProvider(Arc<dyn ObjectSafeTracerProvider + Send + Sync>);

impl ForeignProvider {
    pub(in crate::export) fn new<P, T, S>(provider: P) -> ForeignProvider
    where
        S: Span + Send + Sync + 'static,
        T: Tracer<Span = S> + Send + Sync + 'static,
        P: TracerProvider<Tracer = T> + Send + Sync + 'static,
    {
        ForeignProvider(Arc::new(provider))
    }
}

impl TracerProvider for ForeignProvider {
    type Tracer = BoxedTracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> BoxedTracer {
        BoxedTracer::new(self.0.boxed_tracer(scope))
    }
}

impl fmt::Debug for ForeignProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignProvider")
    }
}

/// Begins and ends spans of processes in a foreign provider, whose sampler decides about them.
#[derive(Debug)]
pub(in crate::export) struct ForeignPolicy {
    tracer: BoxedTracer,
    process: u32,
    has_panicked: AtomicBool,
}

impl ForeignPolicy {
    pub(in crate::export) fn new(provider: &ForeignProvider) -> ForeignPolicy {
        ForeignPolicy {
            tracer: provider.tracer_with_scope(scope()),
            process: process::id(),
            has_panicked: AtomicBool::new(false),
        }
    }

    fn begin(&self, parent: &Context, kind: &Kind, link: Option<SpanContext>) -> Context {
        let started = wall();
        let mut builder = SpanBuilder::from_name(name_of(kind))
            .with_kind(SpanKind::Internal)
            .with_start_time(started);
        builder.links = link.map(|spawner| vec![Link::new(spawner, Vec::new(), 0)]);
        let span = self.tracer.build_with_context(builder, &rootless(parent));
        parent.with_span(ForeignSpan {
            span: OwnSpan {
                span: Some(span),
                process: self.process,
            },
            started,
            status_is_said: false,
            said: Vec::new(),
        })
    }

    fn is_forked(&self) -> bool {
        process::id() != self.process
    }

    fn caught<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let called = catch_unwind(AssertUnwindSafe(call));
        called.map_err(|payload| self.warn_of(&*payload)).ok()
    }

    #[cold]
    fn warn_of(&self, payload: &(dyn Any + Send)) {
        // Relaxed: it only keeps the warning from being said twice.
        if self.has_panicked.swap(true, Ordering::Relaxed) {
            return;
        }
        warn(format_args!(
            "the tracer provider panicked over the span of a process: {}; \
             such spans are lost, and this is said once",
            message_of(payload)
        ));
    }
}

impl SpanPolicy for ForeignPolicy {
    /// For processes whose span the provider could not begin.
    fn sample(&self, _: &Context, _: TraceId, _: &'static str, _: ProcessType) -> Decision {
        Decision::default()
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn begin_foreign(
        &self,
        parent: &Context,
        kind: &Kind,
        link: Option<SpanContext>,
    ) -> Option<Context> {
        if parent.is_telemetry_suppressed() || self.is_forked() {
            return None;
        }
        self.caught(|| self.begin(parent, kind, link))
    }

    fn end_foreign(&self, context: &Context, kind: &Kind, record: SpanRecord) {
        // Before its lock is asked for, which another thread of the parent may have held.
        if self.is_forked() {
            return;
        }
        self.caught(|| {
            let span = context.span();
            ENDING.set(Some(LastWords::of(record, kind)));
            span.end_with_timestamp(SystemTime::UNIX_EPOCH);
            // Still there if the span is locked for good, by a panic within it.
            ENDING.take();
        });
    }
}

thread_local! {
    /// What the span that is being ended still has to say: see the module header.
    static ENDING: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

struct LastWords {
    length: Duration,
    attributes: Vec<KeyValue>,
    status: Status,
    /// What panics have said.
    events: Vec<Event>,
    panicked: bool,
    /// Polls that are to be told, as events that are dated from the start of the span.
    polls: Vec<(Duration, Event)>,
}

impl LastWords {
    fn of(mut record: SpanRecord, kind: &Kind) -> LastWords {
        let extras = record.extras.take();
        let events = extras.map_or_else(Vec::new, |extras| extras.events);
        // Taken for each span: only a drain has a batch of them to share one.
        let calendar = Calendar::now();
        let ledger = Ledger::of(&record, calendar.scale());
        let log = record.polls_noted.take().unwrap_or_default();
        let since_start = |note: &PollNote| {
            Duration::from_nanos(calendar.scale().nanos(note.start.since(record.start)))
        };
        LastWords {
            polls: log
                .notes
                .iter()
                .map(|note| (since_start(note), polls::event(note, &calendar)))
                .collect(),
            length: Duration::from_nanos(ledger.length),
            attributes: attributes(&record, kind, &ledger),
            status: status(Status::Unset, record.outcome, kind, &events),
            events,
            panicked: record.outcome == Outcome::Panicked,
        }
    }
}

/// The live span of a process: that of the provider, and what users have said of it, because that
/// stays whatever is said at the end.
struct ForeignSpan {
    span: OwnSpan,
    started: SystemTime,
    status_is_said: bool,
    /// Attributes of ours that users have set.
    said: Vec<Key>,
}

/// Beginnings of the names of attributes that are said at the end.
const OURS: [&str; 4] = ["task.", "code.", "error.", "thread."];

impl ForeignSpan {
    fn end(&mut self, last: LastWords) {
        let end = self.started + last.length;
        if self.span.is_recording() {
            self.say(last, end);
        }
        self.span.end_with_timestamp(end);
    }

    fn say(&mut self, last: LastWords, end: SystemTime) {
        for attribute in last.attributes {
            if !self.said.contains(&attribute.key) {
                self.span.set_attribute(attribute);
            }
        }
        if !self.status_is_said {
            self.span.set_status(last.status);
        }
        for event in in_order(last.events, last.panicked, last.polls, (self.started, end)) {
            self.span
                .add_event_with_timestamp(event.name, event.timestamp, event.attributes);
        }
    }
}

/// What is told at the end in the order of time. The last event of a process that has panicked is
/// that of the panic: it stays the last, and is dated at the end.
fn in_order(
    mut events: Vec<Event>,
    panicked: bool,
    polls: Vec<(Duration, Event)>,
    (started, end): (SystemTime, SystemTime),
) -> Vec<Event> {
    let panic = events.pop_if(|_| panicked);
    let polls = polls.into_iter();
    events.extend(polls.map(|(since_start, event)| dated(event, started + since_start)));
    events.sort_by_key(|event| event.timestamp);
    events.extend(panic.map(|event| dated(event, end)));
    events
}

fn dated(mut event: Event, date: SystemTime) -> Event {
    event.timestamp = date;
    event
}

/// The provider's span, which only the process that has begun it may drop.
struct OwnSpan {
    /// Until it is dropped.
    span: Option<BoxedSpan>,
    process: u32,
}

impl Deref for OwnSpan {
    type Target = BoxedSpan;

    fn deref(&self) -> &BoxedSpan {
        self.span.as_ref().expect("only its drop takes it")
    }
}

impl DerefMut for OwnSpan {
    fn deref_mut(&mut self) -> &mut BoxedSpan {
        self.span.as_mut().expect("only its drop takes it")
    }
}

impl Drop for OwnSpan {
    fn drop(&mut self) {
        if process::id() != self.process {
            mem::forget(self.span.take());
        }
    }
}

impl Span for ForeignSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, date: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.add_event_with_timestamp(name, date, attributes);
    }

    fn span_context(&self) -> &SpanContext {
        self.span.span_context()
    }

    fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        let key = &attribute.key;
        if OURS.iter().any(|ours| key.as_str().starts_with(ours)) {
            self.said.push(key.clone());
        }
        self.span.set_attribute(attribute);
    }

    fn set_status(&mut self, status: Status) {
        self.status_is_said |= status != Status::Unset;
        self.span.set_status(status);
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.update_name(name);
    }

    fn add_link(&mut self, context: SpanContext, attributes: Vec<KeyValue>) {
        self.span.add_link(context, attributes);
    }

    fn end_with_timestamp(&mut self, _: SystemTime) {
        if let Some(last) = ENDING.take() {
            self.end(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_stand_among_other_events_and_before_a_panic() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |millis| start + Duration::from_millis(millis);
        let event = |name: &'static str, millis| Event::new(name, at(millis), Vec::new(), 0);
        let polls = || [1, 5].map(|millis| (Duration::from_millis(millis), event("poll", 0)));
        for (panicked, expected) in [
            (true, [("poll", 1), ("said", 3), ("poll", 5), ("panic", 9)]),
            (false, [("poll", 1), ("panic", 2), ("said", 3), ("poll", 5)]),
        ] {
            let events = vec![event("said", 3), event("panic", 2)];
            let told = in_order(events, panicked, polls().into(), (start, at(9)));
            let shown: Vec<_> = told.iter().map(|e| (&*e.name, e.timestamp)).collect();
            assert_eq!(shown, expected.map(|(name, millis)| (name, at(millis))));
        }
    }
}
