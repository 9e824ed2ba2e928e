//! What an application sets for the whole process. Libraries do not.

use opentelemetry::global;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use super::pipeline::Pipeline;

/// A format in which context travels between processes of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagator {
    /// W3C Trace Context: the headers `traceparent` and `tracestate`.
    TraceContext,
    /// W3C Baggage: the header `baggage`.
    Baggage,
}

/// Makes the pipeline's tracer provider, and the propagators that `OTEL_PROPAGATORS` names, those
/// of the whole process.
///
/// The provider that was global before stays alive as long as its tracers do, no longer.
pub fn install_globals(pipeline: &Pipeline) {
    global::set_tracer_provider(pipeline.tracer_provider());
    install_propagators(pipeline.propagators());
}

/// Makes these propagators those of the whole process.
pub(super) fn install_propagators(propagators: &[Propagator]) {
    let propagators = propagators.iter().map(|propagator| propagator.boxed());
    global::set_text_map_propagator(TextMapCompositePropagator::new(propagators.collect()));
}

impl Propagator {
    fn boxed(self) -> Box<dyn TextMapPropagator + Send + Sync> {
        match self {
            Propagator::TraceContext => Box::new(TraceContextPropagator::new()),
            Propagator::Baggage => Box::new(BaggagePropagator::new()),
        }
    }
}
