//! The runtime as users hold it: start, handle, context, blocking on a future, end.

mod block_on;
mod config;
pub(crate) mod context;
mod handle;
mod metrics;
#[cfg(feature = "telemetry")]
mod metrics_counted;
mod os;
mod pens;
mod root;
#[expect(
    clippy::module_inception,
    reason = "the file is about the type `Runtime`"
)]
mod runtime;
mod seat;
mod shown;
#[cfg(feature = "telemetry")]
mod telemetry;
mod wakes;
mod worker_threads;

#[cfg(all(test, loom))]
mod loom_models;

pub use config::{Config, Hook, RuntimeFlavor, ThreadName};
pub use context::EnterGuard;
pub use handle::{Handle, TryCurrentError};
pub use metrics::RuntimeMetrics;
pub use os::{Os, StdThreads};
pub use runtime::Runtime;

pub(crate) use handle::{BlockingSpawn, spawn_blocking_named, spawn_here, spawn_named};
pub(crate) use pens::Pens;
