//! Where the values of one series of a histogram are counted.
//!
//! A cell is a row of words, `sum, lowest, highest, bucket, bucket, ..`. There are a few cells, each
//! on cache lines of its own and for some of the threads (`shards.rs`); what was counted is all of
//! them together.
//!
//! Recording is three steps without a lock: the value goes to the sum, then to the extremes if it is
//! one, then to its bucket. A value *is counted* when its bucket says so; there is no other count,
//! so that count and buckets cannot differ. The bucket is released and acquired: of a value that is
//! counted the sum and the extremes are known. The sum may be ahead of the buckets by what is being
//! recorded at that moment, which is in the buckets the next time.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;

use super::shards;
use super::value::Measured;

const WORDS: usize = 16;
type Line = CachePadded<[AtomicU64; WORDS]>;

const SUM: usize = 0;
const LOWEST: usize = 1;
const HIGHEST: usize = 2;
const FIRST_BUCKET: usize = 3;

/// The cells of one series.
#[derive(Debug)]
pub(super) struct Cells<T> {
    lines: Box<[Line]>,
    lines_of_one: usize,
    /// One less than there are cells, which are a power of two.
    mask: usize,
    buckets: usize,
    values: PhantomData<T>,
}

/// What was counted.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) buckets: Vec<u64>,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl<T: Measured> Cells<T> {
    pub(super) fn new(buckets: usize) -> Cells<T> {
        Cells::sharded(buckets, shards::count())
    }

    fn sharded(buckets: usize, count: usize) -> Cells<T> {
        let lines_of_one = (FIRST_BUCKET + buckets).div_ceil(WORDS);
        let cells = Cells {
            lines: (0..lines_of_one * count).map(|_| Line::default()).collect(),
            lines_of_one,
            mask: count - 1,
            buckets,
            values: PhantomData,
        };
        for cell in 0..count {
            // Relaxed: nobody else has it yet.
            cells.word(cell, LOWEST).store(u64::MAX, Relaxed);
        }
        cells
    }

    /// Counts a finite value that belongs into this bucket.
    #[inline]
    pub(super) fn record(&self, value: T, bucket: usize) {
        let cell = shards::of_thread() & self.mask;
        value.add_to(self.word(cell, SUM));
        self.stretch(cell, rank(value.float()));
        // Release: who acquires this count finds the value in sum and extremes.
        self.word(cell, FIRST_BUCKET + bucket).fetch_add(1, Release);
    }

    /// Looks before it writes: nearly no value is an extreme, and a line that nobody else writes
    /// stays where it is.
    #[inline]
    fn stretch(&self, cell: usize, rank: u64) {
        let (lowest, highest) = (self.word(cell, LOWEST), self.word(cell, HIGHEST));
        // Relaxed: the bucket releases them; and each is right by itself, as it only moves outwards.
        if rank < lowest.load(Relaxed) {
            lowest.fetch_min(rank, Relaxed);
        }
        if rank > highest.load(Relaxed) {
            highest.fetch_max(rank, Relaxed);
        }
    }

    #[inline]
    fn word(&self, cell: usize, word: usize) -> &AtomicU64 {
        &self.lines[cell * self.lines_of_one + word / WORDS][word % WORDS]
    }

    /// None if there was no value yet.
    pub(super) fn counted(&self) -> Option<Counted> {
        let mut buckets = vec![0; self.buckets];
        for cell in 0..=self.mask {
            for (bucket, sum) in buckets.iter_mut().enumerate() {
                // Acquire: see `record`. Before the words that it is about.
                *sum += self.word(cell, FIRST_BUCKET + bucket).load(Acquire);
            }
        }
        if buckets.iter().all(|count| *count == 0) {
            return None;
        }
        // Relaxed: what is counted was acquired, and what is newer does no harm.
        let each = |word| (0..=self.mask).map(move |cell| self.word(cell, word).load(Relaxed));
        Some(Counted {
            buckets,
            sum: each(SUM).map(T::sum).sum(),
            min: value_of(each(LOWEST).min().unwrap_or(u64::MAX)),
            max: value_of(each(HIGHEST).max().unwrap_or(0)),
        })
    }
}

const SIGN: u64 = 1 << 63;

/// A number that is in the order of the values, among finite ones: those below zero have all their
/// bits turned, so that the largest comes first, and the others begin above them.
#[inline]
fn rank(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn value_of(rank: u64) -> f64 {
    f64::from_bits(if rank & SIGN == 0 {
        !rank
    } else {
        rank & !SIGN
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn ranks_are_in_the_order_of_values_and_lead_back_to_them() {
        let values = [f64::MIN, -1.5, -1.0, -0.0, 0.0, 1e-300, 1.0, 1.5, f64::MAX];
        let ranks = values.map(rank);
        assert!(ranks.is_sorted_by(|one, next| one < next), "{ranks:?}");
        assert_eq!(
            ranks.map(value_of).map(f64::to_bits),
            values.map(f64::to_bits)
        );
        assert!(ranks.iter().all(|rank| (1..u64::MAX).contains(rank)));
    }

    #[test]
    fn no_value_is_nothing_and_the_first_is_both_extremes() {
        let cells = Cells::<f64>::sharded(30, 4);
        assert_eq!(cells.counted(), None);
        cells.record(-2.5, 29);
        let counted = cells.counted().unwrap();
        assert_eq!((counted.sum, counted.min, counted.max), (-2.5, -2.5, -2.5));
        assert_eq!(counted.buckets.iter().sum::<u64>(), 1);
        assert_eq!(counted.buckets[29], 1);
    }

    #[test]
    fn threads_that_share_cells_lose_no_value() {
        for count in [1, 2, 4] {
            let cells = Cells::<u64>::sharded(3, count);
            thread::scope(|scope| {
                for _ in 0..5 {
                    scope.spawn(|| {
                        (0..3000).for_each(|value| cells.record(value, value as usize % 3))
                    });
                }
            });
            let expected = Counted {
                buckets: vec![5000; 3],
                sum: f64::from(5 * 2999 * 1500),
                min: 0.0,
                max: 2999.0,
            };
            assert_eq!(cells.counted(), Some(expected));
        }
    }

    #[test]
    fn a_value_that_is_counted_is_in_sum_and_extremes() {
        let cells = Cells::<u64>::sharded(2, 1);
        thread::scope(|scope| {
            let recorder = scope.spawn(|| (1..=20_000).for_each(|value| cells.record(value, 0)));
            while !recorder.is_finished() {
                let Some(counted) = cells.counted() else {
                    continue;
                };
                let values = counted.buckets[0] as f64;
                assert!(counted.sum >= values * (values + 1.0) / 2.0);
                assert!(counted.min == 1.0 && counted.max >= values);
            }
        });
    }
}
