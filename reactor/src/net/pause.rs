//! What keeps a listener from failing without end while the process has no descriptors left?
//!
//! The connection that could not be accepted waits on, so that the next `accept` would fail at once,
//! and the one after it. So the next one pauses. The pause is counted from the failure, not from
//! when somebody asks again: a future that is dropped and made anew (a branch of a `select!` in a
//! loop) gets through it as well as one that is kept.

use crate::handle::Handle;
use crate::time::{self, Instant};
use nix::errno::Errno;
use parking_lot::Mutex;
use std::io;
use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// From a failure to the next attempt: a hundred errors a second, and nobody who connects notices.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause that a listener owes, if it does.
#[derive(Default)]
pub(crate) struct Pause {
    /// Whether the last attempt failed for want of resources: all that others look at.
    is_owed: AtomicBool,
    /// When the pause is over, if it is owed.
    until: Mutex<Option<Instant>>,
}

// What is locked is one assignment.
impl RefUnwindSafe for Pause {}

impl Pause {
    /// Runs `attempt` after the pause that is owed. `handle` is the listener's.
    ///
    /// Cancel safe if `attempt` is.
    pub(crate) async fn before<T>(
        &self,
        handle: &Handle,
        attempt: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        // Relaxed: what is read behind it is read under the lock. Who misses it fails once more.
        if self.is_owed.load(Ordering::Relaxed) {
            let until = *self.until.lock();
            if let Some(until) = until {
                time::nap(handle, until, PAUSE).await;
            }
        }
        let result = attempt.await;
        self.note(handle, &result);
        result
    }

    #[inline]
    fn note<T>(&self, handle: &Handle, result: &io::Result<T>) {
        match result {
            Err(error) if is_want(error) => self.owe(handle),
            // Relaxed: as above.
            Ok(_) if self.is_owed.load(Ordering::Relaxed) => {
                self.is_owed.store(false, Ordering::Relaxed);
            }
            Ok(_) | Err(_) => {}
        }
    }

    #[cold]
    fn owe(&self, handle: &Handle) {
        // Without timers nothing is owed, as it could not be waited for.
        let until = time::now_at(handle).and_then(|now| now.checked_add(PAUSE));
        *self.until.lock() = until;
        // Relaxed: as above.
        self.is_owed.store(until.is_some(), Ordering::Relaxed);
    }
}

/// Whether what is missing are descriptors or memory.
fn is_want(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}
