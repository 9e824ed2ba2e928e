//! The counters that one thread, or one group of threads, writes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::health::Health;
use super::histogram::Histogram;
use crate::record::Outcome;

/// How many threads write a shard. One writer needs no read-modify-write: a load and a store
/// cost a fraction of a nanosecond, an atomic addition seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    One,
    Many,
}

impl Writers {
    // Relaxed throughout: the drain sums these numbers and reads nothing else by their leave.

    #[inline]
    pub(super) fn add(self, counter: &AtomicU64, number: u64) {
        match self {
            Writers::One => counter.store(counter.load(Relaxed).wrapping_add(number), Relaxed),
            Writers::Many => {
                counter.fetch_add(number, Relaxed);
            }
        }
    }

    #[inline]
    pub(super) fn lower(self, smallest: &AtomicU64, number: u64) {
        if number < smallest.load(Relaxed) {
            match self {
                Writers::One => smallest.store(number, Relaxed),
                Writers::Many => {
                    smallest.fetch_min(number, Relaxed);
                }
            }
        }
    }

    #[inline]
    pub(super) fn raise(self, largest: &AtomicU64, number: u64) {
        if number > largest.load(Relaxed) {
            match self {
                Writers::One => largest.store(number, Relaxed),
                Writers::Many => {
                    largest.fetch_max(number, Relaxed);
                }
            }
        }
    }
}

/// What one worker or guest has counted, or all other threads.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) writers: Writers,
    pub(super) durations: Series,
    pub(super) health: Health,
    /// Spans that were not handed to the drain because the way there was full.
    pub(super) dropped_spans: AtomicU64,
}

impl Shard {
    pub(super) fn new(writers: Writers) -> Shard {
        Shard {
            writers,
            durations: Series::new(),
            health: Health::new(),
            dropped_spans: AtomicU64::new(0),
        }
    }
}

const KINDS_PER_PAGE: usize = 64;
const PAGES: usize = 64;

/// The most kinds for which a series can be kept.
pub(super) const MAX_KINDS: usize = KINDS_PER_PAGE * PAGES;

/// A histogram for each kind and outcome, made when it is first written.
#[derive(Debug)]
pub(super) struct Series {
    pages: [OnceLock<Box<Page>>; PAGES],
}

type Page = [OnceLock<Box<Histogram>>; KINDS_PER_PAGE * Outcome::COUNT];

impl Series {
    fn new() -> Series {
        Series {
            pages: [const { OnceLock::new() }; PAGES],
        }
    }

    #[inline]
    pub(super) fn of(&self, kind: u32, outcome: Outcome) -> &Histogram {
        let (page, slot) = place(kind, outcome);
        self.pages[page].get_or_init(new_page)[slot].get_or_init(|| Box::new(Histogram::new()))
    }

    pub(super) fn get(&self, kind: u32, outcome: Outcome) -> Option<&Histogram> {
        let (page, slot) = place(kind, outcome);
        Some(&**self.pages[page].get()?[slot].get()?)
    }
}

#[cold]
fn new_page() -> Box<Page> {
    Box::new([const { OnceLock::new() }; KINDS_PER_PAGE * Outcome::COUNT])
}

#[inline]
fn place(kind: u32, outcome: Outcome) -> (usize, usize) {
    let kind = kind as usize;
    (
        kind / KINDS_PER_PAGE,
        kind % KINDS_PER_PAGE * Outcome::COUNT + outcome as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_series_share_a_place() {
        let places: HashSet<_> = (0..MAX_KINDS as u32)
            .flat_map(|kind| Outcome::ALL.map(|outcome| place(kind, outcome)))
            .collect();
        assert_eq!(places.len(), MAX_KINDS * Outcome::COUNT);
    }

    #[test]
    fn a_series_that_was_never_written_is_not_made() {
        let series = Series::new();
        assert!(series.get(3, Outcome::Finished).is_none());
        series.of(3, Outcome::Finished);
        assert!(series.get(3, Outcome::Finished).is_some());
        assert!(series.get(3, Outcome::Cancelled).is_none());
    }

    #[test]
    fn many_writers_lose_no_addition() {
        let counter = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| Writers::Many.add(&counter, 1)));
            }
        });
        assert_eq!(counter.into_inner(), 40_000);
    }
}
