//! Who makes sure that somebody is awake when the next timer is due: one page, one word.
//!
//! The driver sleeps in the selector until the earliest timer that it knows of. Another thread
//! may add an earlier one meanwhile. The word `until` says up to which tick the wait in progress
//! lasts at most ([`NOT_WAITING`] when there is none), and every shard has a word `next`, not
//! later than its earliest timer.
//!
//! * The driver, [`begin`](Wait::begin): D1 stores the longest wait it was allowed in `until`;
//!   D2 fence; D3 reads `next` of every shard; D4 lowers `until` to the earliest; then waits.
//!   Afterwards D5 stores [`NOT_WAITING`].
//! * A thread that is no worker: F1 lowers `next`, under the shard's lock; F2 fence; F3 reads
//!   `until`, and wakes the driver if its timer is earlier ([`must_wake`](Wait::must_wake)).
//! * A worker adds timers to its own shard without a fence: it lowers `next` (F1), and wakes the
//!   driver if a glance at `until` shows that it waits too long. What the glance misses is only
//!   late if the worker is busy for long; before it parks it either becomes the driver, or asks
//!   [`uncovered`](Wait::uncovered): W2 fence; W3 reads `until` and then `next` of every shard;
//!   what is earlier than `until` bounds its own sleep.
//!
//! The feared race: the driver misses the timer in D3, and the other thread misses the wait in
//! F3 (W3), so that both rely on each other and nobody wakes. It cannot happen: the fences are
//! sequentially consistent, one of the two is first. If F2 (W2) is first, D3 sees the lowered
//! `next`. If D2 is first, F3 (W3) sees what D1 stored or something later: D1's, and the timer
//! is found to be earlier unless the wait was not meant to last longer; D4's, the same; D5's, and
//! the driver is awake and will run D1 to D4 again before it next sleeps. A late D1 seen instead
//! of D4 costs one wake-up too many, never one too few.

use super::sync::{AtomicU64, Ordering, fence};
use super::wheel::NEVER;

/// No timer's tick is smaller, so that no comparison finds a driver to wake.
const NOT_WAITING: u64 = 0;

pub(super) struct Wait {
    until: AtomicU64,
}

impl Wait {
    pub(super) fn new() -> Wait {
        Wait {
            until: AtomicU64::new(NOT_WAITING),
        }
    }

    /// Announces a wait that lasts at most until `limit`, and says until when it may last:
    /// `limit`, or what `earliest` finds if that is less.
    pub(super) fn begin(&self, limit: u64, earliest: impl FnOnce() -> u64) -> u64 {
        // Relaxed, both: the fence orders the first against the reads of `next`; the second
        // only makes the announcement more precise.
        self.until.store(limit.max(1), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let until = earliest().min(limit);
        self.until.store(until.max(1), Ordering::Relaxed);
        until
    }

    pub(super) fn end(&self) {
        // Relaxed: whoever still sees the wait wakes a driver that is awake.
        self.until.store(NOT_WAITING, Ordering::Relaxed);
    }

    /// Whether the driver has to be woken for a timer at `tick` that was just added.
    pub(super) fn must_wake(&self, tick: u64) -> bool {
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it after the caller's store to `next`.
        tick < self.until.load(Ordering::Relaxed)
    }

    /// As [`must_wake`](Wait::must_wake), for a thread that makes sure of the timer anyhow.
    pub(super) fn seems_too_long(&self, tick: u64) -> bool {
        // Relaxed: a wait that is missed costs lateness, until the worker looks at its shard.
        tick < self.until.load(Ordering::Relaxed)
    }

    /// Whether the driver waits, as far as this thread knows.
    pub(super) fn in_progress(&self) -> bool {
        self.must_wake(NOT_WAITING)
    }

    /// What `earliest` finds, unless the wait in progress ends by then.
    pub(super) fn uncovered(&self, earliest: impl FnOnce() -> u64) -> Option<u64> {
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it after this worker's own stores to `next`.
        let until = self.until.load(Ordering::Relaxed);
        let earliest = earliest();
        let covered = until != NOT_WAITING && until <= earliest;
        (earliest != NEVER && !covered).then_some(earliest)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_timer_earlier_than_the_end_of_the_wait_wakes_the_driver() {
        let wait = Wait::new();
        assert!(!wait.must_wake(1));
        assert_eq!(wait.begin(100, || 40), 40);
        assert!(wait.must_wake(39));
        assert!(!wait.must_wake(40));
        wait.end();
        assert!(!wait.must_wake(1));
    }

    #[test]
    fn a_wait_that_ends_by_the_next_timer_covers_it() {
        let wait = Wait::new();
        assert_eq!(wait.uncovered(|| 7), Some(7));
        assert_eq!(wait.begin(NEVER, || 7), 7);
        assert_eq!(wait.uncovered(|| 7), None);
        assert_eq!(wait.uncovered(|| 6), Some(6));
        assert_eq!(wait.uncovered(|| NEVER), None);
        wait.end();
        assert_eq!(wait.uncovered(|| NEVER), None);
        assert_eq!(wait.uncovered(|| 7), Some(7));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::super::sync::model::{explore, explore_without_fences};
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    const LATE: u64 = 90;
    const EARLY: u64 = 10;
    const SHORT: u64 = 5;

    struct World {
        wait: Wait,
        next: AtomicU64,
    }

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World {
                wait: Wait::new(),
                next: AtomicU64::new(LATE),
            })
        }

        /// A driver that waits twice, the first time so shortly that it covers every timer.
        /// Says until when the second wait lasts.
        fn drive(&self) -> u64 {
            let earliest = || self.next.load(Ordering::Relaxed);
            self.wait.begin(SHORT, earliest);
            self.wait.end();
            self.wait.begin(NEVER, earliest)
        }

        fn add(&self) {
            self.next.store(EARLY, Ordering::Relaxed);
        }
    }

    fn a_timer_of_a_foreign_thread_meets_a_wait() {
        let world = World::new();
        let theirs = world.clone();
        let foreign = thread::spawn(move || {
            theirs.add();
            theirs.wait.must_wake(EARLY)
        });
        let until = world.drive();
        let woken = foreign.join().expect("the model does not panic");
        assert!(until <= EARLY || woken, "a timer that nobody waits for");
    }

    fn a_timer_of_a_worker_meets_a_wait() {
        let world = World::new();
        let theirs = world.clone();
        let worker = thread::spawn(move || {
            theirs.add();
            let earliest = || theirs.next.load(Ordering::Relaxed);
            theirs.wait.uncovered(earliest)
        });
        let until = world.drive();
        let own = worker.join().expect("the model does not panic");
        let covered = until <= EARLY || own == Some(EARLY);
        assert!(covered, "a timer that nobody waits for");
    }

    #[test]
    fn a_timer_of_a_foreign_thread_is_seen_by_the_driver_or_wakes_it() {
        explore(a_timer_of_a_foreign_thread_meets_a_wait);
    }

    #[test]
    fn a_timer_of_a_worker_is_seen_by_the_driver_or_bounds_the_workers_sleep() {
        explore(a_timer_of_a_worker_meets_a_wait);
    }

    #[test]
    #[should_panic(expected = "a timer that nobody waits for")]
    fn the_model_notices_a_foreign_timer_without_fences() {
        explore_without_fences(a_timer_of_a_foreign_thread_meets_a_wait);
    }

    #[test]
    #[should_panic(expected = "a timer that nobody waits for")]
    fn the_model_notices_the_timer_of_a_worker_without_fences() {
        explore_without_fences(a_timer_of_a_worker_meets_a_wait);
    }
}
