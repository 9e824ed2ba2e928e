//! Which tracer and which meter? Those that the builder was given; else those of the runtime that a
//! request is on, found at the first one there: a layer is often made outside of it, and one in a
//! `static` sees many.

use std::sync::{Arc, OnceLock};

use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::{Span, Tracer, TracerProvider};
use parking_lot::Mutex;
use telemetry_rt::otel::{self, BindableMeter};
use telemetry_rt::runtime::Handle;

use super::instruments::scope;

/// What the application gave.
#[derive(Debug, Default)]
pub(crate) struct Given {
    tracer: Option<Arc<BoxedTracer>>,
    pub(crate) meter: Option<Meter>,
}

impl Given {
    pub(crate) fn tracer_of<P>(&mut self, provider: &P)
    where
        P: TracerProvider<
            Tracer: Tracer<Span: Span + Send + Sync + 'static> + Send + Sync + 'static,
        >,
    {
        let tracer = provider.tracer_with_scope(scope());
        self.tracer = Some(Arc::new(BoxedTracer::new(Box::new(tracer))));
    }

    pub(crate) fn meter_of(&mut self, provider: &impl MeterProvider) {
        self.meter = Some(provider.meter_with_scope(scope()));
    }

    /// The tracer that was given, or that of the current runtime.
    pub(crate) fn tracer(&self) -> Arc<BoxedTracer> {
        let tracer = self.tracer.clone();
        tracer.unwrap_or_else(|| Arc::new(otel::tracer(scope())))
    }

    /// The meter that was given, or that of the current runtime.
    pub(crate) fn meter(&self) -> Meter {
        let meter = self.meter.clone();
        meter.unwrap_or_else(|| otel::meter(scope()))
    }

    /// That meter, as one whose instruments have series.
    pub(crate) fn bindable(&self) -> BindableMeter {
        match &self.meter {
            Some(given) => given.clone().into(),
            None => otel::bindable_meter(scope()),
        }
    }

    fn is_all(&self) -> bool {
        self.tracer.is_some() && self.meter.is_some()
    }
}

/// What one side makes its spans and metrics with.
pub(crate) trait Telemetry {
    fn of(given: &Given) -> Self;
}

/// Telemetry by runtime. Nearly always there is one; it is found without a lock.
#[derive(Debug)]
pub(crate) struct ByRuntime<T> {
    given: Given,
    first: OnceLock<Entry<T>>,
    /// The latest of further runtimes.
    later: Mutex<Option<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    /// Kept, so that no other runtime is ever found at its address. It keeps no runtime running.
    runtime: Option<Handle>,
    telemetry: Arc<T>,
}

impl<T> Entry<T> {
    fn get(&self, runtime: Option<&Handle>) -> Option<Arc<T>> {
        let is_same = match (&self.runtime, runtime) {
            (Some(own), Some(other)) => std::ptr::eq(own.recorder(), other.recorder()),
            (own, other) => own.is_none() && other.is_none(),
        };
        is_same.then(|| Arc::clone(&self.telemetry))
    }
}

impl<T: Telemetry> ByRuntime<T> {
    pub(crate) fn new(given: Given) -> ByRuntime<T> {
        ByRuntime {
            given,
            first: OnceLock::new(),
            later: Mutex::new(None),
        }
    }

    /// The telemetry of the current runtime.
    pub(crate) fn current(&self) -> Arc<T> {
        let runtime = match self.given.is_all() {
            true => None,
            false => Handle::try_current().ok(),
        };
        let first = self.first.get_or_init(|| self.entry(runtime.clone()));
        first
            .get(runtime.as_ref())
            .unwrap_or_else(|| self.later(runtime))
    }

    #[cold]
    fn later(&self, runtime: Option<Handle>) -> Arc<T> {
        if let Some(latest) = &*self.later.lock()
            && let Some(telemetry) = latest.get(runtime.as_ref())
        {
            return telemetry;
        }
        // Not under the lock: providers are the application's.
        let entry = self.entry(runtime);
        let telemetry = Arc::clone(&entry.telemetry);
        let before = self.later.lock().replace(entry);
        drop(before);
        telemetry
    }

    fn entry(&self, runtime: Option<Handle>) -> Entry<T> {
        Entry {
            runtime,
            telemetry: Arc::new(T::of(&self.given)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use telemetry_rt::runtime::{Builder, Runtime};

    struct Nothing;

    impl Telemetry for Nothing {
        fn of(_: &Given) -> Nothing {
            Nothing
        }
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn each_runtime_has_its_telemetry_and_keeps_it() {
        let of = ByRuntime::<Nothing>::new(Given::default());
        let [first, second] = [runtime(), runtime()];
        let in_first = first.block_on(async { of.current() });
        let in_second = second.block_on(async { of.current() });
        for _ in 0..2 {
            let again = first.block_on(async { of.current() });
            assert!(Arc::ptr_eq(&in_first, &again));
            let again = second.block_on(async { of.current() });
            assert!(Arc::ptr_eq(&in_second, &again));
        }
        assert!(!Arc::ptr_eq(&in_first, &in_second));
        let outside = of.current();
        assert!(!Arc::ptr_eq(&outside, &in_first) && !Arc::ptr_eq(&outside, &in_second));
        assert!(Arc::ptr_eq(&outside, &of.current()));
    }
}
