//! A lock for moments: a few instructions under it, taken twice by each task. (When what it guards has
//! to grow, it is held for as long as that takes; others then give their processor away.)
//!
//! A mutex that can sleep pays for that with a second read-modify-write, when it is let go; this one
//! is let go by a store. In return nobody may hold it for long: who finds it taken spins, and after a
//! while gives others the processor, because the holder may have lost its own.

use super::{AtomicBool, Ordering};
use std::hint;
use std::thread;

use parking_lot::lock_api;

/// See the module.
pub(crate) type SpinLock<T> = lock_api::Mutex<RawSpinLock, T>;

/// The state of a [`SpinLock`].
#[derive(Debug)]
pub(crate) struct RawSpinLock(AtomicBool);

/// So often it is looked at before the processor is given to others.
const SPINS: u32 = 64;

// SAFETY: `lock` returns only to the one that has changed the word from `false`, and nobody else can
// until that one calls `unlock`.
unsafe impl lock_api::RawMutex for RawSpinLock {
    const INIT: RawSpinLock = RawSpinLock(AtomicBool::new(false));

    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        while !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release in `unlock`: what was done under the lock is seen.
        !self.0.swap(true, Ordering::Acquire)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl RawSpinLock {
    /// Waits until the lock looks free.
    #[cold]
    fn wait(&self) {
        let mut spins = 0;
        // Relaxed: `try_lock` decides.
        while self.0.load(Ordering::Relaxed) {
            spins += 1;
            match spins % SPINS {
                0 => thread::yield_now(),
                _ => hint::spin_loop(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_meet_take_turns() {
        let counter = SpinLock::new(0_u64);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| *counter.lock() += 1));
            }
        });
        assert_eq!(counter.into_inner(), 80_000);
    }

    #[test]
    fn one_that_is_held_is_refused_and_can_be_had_afterwards() {
        let lock = SpinLock::new(());
        let held = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    }
}
