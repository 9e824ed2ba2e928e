//! Sleeps, timeouts and intervals.
//!
//! In reading order:
//!
//! * `sleep`, `timeout`, `interval`: the futures, with the names and semantics of tokio's.
//! * `nap`: a sleep of a socket's.
//! * `timer`: what they share, a deadline and its place in the wheels.
//! * `home`: how a timer finds the runtime that it belongs to.
//! * [`Instant`], `test_util`, `clock`: what time it is, and how tests stop it; `coarse`: what
//!   time it is roughly.
//! * `wheels`: all timers of a runtime, one shard for each worker; what the driver calls.
//! * `wait`: how it is made sure that somebody is awake when the next timer is due.
//! * `shard`, `wheel`: one worker's timers behind their lock, and the structure that sorts them.
//!
//! The way of a timer:
//!
//! ```text
//!  sleep(d) ──► Idle ──first poll──► Registered ──turn: fired, or reset to the past──► Elapsed
//!                │        (deadline    │   ▲                                             │
//!                │         has passed) │   └ reset: another slot, the same waker         │
//!                └─────────────────────┼───────────────────────────────────────────► Elapsed
//!                ▲                     ▼                                                 │
//!                │                   drop: out of the wheel                              │
//!                └──────────────────────────── reset ────────────────────────────────────┘
//! ```
//!
//! Timers are as exact as milliseconds: a deadline is rounded up to the next one, counted from
//! when the runtime was made, so that a sleep is never too short and usually up to 2 ms too long.
//!
//! When the runtime is shut down, all who wait for a timer are woken, and polling a sleep that
//! can no longer elapse panics: it never hangs.
//!
//! # Example
//!
//! A worker in four lines: poll, and turn the driver while the future is pending.
//!
//! ```
//! use std::future::Future;
//! use std::task::{Context, Waker};
//! use telemetry_rt_reactor::time::{Duration, Instant, sleep};
//! use telemetry_rt_reactor::{Config, build, context};
//! # use telemetry_rt_reactor::{Job, Offload, Refused};
//! # struct NoPool;
//! # impl Offload for NoPool {
//! #     fn offload(&self, _: &'static str, _: Job) -> Result<(), Refused> {
//! #         Err(Refused::new())
//! #     }
//! # }
//!
//! # fn main() -> std::io::Result<()> {
//! let (mut driver, handle) = build(Config {
//!     shards: 1,
//!     events: 64,
//!     enable_io: false,
//!     enable_time: true,
//!     pausable: true,
//!     start_paused: true,
//!     offload: std::sync::Arc::new(NoPool),
//! })?;
//! let entered = context::enter(Some(handle), Some(0));
//!
//! let start = Instant::now();
//! let mut nap = std::pin::pin!(sleep(Duration::from_secs(3600)));
//! let mut cx = Context::from_waker(Waker::noop());
//! while nap.as_mut().poll(&mut cx).is_pending() {
//!     // Nothing else is ready: the paused clock may move to the next timer.
//!     driver.turn(None, true);
//! }
//! assert_eq!(start.elapsed(), Duration::from_secs(3600));
//!
//! context::restore(entered);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod clock;
mod coarse;
pub mod error;
mod home;
mod instant;
mod interval;
mod nap;
mod shard;
mod sleep;
mod sync;
mod test_util;
mod timeout;
mod timer;
mod wait;
mod wheel;
mod wheels;

#[cfg(all(test, loom))]
mod loom_models;

pub use instant::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub(crate) use nap::{nap, now_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::Duration;
pub use test_util::{InhibitAutoAdvance, advance, pause, resume};
pub use timeout::{Timeout, timeout, timeout_at};
pub(crate) use wheels::Wheels;

/// For the fuzzer: does these steps to a wheel of timers, and compares it with a plain list.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_wheel(bytes: &[u8]) {
    wheel::fuzz::run(bytes);
}
