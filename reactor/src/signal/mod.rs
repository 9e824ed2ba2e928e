//! Signals of the operating system.
//!
//! Once somebody listens for a kind of signal, its default action is off for the rest of the
//! process, also when nobody listens any more: a program that listens for `SIGINT` and stops is
//! not ended by Ctrl-C.
//!
//! Signals of one kind that arrive in quick succession count as one, but no *kind* is lost.

mod event;
pub mod unix;

pub(crate) use event::{deliver, receivers};

use std::io;

/// Waits for Ctrl-C (`SIGINT`). Listening begins when the future is first polled.
///
/// # Errors
///
/// When the handler cannot be installed, or the runtime is shut down.
///
/// # Panics
///
/// Outside of a runtime, and when I/O is disabled on it.
pub async fn ctrl_c() -> io::Result<()> {
    match unix::signal(unix::SignalKind::interrupt())?.recv().await {
        Some(()) => Ok(()),
        None => Err(crate::handle::shutting_down()),
    }
}
