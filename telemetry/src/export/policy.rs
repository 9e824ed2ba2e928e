//! Which spans are sampled: a sampler of the SDK, asked by the recorder about processes, and by the
//! tracer provider about users' spans.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::baggage::{BaggageExt, KeyValueMetadata};
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, ShouldSample, SpanLimits,
};

use super::diagnostics::warn;
use crate::record::{Decision, ProcessType, Rule, SpanPolicy};

/// Asks a sampler of the SDK, the same that users' spans are sampled by.
#[derive(Debug)]
pub(super) struct SdkPolicy {
    pub(super) sampler: Rootless,
    pub(super) limits: SpanLimits,
}

impl SpanPolicy for SdkPolicy {
    fn sample(
        &self,
        parent: &Context,
        trace_id: TraceId,
        name: &'static str,
        _process_type: ProcessType,
    ) -> Decision {
        let sampler = &self.sampler;
        let sampled = catch_unwind(AssertUnwindSafe(|| {
            sampler.should_sample(Some(parent), trace_id, name, &SpanKind::Internal, &[], &[])
        }));
        let Ok(result) = sampled else {
            warn_of_panic();
            return Decision::default();
        };
        Decision {
            sampled: result.decision == SamplingDecision::RecordAndSample,
            attributes: result.attributes,
            trace_state: result.trace_state,
        }
    }

    fn rule(&self) -> Rule {
        self.sampler.rule
    }

    /// The largest of the three; `span_data` cuts each kind of part to its own limit.
    fn limit(&self) -> usize {
        let limits = self.limits;
        limits
            .max_attributes_per_span
            .max(limits.max_events_per_span)
            .max(limits.max_links_per_span) as usize
    }
}

/// A sampler runs within `spawn`, where its panic would be taken for one of the spawner, and in the
/// first poll of some local tasks, where nobody expects one.
#[cold]
fn warn_of_panic() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    // Relaxed: it only keeps the warning from being said twice.
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn(format_args!(
            "the sampler panicked over the span of a process; \
             such spans are not sampled, and this is said once"
        ));
    }
}

/// A sampler that is shown no active span but valid ones.
///
/// Clones ask the same one: a sampler may count, and then a copy of it would decide otherwise.
#[derive(Clone)]
pub(super) struct Rootless {
    sampler: Arc<dyn ShouldSample>,
    rule: Rule,
}

impl Rootless {
    /// A sampler of the user's, or one of the SDK's.
    pub(super) fn new(sampler: impl ShouldSample + 'static) -> Rootless {
        let known: Option<&Sampler> = (&sampler as &dyn Any).downcast_ref();
        let rule = match known {
            Some(Sampler::AlwaysOn) => Rule::All,
            // Of one below a parent the SDK does not show what it asks about roots.
            _ => Rule::Ask,
        };
        Rootless {
            sampler: Arc::new(sampler),
            rule,
        }
    }

    /// A sampler of the SDK's that asks the parent, and `root` about spans that have none.
    pub(super) fn below(root: Sampler) -> Rootless {
        let rule = match root {
            Sampler::AlwaysOn => Rule::LikeParent,
            _ => Rule::Ask,
        };
        Rootless {
            sampler: Arc::new(Sampler::ParentBased(Box::new(root))),
            rule,
        }
    }
}

impl ShouldSample for Rootless {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(rootless);
        self.sampler
            .should_sample(parent.as_deref(), trace_id, name, kind, attributes, links)
    }
}

impl std::fmt::Debug for Rootless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sampler.fmt(f)
    }
}

/// A parent context that `Sampler::ParentBased` understands.
///
/// That sampler takes any active span for a parent, even one whose context is invalid, and drops
/// the children of parents that are not sampled. So a root is shown no span at all; what it keeps
/// of its context is the baggage.
pub(super) fn rootless(parent: &Context) -> Cow<'_, Context> {
    if !parent.has_active_span() || parent.span().span_context().is_valid() {
        return Cow::Borrowed(parent);
    }
    let baggage = parent.baggage().iter();
    let baggage = baggage.map(|(key, (value, metadata))| {
        KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
    });
    Cow::Owned(Context::new().with_baggage(baggage.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    fn sampled(sampler: Sampler, parent: &Context) -> bool {
        let policy = SdkPolicy {
            sampler: Rootless::new(sampler),
            limits: SpanLimits::default(),
        };
        policy
            .sample(parent, TraceId::from(1), "name", ProcessType::Task)
            .sampled
    }

    fn parent(flags: TraceFlags) -> Context {
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(1),
            SpanId::from(2),
            flags,
            false,
            TraceState::default(),
        ))
    }

    #[derive(Clone, Debug)]
    struct Panics;

    impl ShouldSample for Panics {
        fn should_sample(
            &self,
            _: Option<&Context>,
            _: TraceId,
            _: &str,
            _: &SpanKind,
            _: &[KeyValue],
            _: &[Link],
        ) -> SamplingResult {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_sampler_that_panics_samples_nothing_and_harms_nobody() {
        let policy = SdkPolicy {
            sampler: Rootless::new(Panics),
            limits: SpanLimits::default(),
        };
        for _ in 0..2 {
            let parent = Context::new();
            let decision = policy.sample(&parent, TraceId::from(1), "name", ProcessType::Task);
            assert!(!decision.sampled);
        }
    }

    #[test]
    fn roots_ask_the_sampler_and_children_their_parent() {
        let on = || Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let off = || Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        let none = Context::new().with_remote_span_context(SpanContext::NONE);
        for root in [Context::new(), none] {
            assert!(sampled(on(), &root));
            assert!(!sampled(off(), &root));
        }
        assert!(sampled(off(), &parent(TraceFlags::SAMPLED)));
        assert!(!sampled(on(), &parent(TraceFlags::NOT_SAMPLED)));
    }

    #[test]
    fn a_rule_that_is_known_decides_as_the_sampler_does() {
        let parents = [
            Context::new(),
            parent(TraceFlags::SAMPLED),
            parent(TraceFlags::NOT_SAMPLED),
        ];
        let samplers = [
            Rootless::new(Sampler::AlwaysOn),
            Rootless::below(Sampler::AlwaysOn),
        ];
        for sampler in samplers {
            let rule = sampler.rule;
            let limits = SpanLimits::default();
            let policy = SdkPolicy { sampler, limits };
            for parent in &parents {
                let asked = policy.sample(parent, TraceId::from(1), "name", ProcessType::Task);
                let decided = rule.decide(parent.span().span_context());
                assert_eq!(decided, Some(asked.sampled), "{rule:?}");
            }
        }
        assert_eq!(Rootless::new(Sampler::AlwaysOff).rule, Rule::Ask);
        assert_eq!(Rootless::below(Sampler::AlwaysOff).rule, Rule::Ask);
    }
}
