//! Where an idle thread of the pool waits.
//!
//! One futex word to a thread, so that the one that is meant is woken and no other. The word is that
//! of the standard library's `park`. It may also be set by users' code, which knows the thread from
//! the jobs it ran: so a flag of our own says whether the thread was called, and the word is only
//! what it sleeps on.

use std::thread::{self, Thread};
use std::time::Duration;

use crate::sync::{AtomicBool, Ordering};

/// See the module. The thread waits, everybody may call.
#[derive(Debug)]
pub(super) struct Seat {
    thread: Thread,
    called: AtomicBool,
}

impl Seat {
    pub(super) fn of_this_thread() -> Seat {
        Seat {
            thread: thread::current(),
            called: AtomicBool::new(false),
        }
    }

    /// Wakes the thread.
    #[inline]
    pub(super) fn call(&self) {
        // Relaxed: what the thread is called for it finds under the lock of the desk; and `unpark`
        // orders this store before the look that the thread takes when it has woken.
        self.called.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }

    /// Waits for a call. `false` if there was none in that time.
    #[inline]
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let start = telemetry_rt_clock::instant();
        let mut left = longest;
        loop {
            thread::park_timeout(left);
            // Relaxed: as in `call`. Only one call is made before the thread is idle again.
            if self.called.swap(false, Ordering::Relaxed) {
                return true;
            }
            left = longest.saturating_sub(telemetry_rt_clock::instant() - start);
            if left.is_zero() {
                return false;
            }
        }
    }
}
