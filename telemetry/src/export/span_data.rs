//! How the record of a process becomes a span of the SDK.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLimits, SpanLinks};
use telemetry_rt_clock::Scale;

use super::calendar::{Calendar, date_of};
use super::length::shorten_values;
use super::metric::{OVERFLOW, error_type};
use super::polls;
use crate::record::{Kind, Outcome, ProcessType, Recorder, SpanExtras, SpanRecord, Waiting};

/// Converts spans; knows the kinds of one recorder.
#[derive(Debug)]
pub(super) struct Converter {
    /// Never the same twice: kinds are numbered in each recorder anew.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(dead_code, reason = "only OTLP keeps what it wrote of a kind")
    )]
    number: u64,
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
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Converter {
            // Relaxed: only uniqueness is asked for.
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            recorder,
            kinds: Vec::new(),
            limits,
            value_length,
            scope: scope(),
        }
    }

    #[cfg(feature = "otlp")]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The span of a process, or of one of its polls, cut to all limits.
    pub(super) fn convert(&mut self, record: &SpanRecord, calendar: &Calendar) -> SpanData {
        let mut span = match &record.poll {
            Some(note) => polls::span(record, note, calendar, self.scope.clone()),
            None => self.process(record, calendar),
        };
        self.shorten(&mut span);
        span
    }

    /// Cuts values to the length that was asked for: also those of users' spans, of which the SDK
    /// knows no such limit.
    pub(super) fn shorten(&self, span: &mut SpanData) {
        if let Some(most) = self.value_length {
            shorten_values(span, most);
        }
    }

    fn process(&mut self, record: &SpanRecord, calendar: &Calendar) -> SpanData {
        self.meet(record.kind);
        let kind = &*self.kinds[record.kind as usize];
        let extras = record.extras.as_deref();
        let mut extras = extras.map_or_else(SpanExtras::default, copy_of);
        if let Some(spawner) = record.spawner {
            let link = Link::new(spawner.span_context(), Vec::new(), 0);
            extras.links.insert(0, link);
        }
        if let Some(log) = &record.polls_noted {
            extras.dropped.events += log.dropped;
            let panicked = record.outcome == Outcome::Panicked;
            polls::merge(&log.notes, calendar, &mut extras.events, panicked);
        }
        let ledger = Ledger::of(record, calendar.scale());
        let own = attributes(record, kind, &ledger);
        let (attributes, dropped_attributes) =
            self.merged(own, extras.attributes, extras.dropped.attributes);
        let start = calendar.nanos(record.start);
        // Not the date of `end`: its rounding would make the length and its parts differ.
        let end_time = date_of(start.saturating_add(ledger.length));
        let status = status(extras.status, record.outcome, kind, &extras.events);
        let panicked = record.outcome == Outcome::Panicked;
        let panic = panicked.then_some(end_time);
        SpanData {
            span_context: context(record, extras.trace_state),
            parent_span_id: record.parent_span_id,
            parent_span_is_remote: record.parent_is_remote,
            span_kind: SpanKind::Internal,
            name: extras.name.unwrap_or(Cow::Borrowed(name_of(kind))),
            start_time: date_of(start),
            end_time,
            status,
            attributes,
            dropped_attributes_count: dropped_attributes,
            events: self.events(extras.events, extras.dropped.events, panic),
            links: self.links(extras.links, extras.dropped.links),
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// The kind of this number, which is known from now on.
    #[cfg(feature = "otlp")]
    pub(super) fn kind(&mut self, index: u32) -> &Kind {
        self.meet(index);
        &self.kinds[index as usize]
    }

    /// Kinds are numbered in the order they appear, so the list is only ever too short.
    fn meet(&mut self, index: u32) {
        if index as usize >= self.kinds.len() {
            self.kinds = self.recorder.kinds();
        }
    }

    /// How many parts a span keeps.
    #[cfg(feature = "otlp")]
    pub(super) fn limits(&self) -> &SpanLimits {
        &self.limits
    }

    /// How many characters a value keeps.
    #[cfg(feature = "otlp")]
    pub(super) fn value_length(&self) -> Option<usize> {
        self.value_length
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

/// The record keeps its own: others may export it, too.
fn copy_of(extras: &SpanExtras) -> SpanExtras {
    SpanExtras {
        name: extras.name.clone(),
        attributes: extras.attributes.clone(),
        events: extras.events.clone(),
        links: extras.links.clone(),
        status: extras.status.clone(),
        trace_state: extras.trace_state.clone(),
        dropped: extras.dropped,
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
pub(super) struct Ledger {
    pub(super) length: u64,
    pub(super) busy: u64,
    pub(super) scheduled: u64,
    pub(super) idle: u64,
    /// By [`Waiting`]; adds up to `idle`.
    pub(super) idle_by_reason: [u64; Waiting::COUNT],
}

impl Ledger {
    #[inline]
    pub(super) fn of(record: &SpanRecord, scale: Scale) -> Ledger {
        let ticks = record.end.since(record.start);
        let ticks_idle = ticks
            .saturating_sub(record.busy)
            .saturating_sub(record.scheduled);
        let length = scale.nanos(ticks);
        let scheduled = scale.nanos(record.scheduled);
        let idle = scale.nanos(ticks_idle);
        Ledger {
            length,
            // What rounding leaves over goes where there is most, and zero stays zero.
            busy: length.saturating_sub(scheduled).saturating_sub(idle),
            scheduled,
            idle,
            idle_by_reason: match ticks_idle {
                // As of most processes that are polled once.
                0 => [0; Waiting::COUNT],
                _ => idle_by_reason(record, scale, ticks_idle, idle),
            },
        }
    }
}

fn idle_by_reason(
    record: &SpanRecord,
    scale: Scale,
    ticks_idle: u64,
    idle: u64,
) -> [u64; Waiting::COUNT] {
    let mut by_reason = record.idle.map(|ticks| scale.nanos(ticks));
    let known: u64 = by_reason.iter().sum();
    by_reason[rest_of(ticks_idle, record)] += idle.saturating_sub(known);
    by_reason
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
pub(super) const fn idle_key(waiting: Waiting) -> &'static str {
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

/// What is the same for all processes of a kind that end in the same way, then what is measured.
pub(super) fn attributes(record: &SpanRecord, kind: &Kind, ledger: &Ledger) -> Vec<KeyValue> {
    let reasons = if ledger.idle > 0 { Waiting::COUNT } else { 0 };
    let of_blocking = match kind.process_type {
        ProcessType::Blocking => 2,
        ProcessType::Task | ProcessType::Future => 0,
    };
    let mut list = Vec::with_capacity(MOST_CONSTANTS + 8 + reasons + of_blocking);
    constants(kind, record.outcome, &mut list);
    measures(record, kind, ledger, &mut list);
    list
}

const MOST_CONSTANTS: usize = 6;

/// How many attributes of its own the span of a process has at most.
#[cfg(feature = "otlp")]
pub(super) const MOST_ATTRIBUTES: usize = MOST_CONSTANTS + 8 + Waiting::COUNT + 2;

/// What is the same for all processes of a kind that end in the same way.
pub(super) fn constants(kind: &Kind, outcome: Outcome, list: &mut Vec<KeyValue>) {
    let mut add = |key, value: Value| list.push(KeyValue::new(key, value));
    add("task.type", kind.process_type.as_str().into());
    add("task.state", outcome.state().into());
    match kind.site {
        Some(site) => {
            add("code.function.name", kind.path.into());
            add("code.file.path", site.file().into());
            add("code.line.number", i64::from(site.line()).into());
        }
        None => add(OVERFLOW, true.into()),
    }
    if let Some(error) = error_type(outcome, kind) {
        add("error.type", error.into());
    }
}

/// The rest. `otlp::span` writes the same, in the same order.
fn measures(record: &SpanRecord, kind: &Kind, ledger: &Ledger, list: &mut Vec<KeyValue>) {
    let mut add = |key, value: Value| list.push(KeyValue::new(key, value));
    add("task.id", int(record.task_id));
    add("task.polls", i64::from(record.polls).into());
    add("task.wakes", i64::from(record.wakes).into());
    add("task.migrations", i64::from(record.migrations).into());
    add("task.busy_ns", int(ledger.busy));
    add("task.scheduled_ns", int(ledger.scheduled));
    add("task.idle_ns", int(ledger.idle));
    if ledger.idle > 0 {
        for waiting in Waiting::ALL {
            let nanos = ledger.idle_by_reason[waiting as usize];
            if nanos > 0 {
                add(idle_key(waiting), int(nanos));
            }
        }
    }
    let coalesced = record.wakes.saturating_sub(record.polls);
    if coalesced > 0 {
        add("task.coalesced_wakes", i64::from(coalesced).into());
    }
    if kind.process_type == ProcessType::Blocking {
        add("task.queued_ns", int(ledger.scheduled));
    }
    if let Some(thread) = &record.thread {
        add("thread.name", StringValue::from(Arc::clone(thread)).into());
    }
}

fn int(number: u64) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The user's status if there is one, else what the outcome says.
pub(super) fn status(users: Status, outcome: Outcome, kind: &Kind, events: &[Event]) -> Status {
    if users != Status::Unset || !outcome.is_error() {
        return users;
    }
    match outcome {
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
