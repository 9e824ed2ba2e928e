//! What an application sets for the whole process. Libraries do not.
//!
//! There is one global tracer provider and there may be several pipelines. The first that is
//! installed stays until it has ended: tracers that were fetched meanwhile would else feed the
//! queue of one pipeline and be thought to feed another.

use std::sync::{Arc, Weak};

use opentelemetry::global;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use parking_lot::Mutex;

use super::pipeline::Pipeline;
use super::queue::Queue;

/// A format in which context travels between processes of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagator {
    /// W3C Trace Context: the headers `traceparent` and `tracestate`.
    TraceContext,
    /// W3C Baggage: the header `baggage`.
    Baggage,
}

/// Makes the pipeline's tracer provider, and the propagators that `OTEL_PROPAGATORS` names, those
/// of the whole process. Returns whether the provider is that of this pipeline now.
///
/// It refuses, and changes nothing, while another pipeline that was installed is still running;
/// once that one is shut down or dropped its place is free. Of a pipeline that takes no spans
/// only the propagators are installed, and the result is false.
///
/// A global provider that the application set by itself is not seen, and is replaced. It stays
/// alive as long as its tracers do, no longer.
pub fn install_globals(pipeline: &Pipeline) -> bool {
    if !pipeline.takes_spans() && pipeline.foreign().is_none() {
        install_propagators(pipeline.propagators());
        return false;
    }
    let installed = claim(pipeline);
    if installed {
        // Not under the lock: the provider before may have much to say when it is dropped.
        match pipeline.foreign() {
            Some(foreign) => global::set_tracer_provider(foreign.clone()),
            None => global::set_tracer_provider(pipeline.tracer_provider()),
        }
        install_propagators(pipeline.propagators());
    }
    installed
}

/// The queue of the pipeline that was installed last.
static INSTALLED: Mutex<Weak<Queue>> = Mutex::new(Weak::new());

fn claim(pipeline: &Pipeline) -> bool {
    let mut installed = INSTALLED.lock();
    let taken = installed
        .upgrade()
        .is_some_and(|other| !Arc::ptr_eq(&other, pipeline.queue()) && other.is_open());
    if !taken {
        *installed = Arc::downgrade(pipeline.queue());
    }
    !taken
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
