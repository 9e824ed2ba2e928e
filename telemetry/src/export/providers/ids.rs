//! How a tracer provider of the SDK is made to build a span that has existed already: with given
//! ids, and sampled whatever its sampler would say.
//!
//! The SDK asks, in this order, the id generator for a span id, for a root also for a trace id, and
//! the sampler; then it calls the processors. What is forced lies in a thread-local for that long
//! and is taken out by the sampler, so that a span which a processor starts is one like any other.
//!
//! The API may hold the current context borrowed during all of this: nothing here asks for it.

use std::cell::RefCell;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};

use crate::export::policy::Rootless;

thread_local! {
    /// The context of the span that this thread is about to build.
    static FORCED: RefCell<Option<SpanContext>> = const { RefCell::new(None) };
}

/// Runs `build`, in which the next span has this context.
pub(super) fn forced<T>(context: SpanContext, build: impl FnOnce() -> T) -> T {
    FORCED.set(Some(context));
    let _lift = Lift;
    build()
}

/// Ends the force: a provider that was shut down asks nobody, and a processor may panic.
struct Lift;

impl Drop for Lift {
    fn drop(&mut self) {
        FORCED.take();
    }
}

fn peek<T>(read: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    let peeked = FORCED.try_with(|forced| forced.borrow().as_ref().map(read));
    peeked.ok().flatten()
}

fn take() -> Option<SpanContext> {
    FORCED.try_with(RefCell::take).ok().flatten()
}

/// Gives the ids that are forced, else random ones.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        peek(SpanContext::trace_id).unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        peek(SpanContext::span_id).unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Lets through what is forced: the sampler was asked when the process was spawned, and its
/// attributes are among those of the span. Asks it about all others.
#[derive(Clone, Debug)]
pub(super) struct Sampling(pub(super) Rootless);

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        match take() {
            Some(forced) => SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: forced.trace_state().clone(),
            },
            None => self
                .0
                .should_sample(parent, trace_id, name, kind, attributes, links),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{TraceFlags, TraceState};

    #[test]
    fn a_force_that_nobody_asked_about_ends_with_its_span() {
        let ids = Ids::default();
        let context = SpanContext::new(
            TraceId::from(1),
            SpanId::from(2),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        let (trace_id, span_id) = forced(context, || (ids.new_trace_id(), ids.new_span_id()));
        assert_eq!((trace_id, span_id), (TraceId::from(1), SpanId::from(2)));
        assert_ne!(ids.new_span_id(), SpanId::from(2));
        assert!(take().is_none());
    }
}
