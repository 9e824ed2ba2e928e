//! Spans of processes through an application's own `SdkTracerProvider`, once they have ended.
//!
//! A worker records a span as it does for any exporter. On the exporting thread the span is built
//! again in the application's provider, with its ids, parent and times, and ended at once: all of
//! the provider's processors see it start and end. What users start themselves is made by the same
//! provider at the time, below the ids that the replay will bring: neither comes twice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::trace::{
    Event, Link, Span as _, SpanBuilder, SpanContext, SpanId, TraceContextExt, TraceFlags, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    SdkTracer, SdkTracerProvider, ShouldSample, Span, SpanData, SpanLimits, TracerProviderBuilder,
};

use super::ids::{Ids, Sampling, forced};
use crate::export::env::{Env, process_variable};
use crate::export::exporter::{ExportError, Exporter, Signal};
use crate::export::panics::message_of;
use crate::export::policy::Rootless;
use crate::export::span_data::scope;
use crate::export::variables;

/// Builds a tracer provider that spans of processes can go through, to be given to
/// [`OtelBuilder::tracer_provider`](crate::export::OtelBuilder::tracer_provider).
///
/// Everything that the builder has stays as it is, processors and resource above all, but for what
/// nobody can read out of it and what processes have to share with users' spans:
///
/// * the sampler is `sampler`: it decides about both, and is asked about a process when that is
///   spawned;
/// * the ids are random, unless they are those of a process;
/// * the limits of spans are those of the environment: see [`instrument_with_limits`].
///
/// ```
/// use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
/// use telemetry_rt_telemetry::export::{Otel, instrument};
///
/// let builder = SdkTracerProvider::builder(); // .with_batch_exporter(..)
/// let instrumented = instrument(builder, Sampler::TraceIdRatioBased(0.1));
/// opentelemetry::global::set_tracer_provider(instrumented.provider());
/// let otel = Otel::builder().tracer_provider(&instrumented).build();
/// assert!(otel.is_exporting());
/// ```
pub fn instrument(
    builder: TracerProviderBuilder,
    sampler: impl ShouldSample + 'static,
) -> InstrumentedProvider {
    let limits = variables::span_limits(&Env::new(&process_variable));
    instrument_with_limits(builder, sampler, limits)
}

/// As [`instrument`], with these limits for all spans, those of processes and those of users.
pub fn instrument_with_limits(
    builder: TracerProviderBuilder,
    sampler: impl ShouldSample + 'static,
    limits: SpanLimits,
) -> InstrumentedProvider {
    let sampler = Rootless::new(sampler);
    let provider = builder
        .with_sampler(Sampling(sampler.clone()))
        .with_id_generator(Ids::default())
        .with_span_limits(limits)
        .build();
    InstrumentedProvider {
        provider,
        sampler,
        limits,
    }
}

/// A tracer provider of the SDK that spans of processes can go through: see [`instrument`].
///
/// A handle, as the provider itself is. The application remains the one who shuts the provider
/// down, after the runtime; until then a flush or a shutdown of the runtime flushes it, too, which
/// takes as long as its processors take.
#[derive(Clone, Debug)]
pub struct InstrumentedProvider {
    provider: SdkTracerProvider,
    pub(in crate::export) sampler: Rootless,
    pub(in crate::export) limits: SpanLimits,
}

impl InstrumentedProvider {
    /// The provider, for users' own spans.
    pub fn provider(&self) -> SdkTracerProvider {
        self.provider.clone()
    }

    pub(in crate::export) fn exporter(&self) -> ReplaySpans {
        ReplaySpans {
            provider: self.provider.clone(),
            tracer: self.provider.tracer_with_scope(scope()),
            limits: self.limits,
        }
    }
}

/// The exporter whose other end is a tracer provider.
#[derive(Debug)]
pub(in crate::export) struct ReplaySpans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    limits: SpanLimits,
}

impl Exporter for ReplaySpans {
    fn name(&self) -> &'static str {
        "tracer provider"
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        let lost = spans.iter().filter_map(|span| self.replay_caught(span));
        // All are lost for one reason, but for panics that come now and then.
        match lost.fold((0, None), |(lost, _), reason| (lost + 1, Some(reason))) {
            (lost, Some(reason)) => Err(ExportError::partial(lost, reason)),
            (_, None) => Ok(()),
        }
    }

    fn flush(&mut self) {
        // What its processors fail to flush they account for themselves.
        let _ = self.provider.force_flush();
    }

    fn shutdown(&mut self) {
        self.flush();
    }
}

impl ReplaySpans {
    /// Why the provider has not taken the span, if so. A panic of one of its processors costs the
    /// span that it came with, and none of those after it.
    fn replay_caught(&self, span: &SpanData) -> Option<String> {
        match catch_unwind(AssertUnwindSafe(|| self.replay(span))) {
            Ok(true) => None,
            Ok(false) => Some("the tracer provider was shut down before the runtime".to_owned()),
            Err(payload) => Some(format!(
                "a processor of the tracer provider panicked: {}",
                message_of(&*payload)
            )),
        }
    }

    /// Whether the provider has taken the span.
    fn replay(&self, span: &SpanData) -> bool {
        let parent = parent_of(span);
        let builder = self.builder(span);
        let mut replayed = forced(span.span_context.clone(), || {
            self.tracer.build_with_context(builder, &parent)
        });
        if !replayed.is_recording() {
            return false;
        }
        self.count_dropped(&mut replayed, span);
        replayed.set_status(span.status.clone());
        replayed.end_with_timestamp(span.end_time);
        true
    }

    fn builder(&self, span: &SpanData) -> SpanBuilder {
        let mut builder = SpanBuilder::from_name(span.name.clone())
            .with_kind(span.span_kind.clone())
            .with_start_time(span.start_time)
            .with_attributes(span.attributes.iter().cloned())
            .with_events(self.events(span));
        // Not by its method, which leaves out links to nowhere.
        builder.links = Some(self.links(span));
        builder
    }

    fn events(&self, span: &SpanData) -> Vec<Event> {
        let limit = self.limits.max_attributes_per_event;
        let mut events = span.events.events.clone();
        for event in &mut events {
            overfill(&mut event.attributes, limit, event.dropped_attributes_count);
        }
        events
    }

    fn links(&self, span: &SpanData) -> Vec<Link> {
        let limit = self.limits.max_attributes_per_link;
        let mut links = span.links.links.clone();
        for link in &mut links {
            overfill(&mut link.attributes, limit, link.dropped_attributes_count);
        }
        links
    }

    /// Makes the provider count what was cut already. Its own limits are the same, so that there
    /// is no room for any of this, and it counts what it throws away.
    fn count_dropped(&self, replayed: &mut Span, span: &SpanData) {
        let limits = self.limits;
        let missing = |kept: usize, limit: u32, dropped: u32| match kept >= limit as usize {
            true => 0..dropped,
            false => 0..0,
        };
        let attributes = span.dropped_attributes_count;
        for _ in missing(
            span.attributes.len(),
            limits.max_attributes_per_span,
            attributes,
        ) {
            replayed.set_attribute(dropped_attribute());
        }
        let (events, links) = (&span.events, &span.links);
        for _ in missing(
            events.events.len(),
            limits.max_events_per_span,
            events.dropped_count,
        ) {
            replayed.add_event_with_timestamp("dropped", span.end_time, Vec::new());
        }
        for _ in missing(
            links.links.len(),
            limits.max_links_per_span,
            links.dropped_count,
        ) {
            replayed.add_link(SpanContext::NONE, Vec::new());
        }
    }
}

/// Adds to a list of attributes that is full as many as were cut from it, for the provider to cut
/// and count again.
fn overfill(attributes: &mut Vec<KeyValue>, limit: u32, dropped: u32) {
    if attributes.len() >= limit as usize {
        attributes.extend((0..dropped).map(|_| dropped_attribute()));
    }
}

fn dropped_attribute() -> KeyValue {
    KeyValue::new("dropped", true)
}

/// The context that the span was started in, as far as a provider looks at it.
fn parent_of(span: &SpanData) -> Context {
    if span.parent_span_id == SpanId::INVALID {
        return Context::new();
    }
    Context::new().with_remote_span_context(SpanContext::new(
        span.span_context.trace_id(),
        span.parent_span_id,
        TraceFlags::SAMPLED,
        span.parent_span_is_remote,
        span.span_context.trace_state().clone(),
    ))
}
