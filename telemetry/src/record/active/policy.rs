//! Who decides about spans: a seam for the floor above, where the SDK and its samplers are known.

use opentelemetry::trace::{SpanContext, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};

use super::kind::Kind;
use super::span::SpanRecord;
use crate::record::ProcessType;

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

impl Rule {
    /// Whether a span below this parent, which may be invalid, is recorded. `None` if it is to be asked.
    #[inline]
    pub fn decide(self, parent: &SpanContext) -> Option<bool> {
        match self {
            Rule::Ask => None,
            Rule::All => Some(true),
            Rule::LikeParent => Some(!parent.is_valid() || parent.is_sampled()),
        }
    }
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
