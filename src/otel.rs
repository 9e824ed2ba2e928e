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
//! spans of libraries go where its own go. If it exports metrics it makes its meter provider the
//! global one, too. Each of the two stays until that runtime has ended; only then another one takes
//! its place. A runtime whose `Otel` was made in code changes nothing global: see
//! [`install_globals`].
//!
//! Libraries that know this crate need nothing global: [`tracer`], [`meter`] and
//! [`with_propagator`] find those of the current runtime.
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

mod attached;
mod libraries;

pub(crate) use attached::{Attached, Closing, SCOPE, attach};
pub use libraries::{bindable_meter, meter, metrics, tracer};

pub use telemetry_rt_telemetry::export::*;
pub use telemetry_rt_telemetry::record::{
    Activity, Distribution, FlightEvent, FlightRecord, Kind, Lane, LaneKind, Moment, NameList,
    PollDetail, ProcessType, TaskDump, TaskView, Treatment, Waiting, WakeCause,
};
