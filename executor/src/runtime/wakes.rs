//! Was the future of a `block_on` woken since its last poll, and by whom is its thread to be unparked?
//!
//! A count of the wakes that no poll has answered. Whoever takes it from zero unparks the thread; the poll
//! takes all of them. The thread waits only if there are none.

use crate::sync::{AtomicU64, Ordering};

/// See the module.
pub(super) struct Wakes(AtomicU64);

impl Wakes {
    pub(super) fn new() -> Wakes {
        Wakes(AtomicU64::new(0))
    }

    /// There is a future to be polled. Nobody has a waker.
    #[inline]
    pub(super) fn begin(&self) {
        // Relaxed: whoever wakes the future gets the waker from this thread.
        self.0.store(1, Ordering::Relaxed);
    }

    /// `true` if it is the first since the last poll.
    #[inline]
    pub(super) fn add(&self) -> bool {
        // Release: the poller sees what it is woken for.
        self.0.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// As far as it is known here; for what only the first wake does.
    #[inline]
    pub(super) fn seem_to_be_none(&self) -> bool {
        // Relaxed: `add` decides.
        self.0.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(super) fn are_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// How many there were since this was asked last.
    #[inline]
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::AcqRel)
    }

    /// As [`take`](Self::take), before anybody was given the waker.
    #[inline]
    pub(super) fn take_first(&self) -> u64 {
        // Relaxed: no other thread can have written it since `begin`.
        let wakes = self.0.load(Ordering::Relaxed);
        self.0.store(0, Ordering::Relaxed);
        wakes
    }
}
