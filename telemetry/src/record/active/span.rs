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

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    Event, Link, Span, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState,
};
use opentelemetry::{Context, KeyValue};
use telemetry_rt_clock::Ticks;

use super::account::SpanKeeping;
use super::ids;
use super::kind::{Kind, KindRef};
use super::poll_log::{PollLog, PollNote};
use super::settings::Settings;
use super::thread::{self, Polling};
use crate::record::{Lineage, Outcome, ProcessType, Waiting};

/// Decides about spans. Implemented above, where the SDK is known.
pub trait SpanPolicy: Send + Sync + std::fmt::Debug {
    /// Whether the span is recorded. Called on the spawning thread, with no lock held.
    fn sample(
        &self,
        parent: &Context,
        trace_id: TraceId,
        name: &'static str,
        process_type: ProcessType,
    ) -> Decision;

    /// How it decides, as far as that is known beforehand. Asked once, when the recorder is made.
    fn rule(&self) -> Rule {
        Rule::Ask
    }

    /// Whether spans go to a tracer provider that is not ours.
    fn is_foreign(&self) -> bool {
        false
    }

    /// Begins the span of a process in a tracer provider that is not ours, if spans go there: returns
    /// `parent` with that span. Called on the spawning thread, in place of [`sample`](Self::sample).
    ///
    /// Only called when [`is_foreign`](Self::is_foreign). Such a span takes what users say of it by itself. Its end is told by
    /// [`end_foreign`](Self::end_foreign).
    fn begin_foreign(
        &self,
        _parent: &Context,
        _kind: &Kind,
        _link: Option<SpanContext>,
    ) -> Option<Context> {
        None
    }

    /// Ends the span that [`begin_foreign`](Self::begin_foreign) has begun, on the thread on which
    /// the process ended. The record has no extras but the event of a panic.
    fn end_foreign(&self, _context: &Context, _kind: &Kind, _record: SpanRecord) {}

    /// How many attributes, events and links a span keeps, each. What exceeds it is counted.
    fn limit(&self) -> usize {
        128
    }
}

/// How a [`SpanPolicy`] decides. Where that is known, a spawn need not ask, and calls no code of
/// users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is to be asked each time.
    Ask,
    /// All spans are recorded.
    All,
    /// Roots are recorded, and what has a parent that is.
    LikeParent,
}

/// What a [`SpanPolicy`] said about one span.
#[derive(Debug, Default)]
pub struct Decision {
    /// Whether the span is recorded and exported.
    pub sampled: bool,
    /// Attributes that the sampler adds.
    pub attributes: Vec<KeyValue>,
    /// The trace state that the span and its children carry.
    pub trace_state: TraceState,
}

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

/// What a process that is spawned gets.
pub(super) struct Begun {
    /// In which it is polled.
    pub(super) context: Option<Context>,
    /// The trace that the process is part of, with a span of its own or without.
    pub(super) trace_id: TraceId,
    /// Its own span, sampled or not; invalid if it has none.
    pub(super) span_id: SpanId,
    pub(super) keeping: SpanKeeping,
    /// If the span is yet to be born, `context` is that of the spawner: see [`bear`].
    pub(super) unborn: Option<Unborn>,
}

/// A span that has its ids, and nothing else as long as its process is not polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unborn {
    /// It will hang below the spawner's.
    Child,
    /// It will be a root, with a link to the spawner's.
    Root,
}

impl Begun {
    /// No span of its own: it goes on in this context.
    pub(super) fn inherited(context: Option<Context>) -> Begun {
        let current = context.as_ref().map(|context| context.span());
        Begun {
            trace_id: current.map_or(TraceId::INVALID, |span| span.span_context().trace_id()),
            span_id: SpanId::INVALID,
            keeping: SpanKeeping::None,
            unborn: None,
            context,
        }
    }
}

/// Where the span of a process hangs.
struct Place {
    /// Invalid for a root.
    parent: SpanContext,
    /// The spawner, if that is not the parent.
    link: Option<SpanContext>,
    is_root: bool,
}

impl Place {
    fn of(current: &Context, birth: Birth<'_>) -> Place {
        let is_root = is_root(current.span().span_context(), birth);
        Place::known(current, is_root)
    }

    /// Where it hangs, once that is decided.
    fn known(current: &Context, is_root: bool) -> Place {
        let spawner = current.span().span_context().clone();
        match is_root {
            true => Place {
                parent: SpanContext::NONE,
                link: spawner.is_valid().then_some(spawner),
                is_root,
            },
            false => Place {
                parent: spawner,
                link: None,
                is_root,
            },
        }
    }

    /// What a sampler or a provider is shown as the parent. A root without baggage is shown nothing,
    /// which needs no allocation.
    fn shown<'a>(&self, current: &'a Context) -> Cow<'a, Context> {
        match self.is_root {
            false => Cow::Borrowed(current),
            true if current.baggage().is_empty() => Cow::Owned(Context::new()),
            true => Cow::Owned(without_span(current)),
        }
    }

    fn trace_id(&self) -> TraceId {
        match self.parent.is_valid() {
            true => self.parent.trace_id(),
            false => ids::new_trace_id(),
        }
    }
}

/// Whether what is spawned below this span begins a trace of its own. Counts it, if it does not.
fn is_root(spawner: &SpanContext, birth: Birth<'_>) -> bool {
    match birth.lineage {
        Lineage::Root => true,
        Lineage::Child => false,
        Lineage::Inherit => has_enough_children(spawner, birth.now, birth.settings),
    }
}

/// Whether the spawner is a process that has lived for long, or has spawned many: its trace would
/// have no end. Counts this child, if it is one of a process.
///
/// A span that a user has begun within the process is a parent like any other.
fn has_enough_children(spawner: &SpanContext, now: Ticks, settings: &Settings) -> bool {
    let is_own = |polling: &Polling| {
        polling.span_id != 0 && spawner.span_id() == SpanId::from(polling.span_id)
    };
    let Some(polling) = thread::polling().filter(is_own) else {
        return false;
    };
    let enough = polling.children >= settings.most_children()
        || now.since(polling.spawned) >= settings.longest_life();
    if !enough {
        thread::count_child();
    }
    enough
}

/// What the beginning of a span needs to know of the spawn.
#[derive(Clone, Copy)]
pub(super) struct Birth<'a> {
    pub(super) lineage: Lineage,
    pub(super) now: Ticks,
    pub(super) settings: &'a Settings,
}

/// Begins the span of a process that is spawned under `current`. `None` when it has no span of its
/// own and inherits what is current.
pub(super) fn begin(
    (policy, rule): (&dyn SpanPolicy, Rule),
    current: &Context,
    birth: Birth<'_>,
    kind: KindRef,
) -> Option<Begun> {
    if current.is_telemetry_suppressed() {
        return None;
    }
    match rule {
        Rule::All => Some(conceive(current, birth)),
        Rule::LikeParent if is_rootless(current) || current.span().span_context().is_sampled() => {
            Some(conceive(current, birth))
        }
        Rule::LikeParent | Rule::Ask => Some(ask(policy, current, birth, kind)),
    }
}

fn is_rootless(context: &Context) -> bool {
    !context.span().span_context().is_valid()
}

/// Begins a span that is recorded, and about which nobody need be asked: see [`bear`].
fn conceive(current: &Context, birth: Birth<'_>) -> Begun {
    let spawner = current.span();
    let spawner = spawner.span_context();
    let is_root = is_root(spawner, birth);
    let trace_id = match !is_root && spawner.is_valid() {
        true => spawner.trace_id(),
        false => ids::new_trace_id(),
    };
    Begun {
        trace_id,
        span_id: ids::new_span_id(),
        keeping: SpanKeeping::Ours,
        unborn: Some(match is_root {
            true => Unborn::Root,
            false => Unborn::Child,
        }),
        context: Some(current.clone()),
    }
}

/// The context of a process that is polled for the first time, and was spawned in that of `spawner`.
///
/// The span comes to the world this late because its memory is two allocations of the API. A burst of
/// spawns would ask for all of them at once, and give them back on another thread; so they are asked
/// for and given back within one poll, where the allocator has them at hand.
pub(super) fn bear(
    spawner: &Context,
    unborn: Unborn,
    (trace_id, span_id): (TraceId, SpanId),
    limit: usize,
) -> Context {
    let place = Place::known(spawner, unborn == Unborn::Root);
    let decision = Decision {
        sampled: true,
        attributes: Vec::new(),
        trace_state: place.parent.trace_state().clone(),
    };
    let context = SpanContext::new(
        trace_id,
        span_id,
        place.parent.trace_flags() | TraceFlags::SAMPLED,
        false,
        decision.trace_state.clone(),
    );
    spawner.with_span(TaskSpan::new(context, place, decision, limit))
}

/// Begins a span that a sampler decides about.
fn ask(policy: &dyn SpanPolicy, current: &Context, birth: Birth<'_>, kind: KindRef) -> Begun {
    let place = Place::of(current, birth);
    let trace_id = place.trace_id();
    let shown = place.shown(current);
    let decision = policy.sample(&shown, trace_id, kind.name, kind.process_type);
    let flags = match decision.sampled {
        true => place.parent.trace_flags() | TraceFlags::SAMPLED,
        false => place.parent.trace_flags() & !TraceFlags::SAMPLED,
    };
    let span_id = ids::new_span_id();
    let trace_state = decision.trace_state.clone();
    let context = SpanContext::new(trace_id, span_id, flags, false, trace_state);
    let (context, keeping) = match decision.sampled {
        true => {
            let span = TaskSpan::new(context, place, decision, policy.limit());
            (current.with_span(span), SpanKeeping::Ours)
        }
        false => (
            current.with_remote_span_context(context),
            SpanKeeping::None,
        ),
    };
    Begun {
        context: Some(context),
        trace_id,
        span_id,
        keeping,
        unborn: None,
    }
}

/// As [`begin`], in a tracer provider that is not ours.
pub(super) fn begin_foreign(
    policy: &dyn SpanPolicy,
    current: &Context,
    birth: Birth<'_>,
    kind: &Kind,
) -> Option<Begun> {
    if current.is_telemetry_suppressed() {
        return None;
    }
    let place = Place::of(current, birth);
    let base = match place.is_root {
        true => without_span(current),
        false => current.clone(),
    };
    let context = policy.begin_foreign(&base, kind, place.link)?;
    let (trace_id, span_id) = {
        let span = context.span();
        let own = span.span_context();
        (own.trace_id(), own.span_id())
    };
    Some(Begun {
        context: Some(context),
        trace_id,
        span_id,
        keeping: SpanKeeping::Foreign,
        unborn: None,
    })
}

/// The context without its span: what is started in it begins a trace of its own.
pub(super) fn without_span(context: &Context) -> Context {
    context.with_remote_span_context(SpanContext::NONE)
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
    fn new(context: SpanContext, place: Place, decision: Decision, limit: usize) -> TaskSpan {
        let mut span = TaskSpan {
            context,
            parent_span_id: place.parent.span_id(),
            parent_is_remote: place.parent.is_remote(),
            spawner: None,
            extras: None,
            limit,
            ended: false,
        };
        if decision.trace_state != TraceState::default() {
            span.extras().trace_state = decision.trace_state;
        }
        decision
            .attributes
            .into_iter()
            .for_each(|attribute| span.set_attribute(attribute));
        match place.link {
            Some(spawner) if *spawner.trace_state() != TraceState::default() => {
                span.add_link(spawner, Vec::new());
            }
            spawner => span.spawner = spawner.as_ref().map(Spawner::of),
        }
        span
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
