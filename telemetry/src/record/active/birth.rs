//! How the span of a process begins: where it hangs, and when it comes to the world.
//!
//! At the spawn it gets its ids and its place. Where a sampler is to be asked it is made there, too, as
//! the answer may bring attributes. Where that is known beforehand ([`Rule`]) it is made by the first
//! poll ([`bear`]), until when the process keeps the context of its spawner: unless that has a span of
//! the user's, which would end late.

use std::borrow::Cow;

use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{Span, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId};
use telemetry_rt_clock::Ticks;

use super::account::SpanKeeping;
use super::ids;
use super::kind::{Kind, KindRef};
use super::policy::{Decision, Rule, SpanPolicy};
use super::settings::Settings;
use super::span::TaskSpan;
use super::thread::{self, Polling};
use crate::record::Lineage;

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

impl Decision {
    /// Nothing is added to what the parent has.
    fn as_below(sampled: bool, parent: &SpanContext) -> Decision {
        Decision {
            sampled,
            attributes: Vec::new(),
            trace_state: parent.trace_state().clone(),
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
    let Some(polling) = polled_here(spawner) else {
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
    let is_recorded = rule.decide(current.span().span_context()) == Some(true);
    Some(match is_recorded && may_be_kept(current) {
        true => conceive(current, birth),
        false => ask((policy, rule), current, birth, kind),
    })
}

/// Whether the context may be kept until the first poll of what is spawned in it. One with a span of
/// the user's may not: that span ends, for all who rely on its drop, when nobody keeps it any more.
fn may_be_kept(current: &Context) -> bool {
    !current.has_active_span() || polled_here(current.span().span_context()).is_some()
}

/// The poll in progress, if this is the span of its process.
fn polled_here(span: &SpanContext) -> Option<Polling> {
    thread::polling()
        .filter(|polling| polling.span_id != 0 && span.span_id() == SpanId::from(polling.span_id))
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
    let current = spawner.span();
    let current = current.span_context();
    let parent = match unborn {
        Unborn::Child => current,
        Unborn::Root => &SpanContext::NONE,
    };
    let flags = parent.trace_flags() | TraceFlags::SAMPLED;
    let state = parent.trace_state().clone();
    let context = SpanContext::new(trace_id, span_id, flags, false, state);
    let mut span = TaskSpan::below(parent, context, limit);
    if unborn == Unborn::Root && current.is_valid() {
        span.link_to(current);
    }
    spawner.with_span(span)
}

/// Begins a span at once: one that a sampler decides about, or that hangs below one of the user's.
fn ask(
    (policy, rule): (&dyn SpanPolicy, Rule),
    current: &Context,
    birth: Birth<'_>,
    kind: KindRef,
) -> Begun {
    let place = Place::of(current, birth);
    let trace_id = place.trace_id();
    let decision = match rule.decide(&place.parent) {
        Some(sampled) => Decision::as_below(sampled, &place.parent),
        None => {
            let shown = place.shown(current);
            policy.sample(&shown, trace_id, kind.name, kind.process_type)
        }
    };
    let flags = match decision.sampled {
        true => place.parent.trace_flags() | TraceFlags::SAMPLED,
        false => place.parent.trace_flags() & !TraceFlags::SAMPLED,
    };
    let span_id = ids::new_span_id();
    let trace_state = decision.trace_state.clone();
    let context = SpanContext::new(trace_id, span_id, flags, false, trace_state);
    let (context, keeping) = match decision.sampled {
        true => {
            let mut span = TaskSpan::below(&place.parent, context, policy.limit());
            decision
                .attributes
                .into_iter()
                .for_each(|attribute| span.set_attribute(attribute));
            if let Some(spawner) = &place.link {
                span.link_to(spawner);
            }
            (current.with_span(span), SpanKeeping::Ours)
        }
        false => (current.with_remote_span_context(context), SpanKeeping::None),
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
