//! Durations, counted into buckets.
//!
//! The bounds are the tens of every decade from 1 µs to 100 s in steps of a fifth to a third
//! (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), so that a quantile read off the buckets is at most some
//! 15 % away from the truth, and every bound is a number that people write down.
//!
//! Workers count ticks, so the bounds are turned into ticks once, when the recorder is made. The
//! bucket of a duration is found by the position of its highest bit and at most five comparisons.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use telemetry_rt_clock::Scale;

use super::shard::Writers;

const STEPS: [u64; 10] = [
    1_000, 1_200, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 8_000,
];
const DECADES: usize = 8;
const BOUNDS: usize = STEPS.len() * DECADES + 1;
const BUCKETS: usize = BOUNDS + 1;

/// Upper, inclusive bounds of the buckets in nanoseconds: 1 µs to 100 s. One more bucket holds
/// what is longer.
pub const BOUNDS_NANOS: [u64; BOUNDS] = bounds_nanos();

const fn bounds_nanos() -> [u64; BOUNDS] {
    let mut bounds = [0; BOUNDS];
    let mut decade = 1;
    let mut index = 0;
    while index < BOUNDS {
        bounds[index] = STEPS[index % STEPS.len()] * decade;
        index += 1;
        if index.is_multiple_of(STEPS.len()) {
            decade *= 10;
        }
    }
    bounds
}

/// The bounds in ticks, and where to begin looking for a value of a given bit length.
#[derive(Debug)]
pub(super) struct Bounds {
    ticks: [u64; BOUNDS],
    first_of_length: [u8; 65],
}

impl Bounds {
    pub(super) fn new(scale: Scale) -> Bounds {
        let ticks = BOUNDS_NANOS.map(|nanos| scale.ticks(nanos));
        let first_of_length = std::array::from_fn(|length| {
            let shortest = if length == 0 {
                0
            } else {
                1_u64 << (length - 1)
            };
            ticks.partition_point(|&bound| bound < shortest) as u8
        });
        Bounds {
            ticks,
            first_of_length,
        }
    }

    #[inline]
    fn bucket_of(&self, value: u64) -> usize {
        let length = (u64::BITS - value.leading_zeros()) as usize;
        let mut bucket = usize::from(self.first_of_length[length]);
        while bucket < BOUNDS && self.ticks[bucket] < value {
            bucket += 1;
        }
        bucket
    }
}

/// One series of durations. Written by the owner of its shard, read by the drain at any time: a
/// snapshot that is taken during a write may miss the newest duration in some of the fields.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn record(&self, ticks: u64, bounds: &Bounds, writers: Writers) {
        // Asked once for all four numbers.
        match writers {
            Writers::One => self.record_by(ticks, bounds, Writers::One),
            Writers::Many => self.record_beside_others(ticks, bounds),
        }
    }

    #[inline(never)]
    fn record_beside_others(&self, ticks: u64, bounds: &Bounds) {
        self.record_by(ticks, bounds, Writers::Many);
    }

    #[inline(always)]
    fn record_by(&self, ticks: u64, bounds: &Bounds, writers: Writers) {
        writers.add(&self.buckets[bounds.bucket_of(ticks)], 1);
        writers.add(&self.sum, ticks);
        writers.lower(&self.min, ticks);
        writers.raise(&self.max, ticks);
    }

    /// Adds what was recorded here to `into`.
    pub(super) fn add_to(&self, into: &mut Distribution, scale: Scale) {
        // Relaxed throughout: counters that are only ever summed; no other memory hangs on them.
        let mut count = 0;
        for (total, bucket) in into.buckets.iter_mut().zip(&self.buckets) {
            let in_bucket = bucket.load(Relaxed);
            *total += in_bucket;
            count += in_bucket;
        }
        if count == 0 {
            return;
        }
        into.count += count;
        into.sum_nanos += scale.nanos(self.sum.load(Relaxed));
        let min = self.min.load(Relaxed);
        // The bucket of the first duration is written before the minimum is.
        if min != u64::MAX {
            into.min_nanos = into.min_nanos.min(scale.nanos(min));
        }
        into.max_nanos = into.max_nanos.max(scale.nanos(self.max.load(Relaxed)));
    }
}

/// A distribution of durations, summed over all threads since the recorder was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How many durations.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_nanos: u64,
    /// The shortest; `u64::MAX` when there is none.
    pub min_nanos: u64,
    /// The longest; zero when there is none.
    pub max_nanos: u64,
    /// How many fell between the bounds of [`BOUNDS_NANOS`]; one more than there are bounds.
    pub buckets: Vec<u64>,
}

impl Distribution {
    /// Adds the durations of another one.
    pub fn add(&mut self, more: &Distribution) {
        self.count += more.count;
        self.sum_nanos += more.sum_nanos;
        self.min_nanos = self.min_nanos.min(more.min_nanos);
        self.max_nanos = self.max_nanos.max(more.max_nanos);
        for (sum, more) in self.buckets.iter_mut().zip(&more.buckets) {
            *sum += more;
        }
    }
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            count: 0,
            sum_nanos: 0,
            min_nanos: u64::MAX,
            max_nanos: 0,
            buckets: vec![0; BUCKETS],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_reach_from_a_microsecond_to_a_hundred_seconds_in_rising_order() {
        assert_eq!(BOUNDS_NANOS[0], 1_000);
        assert_eq!(BOUNDS_NANOS[BOUNDS - 1], 100_000_000_000);
        assert!(BOUNDS_NANOS.is_sorted_by(|a, b| a < b));
        assert!(BOUNDS_NANOS.contains(&10_000_000) && BOUNDS_NANOS.contains(&12_000_000));
    }

    #[test]
    fn the_short_cut_finds_the_bucket_that_a_plain_search_finds() {
        let bounds = Bounds::new(Scale::current());
        let plain = |value: u64| bounds.ticks.partition_point(|&bound| bound < value);
        let mut values = vec![0, 1, u64::MAX];
        for bound in bounds.ticks {
            values.extend([bound - 1, bound, bound + 1]);
        }
        for value in values {
            assert_eq!(bounds.bucket_of(value), plain(value), "{value} ticks");
        }
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let scale = Scale::current();
        let bounds = Bounds::new(scale);
        assert_eq!(bounds.bucket_of(scale.ticks(1_000)), 0);
        assert_eq!(bounds.bucket_of(scale.ticks(1_000) + 1), 1);
    }

    #[test]
    fn a_snapshot_between_the_bucket_and_the_minimum_knows_no_minimum() {
        let histogram = Histogram::new();
        Writers::One.add(&histogram.buckets[3], 1);
        let mut sum = Distribution::default();
        histogram.add_to(&mut sum, Scale::current());
        assert_eq!((sum.count, sum.min_nanos), (1, u64::MAX));
    }

    #[test]
    fn a_distribution_sums_up_what_was_recorded_by_one_writer_and_by_many() {
        let scale = Scale::current();
        let bounds = Bounds::new(scale);
        for writers in [Writers::One, Writers::Many] {
            let histogram = Histogram::new();
            for nanos in [5_000, 7_000, 200_000_000_000] {
                histogram.record(scale.ticks(nanos), &bounds, writers);
            }
            let mut sum = Distribution::default();
            histogram.add_to(&mut sum, scale);
            assert_eq!(sum.count, 3);
            assert_eq!(sum.buckets.iter().sum::<u64>(), 3);
            assert_eq!(sum.buckets[BUCKETS - 1], 1);
            assert!(sum.min_nanos.abs_diff(5_000) <= 2, "{sum:?}");
            assert!(sum.max_nanos.abs_diff(200_000_000_000) <= 2, "{sum:?}");
        }
    }
}
