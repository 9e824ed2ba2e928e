//! Which tracer and which meter? Those that the builder was given; else those of the runtime that a
//! request is made on, found at its first request there: a client is often made outside of it, and one
//! in a `static` sees many.

use std::sync::{Arc, OnceLock};

use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use telemetry_rt::otel;
use telemetry_rt::runtime::Handle;

use super::metrics::Metrics;
use crate::common::instruments::{bindable, scope};

/// What spans and metrics are made with.
#[derive(Debug)]
pub(in crate::client) struct Telemetry {
    pub(super) tracer: Arc<BoxedTracer>,
    pub(in crate::client) metrics: Metrics,
}

/// What the application gave.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) tracer: Option<Arc<BoxedTracer>>,
    pub(super) meter: Option<Meter>,
}

impl Given {
    fn telemetry(&self) -> Telemetry {
        let tracer = self.tracer.clone();
        let meter = self.meter.clone().unwrap_or_else(|| otel::meter(scope()));
        Telemetry {
            tracer: tracer.unwrap_or_else(|| Arc::new(otel::tracer(scope()))),
            metrics: Metrics::new(&meter, &bindable(self.meter.as_ref())),
        }
    }

    fn is_all(&self) -> bool {
        self.tracer.is_some() && self.meter.is_some()
    }
}

/// Telemetry by runtime. Nearly always there is one; it is found without a lock.
#[derive(Debug)]
pub(super) struct ByRuntime {
    given: Given,
    first: OnceLock<Entry>,
    /// The latest of further runtimes.
    later: Mutex<Option<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Kept, so that no other runtime is ever found at its address. It keeps no runtime running.
    runtime: Option<Handle>,
    telemetry: Arc<Telemetry>,
}

impl Entry {
    fn is_of(&self, runtime: Option<&Handle>) -> bool {
        match (&self.runtime, runtime) {
            (Some(own), Some(other)) => std::ptr::eq(own.recorder(), other.recorder()),
            (own, other) => own.is_none() && other.is_none(),
        }
    }
}

impl ByRuntime {
    pub(super) fn new(given: Given) -> ByRuntime {
        ByRuntime {
            given,
            first: OnceLock::new(),
            later: Mutex::new(None),
        }
    }

    /// The telemetry of the current runtime.
    pub(super) fn current(&self) -> Arc<Telemetry> {
        let runtime = match self.given.is_all() {
            true => None,
            false => Handle::try_current().ok(),
        };
        let first = self.first.get_or_init(|| self.entry(runtime.clone()));
        match first.is_of(runtime.as_ref()) {
            true => Arc::clone(&first.telemetry),
            false => self.later(runtime),
        }
    }

    #[cold]
    fn later(&self, runtime: Option<Handle>) -> Arc<Telemetry> {
        let latest = self.later.lock().clone();
        if let Some(latest) = latest
            && latest.is_of(runtime.as_ref())
        {
            return latest.telemetry;
        }
        // Not under the lock: providers are the application's.
        let entry = self.entry(runtime);
        let telemetry = Arc::clone(&entry.telemetry);
        let before = self.later.lock().replace(entry);
        drop(before);
        telemetry
    }

    fn entry(&self, runtime: Option<Handle>) -> Entry {
        Entry {
            runtime,
            telemetry: Arc::new(self.given.telemetry()),
        }
    }
}
