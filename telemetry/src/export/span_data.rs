//! How the record of a process becomes a span of the SDK.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLimits, SpanLinks};
use telemetry_rt_clock::Anchor;

use super::length::shorten_values;
use super::metric::{OVERFLOW, error_type};
use super::polls;
use super::queue::Queued;
use crate::record::{Kind, Outcome, ProcessType, Recorder, SpanExtras, SpanRecord, Waiting};

/// Converts spans; knows the kinds of one recorder.
pub(super) struct Converter {
    recorder: Recorder,
    kinds: Vec<Arc<Kind>>,
    limits: SpanLimits,
    /// Characters that a value of an attribute may have.
    value_length: Option<usize>,
    scope: InstrumentationScope,
}

impl Converter {
    pub(super) fn new(
        recorder: Recorder,
        limits: SpanLimits,
        value_length: Option<usize>,
    ) -> Converter {
        Converter {
            recorder,
            kinds: Vec::new(),
            limits,
            value_length,
            scope: scope(),
        }
    }

    pub(super) fn convert(&mut self, span: Queued) -> SpanData {
        let mut span = match span {
            Queued::Process(record, anchor) => self.process(record, anchor),
            Queued::User(span) => *span,
        };
        if let Some(most) = self.value_length {
            shorten_values(&mut span, most);
        }
        span
    }

    fn process(&mut self, mut record: SpanRecord, anchor: Anchor) -> SpanData {
        if let Some(note) = record.poll.take() {
            return polls::span(&record, &note, anchor, self.scope.clone());
        }
        let kind = self.kind_of(record.kind);
        let mut extras = record
            .extras
            .take()
            .map_or_else(SpanExtras::default, |extras| *extras);
        if let Some(spawner) = record.spawner {
            let link = Link::new(spawner.span_context(), Vec::new(), 0);
            extras.links.insert(0, link);
        }
        if let Some(log) = record.polls_noted.take() {
            extras.dropped.events += log.dropped;
            let panicked = record.outcome == Outcome::Panicked;
            polls::merge(&log.notes, anchor, &mut extras.events, panicked);
        }
        let ledger = Ledger::of(&record, anchor);
        let own = attributes(&record, &kind, ledger);
        let (attributes, dropped_attributes) =
            self.merged(own, extras.attributes, extras.dropped.attributes);
        let start_time = anchor.date(record.start);
        // Not the date of `end`: its rounding would make the length and its parts differ.
        let end_time = start_time + Duration::from_nanos(ledger.length);
        let status = status(extras.status, &record, &kind, &extras.events);
        let panicked = record.outcome == Outcome::Panicked;
        let panic = panicked.then_some(end_time);
        SpanData {
            span_context: context(&record, extras.trace_state),
            parent_span_id: record.parent_span_id,
            parent_span_is_remote: record.parent_is_remote,
            span_kind: SpanKind::Internal,
            name: extras.name.unwrap_or(Cow::Borrowed(name_of(&kind))),
            start_time,
            end_time,
            status,
            attributes,
            dropped_attributes_count: dropped_attributes,
            events: self.events(extras.events, extras.dropped.events, panic),
            links: self.links(extras.links, extras.dropped.links),
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Kinds are numbered in the order they appear, so the list is only ever too short.
    fn kind_of(&mut self, index: u32) -> Arc<Kind> {
        let index = index as usize;
        if index >= self.kinds.len() {
            self.kinds = self.recorder.kinds();
        }
        Arc::clone(&self.kinds[index])
    }

    /// Attributes of the process, then those of the user; a user's wins over one of the process.
    fn merged(
        &self,
        mut own: Vec<KeyValue>,
        users: Vec<KeyValue>,
        dropped: u32,
    ) -> (Vec<KeyValue>, u32) {
        for attribute in users {
            match own.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => *known = attribute,
                None => own.push(attribute),
            }
        }
        let cut = cut(&mut own, self.limits.max_attributes_per_span);
        (own, dropped + cut)
    }

    /// `panic` tells when the process panicked, if it did: the last event is then the one that
    /// the recorder wrote about it, and stays whatever else is cut.
    fn events(
        &self,
        mut events: Vec<Event>,
        dropped: u32,
        panic: Option<SystemTime>,
    ) -> SpanEvents {
        let limit = self.limits.max_events_per_span;
        if let Some(end) = panic {
            keep_last(&mut events, limit, end);
        }
        let dropped = dropped + cut(&mut events, limit);
        for event in &mut events {
            event.dropped_attributes_count +=
                cut(&mut event.attributes, self.limits.max_attributes_per_event);
        }
        let mut of_span = SpanEvents::default();
        of_span.events = events;
        of_span.dropped_count = dropped;
        of_span
    }

    fn links(&self, mut links: Vec<Link>, dropped: u32) -> SpanLinks {
        let dropped = dropped + cut(&mut links, self.limits.max_links_per_span);
        for link in &mut links {
            link.dropped_attributes_count +=
                cut(&mut link.attributes, self.limits.max_attributes_per_link);
        }
        let mut of_span = SpanLinks::default();
        of_span.links = links;
        of_span.dropped_count = dropped;
        of_span
    }
}

/// The scope of spans and metrics of processes.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("telemetry_rt")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// Moves the last event into the limit, in exchange for one that is cut instead.
fn keep_last(events: &mut [Event], limit: u32, end: SystemTime) {
    let Some(last) = events.len().checked_sub(1) else {
        return;
    };
    events[last].timestamp = end;
    if let Some(place) = (limit as usize)
        .checked_sub(1)
        .filter(|&place| place < last)
    {
        events.swap(place, last);
    }
}

/// Cuts a list to a limit, and says how many were cut.
fn cut<T>(list: &mut Vec<T>, limit: u32) -> u32 {
    let cut = list.len().saturating_sub(limit as usize);
    list.truncate(limit as usize);
    cut as u32
}

/// The three parts of a process's life and their sum, in nanoseconds.
///
/// The sum and two of the parts are converted, each rounded down; the third is the rest. So the
/// parts add up to the length exactly.
#[derive(Clone, Copy)]
pub(super) struct Ledger {
    pub(super) length: u64,
    busy: u64,
    scheduled: u64,
    idle: u64,
    /// By [`Waiting`]; adds up to `idle`.
    idle_by_reason: [u64; Waiting::COUNT],
}

impl Ledger {
    pub(super) fn of(record: &SpanRecord, anchor: Anchor) -> Ledger {
        let scale = anchor.scale();
        let ticks = record.end.since(record.start);
        let ticks_idle = ticks
            .saturating_sub(record.busy)
            .saturating_sub(record.scheduled);
        let length = scale.nanos(ticks);
        let scheduled = scale.nanos(record.scheduled);
        let idle = scale.nanos(ticks_idle);
        let mut idle_by_reason = record.idle.map(|ticks| scale.nanos(ticks));
        let known: u64 = idle_by_reason.iter().sum();
        idle_by_reason[rest_of(ticks_idle, record)] += idle.saturating_sub(known);
        Ledger {
            length,
            // What rounding leaves over goes where there is most, and zero stays zero.
            busy: length.saturating_sub(scheduled).saturating_sub(idle),
            scheduled,
            idle,
            idle_by_reason,
        }
    }
}

/// The reason for which the process was idle when it was for none of those that were kept. If it
/// never was, what rounding leaves over goes where there is most.
fn rest_of(idle: u64, record: &SpanRecord) -> usize {
    let known: u64 = record.idle.iter().sum();
    let longest = Waiting::ALL.map(|waiting| waiting as usize);
    let longest = longest.into_iter().max_by_key(|&index| record.idle[index]);
    match longest {
        Some(longest) if idle == known => longest,
        _ => Waiting::Other as usize,
    }
}

/// The attribute that says how long a process was idle for one reason.
const fn idle_key(waiting: Waiting) -> &'static str {
    match waiting {
        Waiting::Other => "task.idle_other_ns",
        Waiting::Io => "task.idle_io_ns",
        Waiting::Timer => "task.idle_timer_ns",
        Waiting::Blocking => "task.idle_blocking_ns",
        Waiting::Join => "task.idle_join_ns",
    }
}

pub(super) fn name_of(kind: &Kind) -> &'static str {
    match kind.is_overflow() {
        true => "overflow",
        false => kind.name,
    }
}

fn context(record: &SpanRecord, trace_state: TraceState) -> SpanContext {
    SpanContext::new(
        record.trace_id,
        record.span_id,
        TraceFlags::SAMPLED,
        false,
        trace_state,
    )
}

pub(super) fn attributes(record: &SpanRecord, kind: &Kind, ledger: Ledger) -> Vec<KeyValue> {
    let mut list = Vec::with_capacity(20);
    let mut add = |key, value: Value| list.push(KeyValue::new(key, value));
    add("task.id", int(record.task_id));
    add("task.type", kind.process_type.as_str().into());
    add("task.state", record.outcome.state().into());
    add("task.polls", i64::from(record.polls).into());
    add("task.wakes", i64::from(record.wakes).into());
    add("task.busy_ns", int(ledger.busy));
    add("task.scheduled_ns", int(ledger.scheduled));
    add("task.idle_ns", int(ledger.idle));
    for waiting in Waiting::ALL {
        let nanos = ledger.idle_by_reason[waiting as usize];
        if nanos > 0 {
            add(idle_key(waiting), int(nanos));
        }
    }
    let coalesced = record.wakes.saturating_sub(record.polls);
    if coalesced > 0 {
        add("task.coalesced_wakes", i64::from(coalesced).into());
    }
    add("task.migrations", i64::from(record.migrations).into());
    if kind.process_type == ProcessType::Blocking {
        add("task.queued_ns", int(ledger.scheduled));
    }
    if let Some(thread) = &record.thread {
        add("thread.name", StringValue::from(Arc::clone(thread)).into());
    }
    match kind.site {
        Some(site) => {
            add("code.function.name", kind.path.into());
            add("code.file.path", site.file().into());
            add("code.line.number", i64::from(site.line()).into());
        }
        None => add(OVERFLOW, true.into()),
    }
    if let Some(error) = error_type(record.outcome, kind) {
        add("error.type", error.into());
    }
    list
}

fn int(number: u64) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The user's status if there is one, else what the outcome says.
pub(super) fn status(users: Status, record: &SpanRecord, kind: &Kind, events: &[Event]) -> Status {
    if users != Status::Unset || !record.outcome.is_error() {
        return users;
    }
    match record.outcome {
        Outcome::Panicked => Status::error(format!("panicked: {}", panic_message(events))),
        Outcome::TimedOut => Status::error("its time was up"),
        _ => Status::error(format!("returned Err({})", kind.error_type.unwrap_or("_"))),
    }
}

/// The message in the exception event that the recorder wrote last.
fn panic_message(events: &[Event]) -> Cow<'_, str> {
    events
        .iter()
        .rev()
        .filter(|event| event.name == "exception")
        .flat_map(|event| &event.attributes)
        .find(|attribute| attribute.key.as_str() == "exception.message")
        .map_or(Cow::Borrowed("no message"), |message| {
            message.value.as_str()
        })
}
