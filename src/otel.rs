//! What is exported, where to, and how.
//!
//! A runtime is configured by [`Otel::from_env`] unless its
//! [`Builder`](crate::runtime::Builder::otel) was given another. Without any of the variables
//! `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_EXPORTER_OTLP_*ENDPOINT` nothing is
//! exported and no socket is opened.
//!
//! # What is global
//!
//! A runtime that is configured from the environment and exports spans makes its tracer provider the
//! global one of OpenTelemetry, and its propagators those that `OTEL_PROPAGATORS` names, so that the
//! spans of libraries go where its own go. A runtime whose `Otel` was made in code changes nothing
//! global: see [`install_globals`].
//!
//! # Example
//!
//! Everything in memory, for a test:
//!
//! ```
//! use telemetry_rt::otel::{InMemory, Otel};
//! use telemetry_rt::runtime::Builder;
//!
//! let memory = InMemory::new();
//! let runtime = Builder::new_current_thread()
//!     .otel(Otel::builder().exporter(memory.clone()).build())
//!     .build()
//!     .unwrap();
//! runtime.block_on(async {
//!     telemetry_rt::task::Builder::new().name("hello").spawn(async {}).await.unwrap();
//! });
//! drop(runtime);
//! assert!(memory.spans().iter().any(|span| span.name == "hello"));
//! ```

pub use telemetry_rt_telemetry::export::*;
pub use telemetry_rt_telemetry::record::{
    Activity, Distribution, FlightEvent, FlightRecord, Kind, Lane, LaneKind, Moment, NameList,
    PollDetail, ProcessType, TaskDump, TaskView, Treatment, Waiting, WakeCause,
};

use opentelemetry::InstrumentationScope;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::metrics::Meter;
use opentelemetry::propagation::TextMapPropagator;

/// A tracer whose spans go where those of the current runtime go, or to the global provider if that
/// runtime exports none. For libraries.
pub fn tracer(scope: InstrumentationScope) -> BoxedTracer {
    global::tracer_with_scope(scope)
}

/// A meter whose metrics leave as those of the current runtime do. For libraries.
pub fn meter(scope: InstrumentationScope) -> Meter {
    global::meter_with_scope(scope)
}

/// Calls `then` with the propagators of this process.
pub fn with_propagator<R>(mut then: impl FnMut(&dyn TextMapPropagator) -> R) -> R {
    global::get_text_map_propagator(|propagator| then(propagator))
}
