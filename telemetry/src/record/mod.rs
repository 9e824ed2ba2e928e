//! The scheduler's pen: one call a moment, concrete types, no choice left to the caller.
//!
//! A *process* is a spawned task, a function on the blocking pool, or the future of `block_on`.
//! The scheduler keeps an [`Account`] and a [`WakeStamp`] in the header of each, and every
//! thread that polls has a [`Scribe`]. The moments, in order:
//!
//! | moment | call | where |
//! |---|---|---|
//! | it is spawned | [`Recorder::spawned`] | spawning thread |
//! | it becomes ready | [`WakeStamp::woken`] | waking thread |
//! | it is woken while it is polled | [`WakeStamp::woken_again`] | waking thread |
//! | its poll starts | [`Scribe::poll_started`], [`WakeStamp::answered`] | polling thread |
//! | its poll ends | [`Scribe::poll_ended`] | polling thread |
//! | it ends | [`Scribe::ended`] | polling thread, or the one that drops the runtime |
//!
//! # The ledger
//!
//! Each instant of a process's life is counted once: *scheduled* while it is ready and waits to
//! be polled, *busy* while it is polled, *idle* otherwise. The three are cut at the same
//! instants, so they add up to the length of the process to the tick.
//!
//! # Twins
//!
//! There are two implementations of equal shape: `active`, and `inert`, whose types have no size
//! and whose methods are empty. The cargo feature `active` picks one, here and nowhere else.

#[cfg(feature = "active")]
mod active;
#[cfg(feature = "active")]
pub use active::*;

#[cfg(not(feature = "active"))]
mod inert;
#[cfg(not(feature = "active"))]
pub use inert::*;

mod health;
mod outcome;
mod process;

pub use health::{Counter, Gauges};
pub use outcome::{error_type_of, outcome_of};
pub use process::{Ending, Lineage, Outcome, ProcessType, Spawning, Waiting, WakeCause};
