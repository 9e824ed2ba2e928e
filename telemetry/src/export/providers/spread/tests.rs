//! What the values that are made up add up to, against the true ones.

use super::*;
use std::time::UNIX_EPOCH;

const BOUNDS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// A histogram as another one would be: counted value by value.
#[derive(Clone)]
struct Counted {
    point: HistogramPoint,
}

impl Counted {
    fn nothing() -> Counted {
        Counted {
            point: HistogramPoint {
                attributes: Vec::new(),
                start: UNIX_EPOCH,
                time: UNIX_EPOCH,
                count: 0,
                sum: 0.0,
                min: None,
                max: None,
                buckets: vec![0; BOUNDS.len() + 1],
                exemplars: Vec::new(),
            },
        }
    }

    fn record(&mut self, value: f64, times: u64) {
        let point = &mut self.point;
        point.buckets[BOUNDS.partition_point(|&bound| bound < value)] += times;
        point.count += times;
        point.sum += value * times as f64;
        point.min = Some(point.min.map_or(value, |min| min.min(value)));
        point.max = Some(point.max.map_or(value, |max| max.max(value)));
    }

    fn record_all(&mut self, values: &[Times]) {
        values
            .iter()
            .for_each(|&(value, times)| self.record(value, times));
    }
}

#[track_caller]
fn assert_same(replayed: &Counted, truth: &Counted) {
    let (replayed, truth) = (&replayed.point, &truth.point);
    assert_eq!(replayed.buckets, truth.buckets);
    assert_eq!((replayed.min, replayed.max), (truth.min, truth.max));
    let off = (replayed.sum - truth.sum).abs();
    assert!(
        off <= truth.sum * 1e-12,
        "{} is not {}",
        replayed.sum,
        truth.sum
    );
}

/// Numbers that look random and are the same in each run.
fn numbers() -> impl Iterator<Item = f64> {
    let mut state = 7_u64;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let fraction = (state >> 33) as f64 / (1_u64 << 31) as f64;
        // From 0.06 to 16, so that all buckets are met, the open ones, too.
        2.0_f64.powf(8.0 * fraction - 4.0)
    })
}

#[test]
fn counts_sum_and_extremes_are_exact_after_each_of_many_collections() {
    let mut numbers = numbers();
    let (mut truth, mut replayed) = (Counted::nothing(), Counted::nothing());
    let mut spread = Spread::nothing(&BOUNDS);
    for round in 0..200 {
        for value in numbers.by_ref().take(round % 7 * round) {
            truth.record(value, 1);
        }
        replayed.record_all(&spread.catch_up(&BOUNDS, &truth.point, u64::MAX));
        if truth.point.count > 0 {
            assert_same(&replayed, &truth);
        }
        assert_eq!(spread.behind(&truth.point), 0);
    }
}

#[test]
fn values_at_the_bounds_stay_in_the_buckets_below_them() {
    for value in [1.0, 2.0, 8.0, 8.0_f64.next_up(), 1.0_f64.next_up(), 0.0] {
        for times in [1, 2, 1000] {
            let (mut truth, mut replayed) = (Counted::nothing(), Counted::nothing());
            truth.record(value, times);
            let values = Spread::nothing(&BOUNDS).catch_up(&BOUNDS, &truth.point, u64::MAX);
            replayed.record_all(&values);
            assert_same(&replayed, &truth);
        }
    }
}

#[test]
fn a_backlog_comes_in_parts_of_the_same_shape_and_is_whole_in_the_end() {
    let (mut truth, mut replayed) = (Counted::nothing(), Counted::nothing());
    truth.record(0.5, 300);
    truth.record(3.0, 600);
    truth.record(20.0, 100);
    let mut spread = Spread::nothing(&BOUNDS);
    replayed.record_all(&spread.catch_up(&BOUNDS, &truth.point, 100));
    assert_eq!(replayed.point.buckets, [30, 0, 60, 0, 10]);
    assert_eq!(spread.behind(&truth.point), 900);
    while spread.behind(&truth.point) > 0 {
        replayed.record_all(&spread.catch_up(&BOUNDS, &truth.point, 100));
    }
    assert_same(&replayed, &truth);
}

#[test]
fn what_was_read_in_the_middle_of_a_write_is_made_good_the_next_time() {
    let (mut truth, mut replayed) = (Counted::nothing(), Counted::nothing());
    truth.record(3.0, 10);
    // Counted, and not yet in the sum; the second has not even lowered the minimum.
    let mut torn = truth.clone();
    torn.point.sum -= 9.0;
    torn.point.min = None;
    let mut spread = Spread::nothing(&BOUNDS);
    replayed.record_all(&spread.catch_up(&BOUNDS, &torn.point, u64::MAX));
    assert_eq!(replayed.point.buckets, truth.point.buckets);
    truth.record(2.5, 30);
    replayed.record_all(&spread.catch_up(&BOUNDS, &truth.point, u64::MAX));
    let (replayed, truth) = (&replayed.point, &truth.point);
    assert_eq!(replayed.buckets, truth.buckets);
    assert!((replayed.sum - truth.sum).abs() < 1e-9);
}

#[test]
fn durations_that_rounding_put_outside_of_their_bucket_are_cut_to_it() {
    let mut truth = Counted::nothing();
    truth.record(3.0, 4);
    // As if the shortest were counted above the bound of two, and read as two.
    truth.point.min = Some(2.0);
    let mut replayed = Counted::nothing();
    replayed.record_all(&Spread::nothing(&BOUNDS).catch_up(&BOUNDS, &truth.point, u64::MAX));
    assert_eq!(replayed.point.buckets, truth.point.buckets);
    assert_eq!(replayed.point.min, Some(2.0_f64.next_up()));
}

#[test]
fn extremes_that_are_not_known_leave_the_counts_exact() {
    let mut truth = Counted::nothing();
    truth.record(0.5, 2);
    truth.record(9.0, 3);
    (truth.point.min, truth.point.max) = (None, None);
    let mut replayed = Counted::nothing();
    replayed.record_all(&Spread::nothing(&BOUNDS).catch_up(&BOUNDS, &truth.point, u64::MAX));
    assert_eq!(replayed.point.buckets, truth.point.buckets);
}
