//! What telemetry_rt records about its tasks, and how that leaves the process.
//!
//! Two floors in one crate, with one arrow between them:
//!
//! * [`record`] is called by the scheduler, on its own threads, at every moment of a task's life.
//!   It reads a clock, adds to counters, and writes into rings; it takes no lock, calls no SDK.
//! * `export` runs on plain threads of its own: it drains the rings, aggregates, and hands spans
//!   and metrics to exporters.

#[cfg(feature = "export")]
pub mod export;
pub mod record;
