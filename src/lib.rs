//! A work-stealing async runtime whose scheduler *is* the instrumentation.
//!
//! Every task, every function on the blocking pool and every `block_on` is recorded by the
//! scheduler itself, and exported through OpenTelemetry: a span with the right parent, and the
//! metrics `process.duration` and `process.count`. There is nothing to wrap and no `.instrument()`
//! to write; trace context follows a task across `.await`, [`spawn`], [`task::spawn_blocking`],
//! timers and threads.
//!
//! The API has the shape of tokio's: code is ported by changing the crate's name.
//!
//! ```
//! use telemetry_rt::time::{Duration, sleep};
//!
//! async fn load(number: u64) -> u64 {
//!     sleep(Duration::from_millis(1)).await;
//!     number * 2
//! }
//!
//! #[telemetry_rt::main]
//! async fn main() {
//!     let tasks: Vec<_> = (0..3).map(|number| telemetry_rt::spawn(load(number))).collect();
//!     let mut sum = 0;
//!     for task in tasks {
//!         sum += task.await.unwrap();
//!     }
//!     assert_eq!(sum, 6);
//! }
//! ```
//!
//! Run with `OTEL_TRACES_EXPORTER=console OTEL_METRICS_EXPORTER=console` to see the spans and
//! metrics of this, or with `otlp` to send them to a collector. See the [`otel`]
//! module for everything that can be configured.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `telemetry` | yes | recording and export; without it the scheduler is the same and records nothing |
//! | `otlp`, `tls` | yes | export by OTLP over HTTP, and over HTTPS |
//! | `grpc` | no | export by OTLP over gRPC |
//! | `prometheus` | yes | an endpoint that Prometheus scrapes, with exemplars |
//! | `tokio-io` | yes | `io`, `sync`, [`select!`], [`join!`] re-exported from tokio, its I/O traits on our sockets, and `fs` |
//! | `macros` | yes | `#[main]`, `#[test]`, `#[span]` |
//!
//! # What to know
//!
//! * The cooperative budget counts operations of sockets, timers and join handles. Channels and
//!   locks are tokio's, whose own budget is unlimited on another runtime: a task that does nothing
//!   but receive from a channel that is always full keeps its worker. See [`task::coop`].
//! * `blocking_send`, `blocking_recv` and `blocking_lock` of those channels and locks do not panic
//!   inside of a task, as they do on tokio: they block the worker.

// So that what the macros expand to is right in this crate, too.
extern crate self as telemetry_rt;

pub mod runtime;
pub mod task;

#[cfg(feature = "tokio-io")]
pub mod fs;
pub mod io;
pub mod net;
pub mod signal;
#[cfg(feature = "tokio-io")]
pub mod sync;
pub mod time;

#[cfg(feature = "telemetry")]
pub mod otel;
#[cfg(feature = "telemetry")]
pub mod testing;

mod span;

#[doc(hidden)]
pub mod __private;

pub use runtime::block_on;
pub use span::{SpanBuilder, SpanGuard, span, span_builder};
pub use task::spawn;
pub use telemetry_rt_executor::task_local;

#[cfg(feature = "macros")]
pub use telemetry_rt_macros::{main, span, test};

#[cfg(feature = "tokio-io")]
pub use tokio::{join, pin, select, try_join};

/// The program of the README is compiled with the other examples.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
