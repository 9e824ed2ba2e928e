//! How what was recorded leaves the process.
//!
//! ```text
//!   workers' rings ──rt-drain──► queue ──rt-export──► exporters
//!   users' spans ────────────────┘          ▲
//!   workers' counters ──────────────────────┤  (summed when metrics are due)
//!   users' meters ──────────────────────────┘  (`meters`)
//! ```
//!
//! In reading order: [`Otel`] says what is exported and where to; a [`Pipeline`] is the two
//! threads that do it; an [`Exporter`] is where they hand it over. Spans come there as a
//! [`SpanBatch`] of records, which OTLP writes as bytes (`otlp::span`) and others are given as the
//! SDK's `SpanData` (`span_data`); counters become [`Metric`]s (`metric`).
//!
//! No span is lost unseen. The [`Account`] of a pipeline says at any time what became of each:
//!
//! ```text
//!   produced = exported + dropped (by cause) + in flight
//! ```
#![forbid(unsafe_code)]

mod otel;
mod pipeline;

mod account;
mod batch;
mod calendar;
mod collect;
mod deadline;
mod drain;
mod exemplars;
mod exporter;
#[cfg(any(feature = "otlp", feature = "prometheus"))]
mod gzip;
mod health;
mod length;
mod meters;
mod metric;
mod panics;
mod period;
mod policy;
mod polls;
mod processor;
mod providers;
mod queue;
mod rising;
mod sender;
mod share;
mod span_data;
mod stop;
mod treatment;

mod console;
mod date;
pub mod flight;
mod memory;
mod only;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "prometheus")]
mod prometheus;
pub mod render;
mod sdk;
mod task_dump;
mod watchdog;

mod diagnostics;
mod env;
mod globals;
mod headers;
mod variables;

#[cfg(all(fuzzing, feature = "grpc", feature = "prometheus"))]
#[doc(hidden)]
pub mod fuzz;

pub use account::{Account, Dropped};
pub use batch::SpanBatch;
pub use collect::{MetricSource, collect};
pub use console::Console;
pub use diagnostics::set_diagnostics;
#[doc(hidden)]
pub use diagnostics::warn;
pub use env::ConfigError;
pub use exporter::{ExportError, Exporter, Signal};
pub use globals::{Propagator, install_globals, with_propagator};
pub use memory::InMemory;
pub use meters::{
    BindableHistogram, BindableMeter, BindableUpDownCounter, BoundHistogram, BoundUpDownCounter,
    InstrumentSpec, Measured,
};
pub use metric::{Exemplar, HistogramPoint, Metric, MetricData, Number, NumberPoint};
pub use only::Only;
pub use otel::{Otel, OtelBuilder};
pub use pipeline::{Pipeline, Report};
#[cfg(feature = "prometheus")]
pub use prometheus::{Prometheus, Scrape};
pub use providers::{InstrumentedProvider, instrument, instrument_with_limits};
pub use sdk::Sdk;
#[doc(hidden)]
pub use share::Share;
pub use stop::Stop;
pub use watchdog::{Watchdog, Watching};
