//! How long a worker has been at work, while it may be read at any time.
//!
//! It is one word, so that a reader never sees one half of a change: a sum of two words would jump
//! back and forth between them, and what is exported as a counter must only rise.
//!
//! ```text
//!   63                                          1    0
//!   awake:   ticks that it was not at work so far    0     at work = age - these
//!   asleep:  ticks that it was at work so far        1     at work = these
//! ```

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module. Written by the thread that runs the worker; times are ages of the recorder.
#[derive(Debug)]
pub(super) struct WorkClock(AtomicU64);

const ASLEEP: u64 = 1;

impl WorkClock {
    // Relaxed throughout: a statistic, of one word.

    /// Of a worker that has not begun.
    pub(super) fn new() -> WorkClock {
        WorkClock(AtomicU64::new(ASLEEP))
    }

    /// It sleeps, or nobody runs it. Once more changes nothing.
    #[inline]
    pub(super) fn stop(&self, age: u64) {
        let word = self.0.load(Relaxed);
        if word & ASLEEP == 0 {
            let worked = age.saturating_sub(word >> 1);
            self.0.store(worked << 1 | ASLEEP, Relaxed);
        }
    }

    /// It goes on. Once more changes nothing.
    #[inline]
    pub(super) fn start(&self, age: u64) {
        let word = self.0.load(Relaxed);
        if word & ASLEEP != 0 {
            let idled = age.saturating_sub(word >> 1);
            self.0.store(idled << 1, Relaxed);
        }
    }

    /// Ticks that it was at work. The word is the same before and after `age` is asked: one that
    /// changed meanwhile would make the time fall back at the next question.
    pub(super) fn worked(&self, age: impl Fn() -> u64) -> u64 {
        let mut word = self.0.load(Relaxed);
        loop {
            if word & ASLEEP != 0 {
                return word >> 1;
            }
            let worked = age().saturating_sub(word >> 1);
            match self.0.load(Relaxed) {
                same if same == word => return worked,
                other => word = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_only_between_a_start_and_a_stop() {
        let clock = WorkClock::new();
        assert_eq!(clock.worked(|| 100), 0);
        clock.start(100);
        assert_eq!(clock.worked(|| 130), 30);
        clock.stop(150);
        assert_eq!(clock.worked(|| 900), 50);
        clock.start(900);
        assert_eq!(clock.worked(|| 905), 55);
    }

    #[test]
    fn starting_and_stopping_twice_changes_nothing() {
        let clock = WorkClock::new();
        clock.stop(10);
        clock.start(10);
        clock.start(20);
        clock.stop(30);
        clock.stop(40);
        assert_eq!(clock.worked(|| 50), 20);
    }
}
