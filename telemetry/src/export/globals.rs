//! What an application sets for the whole process. Libraries do not.
//!
//! There is one global provider of tracers, and one of meters, and there may be several pipelines.
//! The first that is installed stays until it has ended: tracers that were fetched meanwhile would
//! else feed the queue of one pipeline and be thought to feed another. Each of the two has a place
//! of its own, because a pipeline may take but one of the signals.

use std::sync::{Arc, LazyLock, Weak};

use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{
    Extractor, Injector, TextMapCompositePropagator, TextMapPropagator,
};
use opentelemetry::{Context, global};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use parking_lot::Mutex;

use super::env::{Env, process_variable};
use super::headers::Checking;
use super::pipeline::Pipeline;
use super::queue::Queue;
use super::variables;

/// A format in which context travels between processes of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagator {
    /// W3C Trace Context: the headers `traceparent` and `tracestate`.
    TraceContext,
    /// W3C Baggage: the header `baggage`.
    Baggage,
}

/// Makes the pipeline's tracer provider, its meter provider, and the propagators that
/// `OTEL_PROPAGATORS` names, those of the whole process. Returns whether the tracer provider is that
/// of this pipeline now.
///
/// It refuses, and changes nothing, while another pipeline that was installed is still running;
/// once that one is shut down or dropped its place is free. That holds for each of the two
/// providers: a pipeline that takes no spans leaves the tracer provider as it is, and the result is
/// false; one that takes no metrics leaves the meter provider. After the end of the pipeline spans
/// are dropped and counted, and what meters record goes nowhere.
///
/// A global provider that the application set by itself is not seen, and is replaced. It stays
/// alive as long as its tracers or meters do, no longer. Meters that were fetched before record
/// where they did, which with none installed is nowhere: the API cannot move them.
pub fn install_globals(pipeline: &Pipeline) -> bool {
    if pipeline.takes_metrics() && claim(&METERS, pipeline) {
        global::set_meter_provider(pipeline.books().meters().clone());
    }
    if !pipeline.takes_spans() && pipeline.foreign().is_none() {
        install_propagators(pipeline.propagators());
        return false;
    }
    let installed = claim(&TRACERS, pipeline);
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
type Place = Mutex<Weak<Queue>>;

static TRACERS: Place = Mutex::new(Weak::new());
static METERS: Place = Mutex::new(Weak::new());

fn claim(place: &Place, pipeline: &Pipeline) -> bool {
    let mut installed = place.lock();
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
    global::set_text_map_propagator(composite(propagators));
}

fn composite(propagators: &[Propagator]) -> TextMapCompositePropagator {
    let propagators = propagators.iter().map(|propagator| propagator.boxed());
    TextMapCompositePropagator::new(propagators.collect())
}

/// Calls `then` with the propagators of this process: those that are installed, else those that
/// `OTEL_PROPAGATORS` names, by default W3C Trace Context and Baggage. For libraries.
///
/// Those that are not installed are made once; a later change of the variable has no effect. While
/// `then` runs it must not install others: that would wait for itself.
///
/// ```
/// use std::collections::HashMap;
/// use opentelemetry::Context;
/// use telemetry_rt_telemetry::export::with_propagator;
///
/// let mut headers = HashMap::new();
/// with_propagator(|propagator| propagator.inject_context(&Context::current(), &mut headers));
/// ```
pub fn with_propagator<R>(mut then: impl FnMut(&dyn TextMapPropagator) -> R) -> R {
    // What is wrong with the variable is said by whoever makes an `Otel`.
    static NAMED: LazyLock<TextMapCompositePropagator> =
        LazyLock::new(|| composite(&variables::propagators(&Env::new(&process_variable))));
    global::get_text_map_propagator(|installed| match installed.fields().next() {
        Some(_) => then(installed),
        None => then(&*NAMED),
    })
}

impl Propagator {
    fn boxed(self) -> Box<dyn TextMapPropagator + Send + Sync> {
        match self {
            Propagator::TraceContext => Box::new(Checking(TraceContextPropagator::new())),
            Propagator::Baggage => Box::new(Checking(CleanBaggage(BaggagePropagator::new()))),
        }
    }
}

/// The SDK decodes the properties of an entry that came in, and writes them out as they are: from
/// `a=b;p=%0d%0aX:%201`, which is a legal header, it makes one with a line break. No such value
/// leaves here.
#[derive(Debug)]
struct CleanBaggage(BaggagePropagator);

impl TextMapPropagator for CleanBaggage {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        self.0.inject_context(context, &mut Clean(injector));
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        self.0.extract_with_context(context, extractor)
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

/// Passes on the entries of a list that may stand in a header.
struct Clean<'a>(&'a mut dyn Injector);

impl Injector for Clean<'_> {
    fn set(&mut self, name: &str, list: String) {
        if !list.contains(char::is_control) {
            return self.0.set(name, list);
        }
        let entries = list
            .split(',')
            .filter(|entry| !entry.contains(char::is_control));
        let clean: Vec<&str> = entries.collect();
        if !clean.is_empty() {
            self.0.set(name, clean.join(","));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn baggage_that_would_break_a_header_stays_here_and_the_rest_goes_on() {
        let baggage = Propagator::Baggage.boxed();
        for (came, goes) in [
            ("a=b;p=%0d%0aX-Evil:%201,c=d", Some("c=d")),
            ("a=b;p=%00", None),
            ("a=%0d%0a%20x", Some("a=x")),
            ("a=b;p=1", Some("a=b;p=1")),
        ] {
            let headers = HashMap::from([("baggage".to_owned(), came.to_owned())]);
            let context = baggage.extract_with_context(&Context::new(), &headers);
            let mut out = HashMap::new();
            baggage.inject_context(&context, &mut out);
            assert_eq!(out.get("baggage").map(String::as_str), goes, "{came}");
        }
    }
}
