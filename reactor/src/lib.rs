//! The floor that waits for the world: sockets, timers and signals in, wakers out.
//!
//! [`build`] makes a [`Driver`] and a [`Handle`]. The driver has one method, [`Driver::turn`]:
//! it waits until something happens, wakes whoever waited for it, and *returns* what happened.
//! It has no hooks and calls nobody else. Everything that user code touches (sockets, sleeps,
//! signals) finds the handle of the runtime it runs on through [`context`], and keeps it.
//!
//! In reading order:
//!
//! * [`leaf`]: what a future that waits owes to the worker that polls it.
//! * `wakeup`, `waking`: how another thread interrupts a turn; how many tasks are woken at once.
//! * `driver`, `handle`: the turn, and what it shares with the rest of the process.
//! * [`io`]: a file descriptor's cached readiness, and who waits for it.
//! * [`net`], [`signal`]: sockets, name lookup and signals on top of it.
//! * [`time`]: the wheels of timers.
//!
//! The sockets are for Unix: they stand on file descriptors and on edge-triggered readiness.

#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("telemetry_rt-reactor is written for Unix: its sockets are file descriptors");

mod config;
pub mod context;
mod driver;
mod handle;
mod held;
pub mod io;
pub mod leaf;
pub mod net;
pub mod signal;
pub mod time;
mod wakeup;
mod waking;

pub use config::{Config, Job, Offload, Refused, build};
pub use driver::{Driver, Turn};
pub use handle::{Counts, Handle};
#[doc(hidden)]
pub use held::Held;
