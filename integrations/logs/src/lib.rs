//! Log records of telemetry_rt's tasks, with the trace that they were written in.
//!
//! Records of `tracing` and of `log` become lines of text or JSON, and go to an OpenTelemetry
//! collector when one is configured. What is written inside of a task, a function on the blocking
//! pool or a span has the ids of that: the scheduler makes its context current at each poll, so
//! there is nothing to pass on and nothing to wrap.
//!
//! ```
//! use telemetry_rt::task::spawn_blocking;
//!
//! #[telemetry_rt::main]
//! async fn main() {
//!     let _logs = telemetry_rt_logs::init().unwrap();
//!     tracing::info!(orders = 3, "begun");
//!     let hop = spawn_blocking(|| tracing::warn!("still the same trace"));
//!     hop.await.unwrap();
//! }
//! ```
//!
//! A runtime that [exports nothing](telemetry_rt::otel) makes no spans, so that records have no ids
//! either; try `OTEL_TRACES_EXPORTER=console`. The guard sends what is waiting when it is dropped:
//! keep it until the end of `main`.
//!
//! # What a line looks like
//!
//! [`Format::Text`], the default, for people:
//!
//! ```text
//! 2026-11-21T17:06:23.123456Z  INFO shop::orders: order stored id=12 customer="Ada" in load{shelf=4} trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7
//! ```
//!
//! [`Format::Json`], for programs; one object on one line, here broken up:
//!
//! ```json
//! {"timestamp":"2026-11-21T17:06:23.123456Z","level":"INFO","target":"shop::orders",
//!  "message":"order stored","fields":{"id":12,"customer":"Ada"},
//!  "spans":[{"name":"load","fields":{"shelf":4}}],
//!  "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","trace_flags":"01",
//!  "service.name":"shop","filename":"src/orders.rs","line":31,"module":"shop::orders",
//!  "thread":5,"thread_name":"rt-worker-1","process":4711}
//! ```
//!
//! What is not known is left out: outside of any span there are no ids, not ids of zeros. The span
//! of a task that the sampler did not choose has ids as well, by which its records are found
//! together; its `trace_flags` are `00`, which is also where text has them. Fields of the record
//! are apart from ours, so that none can pass for another. A record is one line and one write,
//! whatever is in it: line breaks, control characters and those that reverse the direction of
//! writing are spelled out in text, and escaped in JSON. Only JSON tells for sure what is an id and
//! what is a message that looks like one.
//!
//! # Variables
//!
//! `RUST_LOG` says which records are taken, as [`EnvFilter`] describes; by default those from
//! `INFO` on. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` name the service, as for the
//! runtime.
//!
//! With the feature `otlp`, which is on by default, records also go to a collector if
//! `OTEL_LOGS_EXPORTER` is `otlp`, or if that is not set and `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` is. Otherwise no socket is opened. `none` sends nothing,
//! `console` writes lines even where the code says [`Format::None`]; a list of them is accepted.
//! `OTEL_EXPORTER_OTLP_{HEADERS,TIMEOUT,COMPRESSION}`, those with `LOGS_` in them, and
//! `OTEL_BLRP_{SCHEDULE_DELAY,MAX_QUEUE_SIZE,MAX_EXPORT_BATCH_SIZE}` have their standard meanings.
//! `OTEL_SDK_DISABLED=true` sends nothing; lines are written all the same. `https` needs the feature
//! `tls`.
//!
//! # What is lost, and told
//!
//! No task ever waits for a collector: records wait in a queue of bounded length for a thread that
//! sends them. What does not fit into it, what the collector does not take, and what is not sent
//! before the guard gives up is counted ([`Logs::lost`]) and told, by
//! [`set_diagnostics`](telemetry_rt::otel::set_diagnostics) or on standard error.
//!
//! Records of OpenTelemetry's own crates, and all that are written by threads that export
//! telemetry, are not exported again.
//!
//! # A subscriber of one's own
//!
//! [`TraceFormat`] is a format for [`tracing_subscriber::fmt`](mod@tracing_subscriber::fmt):
//!
//! ```
//! use telemetry_rt_logs::{JsonFields, TraceFormat};
//! use tracing_subscriber::prelude::*;
//!
//! let lines = tracing_subscriber::fmt::layer()
//!     .event_format(TraceFormat::json().service_name("shop"))
//!     .fmt_fields(JsonFields)
//!     .with_writer(std::io::stderr);
//! tracing_subscriber::registry().with(lines).init();
//! ```

mod alive;
mod builder;
mod env;
mod error;
mod format;
mod guard;
mod ids;
mod lines;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp_off.rs"]
mod otlp;

pub use builder::LogsBuilder;
pub use error::InitError;
pub use format::{Format, JsonFields, TextFields, TraceFormat};
pub use guard::Logs;

#[doc(no_inline)]
pub use tracing_subscriber::EnvFilter;

/// Takes the records of the process from now on, as the variables say: [`Logs::builder`] with
/// nothing changed, and [`LogsBuilder::init`].
///
/// # Errors
///
/// Those of [`LogsBuilder::init`].
pub fn init() -> Result<Logs, InitError> {
    Logs::builder().init()
}
