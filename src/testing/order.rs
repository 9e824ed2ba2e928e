//! In which order captured spans began, exactly.
//!
//! Dates do not tell: those of processes are converted from ticks, those of other spans are read
//! from the wall clock, and the two may differ by microseconds, on a busy machine by more. But a
//! sampler is asked about every span on the thread that begins it, just then. So the sampler of a
//! capture numbers the spans as it is asked, by an attribute that is taken off again afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample, SpanData};

const NUMBER: &str = "telemetry_rt.testing.number";

/// Samples all spans but those below a parent that is not sampled, and numbers them.
#[derive(Clone, Debug)]
pub(super) struct InOrder {
    next: Arc<AtomicU64>,
    sampler: Sampler,
}

impl InOrder {
    pub(super) fn new() -> InOrder {
        InOrder {
            next: Arc::default(),
            sampler: Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        }
    }
}

impl ShouldSample for InOrder {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = &self.sampler;
        let mut result = sampler.should_sample(parent, trace_id, name, kind, attributes, links);
        // Relaxed: spans that begin on one thread one after the other find rising numbers.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        result.attributes.push(KeyValue::new(NUMBER, number));
        result
    }
}

/// Puts spans into the order of their numbers, and takes those off; tells whether there were any.
/// Without one are only the spans of single polls, which stand behind the others.
pub(super) fn restore(spans: &mut [SpanData]) -> bool {
    let has_numbers = spans.iter().any(|span| number_of(span).is_some());
    if has_numbers {
        spans.sort_by_key(|span| (number_of(span).unwrap_or(i64::MAX), span.start_time));
    }
    for span in spans {
        span.attributes.retain(|kept| kept.key.as_str() != NUMBER);
    }
    has_numbers
}

fn number_of(span: &SpanData) -> Option<i64> {
    let mut attributes = span.attributes.iter();
    match attributes.find(|found| found.key.as_str() == NUMBER)?.value {
        Value::I64(number) => Some(number),
        _ => None,
    }
}
