//! What the macros expand to, and what the integrations need of the floors. Not for use by hand.
//!
//! `spans` begins and ends spans of users, `future` and `function` run something within one. The
//! twin `inert` is what is left of them without the feature `telemetry`.

#[cfg(feature = "telemetry")]
mod function;
#[cfg(feature = "telemetry")]
pub(crate) mod future;
#[cfg(feature = "telemetry")]
pub(crate) mod spans;

#[cfg(feature = "telemetry")]
pub use function::span_sync;
#[cfg(feature = "telemetry")]
pub use future::{SpanFuture, span_future};
#[cfg(feature = "telemetry")]
pub use opentelemetry::KeyValue;
#[cfg(feature = "telemetry")]
pub use telemetry_rt_telemetry::export::warn;
#[cfg(feature = "telemetry")]
pub use telemetry_rt_telemetry::record::contexts_are_alive;

#[cfg(not(feature = "telemetry"))]
mod inert;
#[cfg(not(feature = "telemetry"))]
pub use inert::*;
