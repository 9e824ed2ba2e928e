//! Which values to record into a histogram so that it shows what another one has counted.
//!
//! Known of the values that are to be made up: how many fell into each bucket (*n*), their sum *S*,
//! and the least and the greatest of all so far. Wanted: values that give the same counts, the same
//! extremes, the same sum.
//!
//! In words. Each bucket is as wide as its bounds and the extremes leave it: its values lie between
//! *a* and *z*. With all values at the lower ends the sum would be *A* = Σ *n·a*, with all at the
//! upper ends *Z* = Σ *n·z*, and the true sum lies between the two, because each true value lies in
//! its bucket. So all are put at the same fraction *t* = (*S* − *A*) / (*Z* − *A*) of the width of
//! their bucket, and their sum is *A* + *t*·(*Z* − *A*) = *S*. An extreme that is new is recorded
//! itself, once, and the rest is spread as before.
//!
//! The counts are exact, and the sum is, but for the rounding of additions. Three things disturb
//! that. A duration may be read while it is being written: it is then in its bucket, and in the sum
//! only the next time. Durations that lie within a nanosecond of a bound are cut to it. And the
//! clock's scale, by which ticks become seconds, is refined while the program runs, by some
//! millionths. The sum mends itself with the next values, because what is compared is what was
//! recorded with what was counted. The extremes are those that were known when they were recorded;
//! of the extremes of one interval among several nobody knows more than the buckets they are in.

use crate::export::metric::HistogramPoint;

/// What was recorded so far of one series.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    buckets: Vec<u64>,
    sum: f64,
    min: f64,
    max: f64,
}

/// A value, and how often it is to be recorded.
pub(super) type Times = (f64, u64);

impl Spread {
    pub(super) fn nothing(bounds: &[f64]) -> Spread {
        Spread {
            buckets: vec![0; bounds.len() + 1],
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// How many values are still to be recorded to come up to `now`.
    pub(super) fn behind(&self, now: &HistogramPoint) -> u64 {
        self.missing(now).sum()
    }

    fn missing(&self, now: &HistogramPoint) -> impl Iterator<Item = u64> {
        let pairs = now.buckets.iter().zip(&self.buckets);
        pairs.map(|(now, recorded)| now.saturating_sub(*recorded))
    }

    /// The values to record now, at most `most`, to come up to `now`. They count as recorded.
    ///
    /// When there are more, this is a part of each bucket: the shape of the distribution stays.
    pub(super) fn catch_up(
        &mut self,
        bounds: &[f64],
        now: &HistogramPoint,
        most: u64,
    ) -> Vec<Times> {
        let mut counts: Vec<u64> = self.missing(now).collect();
        let mut sum = now.sum - self.sum;
        shrink(&mut counts, &mut sum, most);
        let ranges = Ranges { bounds, now };
        let mut values = self.new_extremes(&mut counts, &ranges);
        sum -= values.iter().map(|(value, _)| value).sum::<f64>();
        spread(&counts, sum, &ranges, &mut values);
        for &(value, times) in &values {
            self.note(bounds, value, times);
        }
        values
    }

    /// The extremes that the histogram does not know yet, taken out of the counts.
    fn new_extremes(&self, counts: &mut [u64], ranges: &Ranges<'_>) -> Vec<Times> {
        let mut values = Vec::new();
        let is_filled = |count: &u64| *count > 0;
        let filled = &ranges.now.buckets;
        let (Some(first), Some(last)) = (
            filled.iter().position(is_filled),
            filled.iter().rposition(is_filled),
        ) else {
            return values;
        };
        let min = ranges.of(first).0;
        if ranges.now.min.is_some() && min < self.min && counts[first] > 0 {
            counts[first] -= 1;
            values.push((min, 1));
        }
        let max = ranges.of(last).1;
        // The first value of all is both.
        let known = values
            .first()
            .map_or(self.max, |(min, _)| min.max(self.max));
        if ranges.now.max.is_some() && max > known && counts[last] > 0 {
            counts[last] -= 1;
            values.push((max, 1));
        }
        values
    }

    fn note(&mut self, bounds: &[f64], value: f64, times: u64) {
        self.buckets[bounds.partition_point(|&bound| bound < value)] += times;
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

/// Between which ends the values of each bucket lie.
struct Ranges<'a> {
    bounds: &'a [f64],
    now: &'a HistogramPoint,
}

impl Ranges<'_> {
    /// Both ends belong to the bucket, whose own lower bound does not.
    fn of(&self, bucket: usize) -> (f64, f64) {
        let above = |bound: &f64| bound.next_up();
        let lower = bucket
            .checked_sub(1)
            .map(|below| above(&self.bounds[below]));
        let upper = self.bounds.get(bucket).copied();
        let (least, most) = (
            lower.unwrap_or(f64::NEG_INFINITY),
            upper.unwrap_or(f64::INFINITY),
        );
        let a = self.now.min.or(lower).unwrap_or(0.0).clamp(least, most);
        let z = self.now.max.or(upper).unwrap_or(a).clamp(a, most);
        (a, z)
    }
}

/// Leaves the same part of each count, and of the sum, so that there are at most `most`.
fn shrink(counts: &mut [u64], sum: &mut f64, most: u64) {
    let all: u64 = counts.iter().sum();
    if all <= most {
        return;
    }
    for count in counts.iter_mut() {
        let part = u128::from(*count) * u128::from(most) / u128::from(all);
        *count = u64::try_from(part).expect("a part is no more than the whole");
    }
    *sum *= counts.iter().sum::<u64>() as f64 / all as f64;
}

/// Puts all values at the same fraction of their buckets' widths.
fn spread(counts: &[u64], sum: f64, ranges: &Ranges<'_>, values: &mut Vec<Times>) {
    let filled = || {
        let counts = counts.iter().enumerate();
        let counts = counts.filter(|(_, count)| **count > 0);
        counts.map(|(bucket, &count)| (ranges.of(bucket), count))
    };
    let total = |end: fn((f64, f64)) -> f64| -> f64 {
        filled()
            .map(|(range, count)| end(range) * count as f64)
            .sum()
    };
    let (least, most) = (total(|(a, _)| a), total(|(_, z)| z));
    let fraction = match most > least {
        true => ((sum - least) / (most - least)).clamp(0.0, 1.0),
        false => 0.0,
    };
    values.extend(filled().map(|((a, z), count)| ((a + fraction * (z - a)).clamp(a, z), count)));
}

#[cfg(test)]
mod tests;
