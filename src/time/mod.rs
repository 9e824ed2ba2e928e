//! Timers: sleeping, timeouts, intervals; and a clock that tests can stop.
//!
//! With future tracing on (`OTEL_RUST_EXECUTOR_FUTURE_TRACE_ENABLED`, `trace_futures` of the
//! builder of [`Otel`](crate::otel::Otel), `Handle::set_future_tracing`), a future that is given to
//! [`timeout`] or [`timeout_at`] is a process: it has a span, and is counted in
//! `process.duration` and `process.count` with the type `future`.

#[cfg(feature = "telemetry")]
mod timeout;

pub use telemetry_rt_reactor::time::*;
// Before those of the reactor, which they are without the feature.
#[cfg(feature = "telemetry")]
pub use timeout::{Timeout, timeout, timeout_at};
