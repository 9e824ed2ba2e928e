//! The wheel against a plain ordered map, and at its edges.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const YEAR: u64 = 365 * 24 * 3600 * 1000;

fn fired(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
    std::iter::from_fn(|| wheel.pop_due(now)).collect()
}

#[test]
fn timers_fire_in_the_order_of_their_ticks_and_then_of_their_insertion() {
    let mut wheel = Wheel::new();
    for (tick, load) in [(70, 1), (3, 2), (70, 3), (5_000, 4), (3, 5)] {
        assert!(wheel.insert(tick, load).is_ok());
    }
    assert_eq!(fired(&mut wheel, 5_000), [2, 5, 1, 3, 4]);
    assert!(wheel.is_empty());
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before_wherever_it_lies() {
    for tick in [
        1,
        63,
        64,
        65,
        4_095,
        4_096,
        1 << 18,
        (1 << 30) + 7,
        1 << 36,
        30 * YEAR,
    ] {
        for start in [0, 1, 63, 64, 5_000] {
            let mut wheel = Wheel::new();
            assert_eq!(wheel.pop_due(start), None);
            assert!(wheel.insert(start + tick, tick).is_ok());
            assert!(wheel.earliest() <= start + tick);
            assert_eq!(wheel.pop_due(start + tick - 1), None, "{start} + {tick}");
            assert_eq!(wheel.pop_due(start + tick), Some(tick));
        }
    }
}

#[test]
fn a_tick_that_has_passed_is_refused_and_the_load_given_back() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.insert(0, 'a'), Err('a'));
    assert_eq!(wheel.pop_due(10), None);
    assert_eq!(wheel.insert(10, 'b'), Err('b'));
    assert!(wheel.insert(11, 'c').is_ok());
}

#[test]
fn a_lone_timer_is_announced_exactly_so_that_nobody_wakes_early_for_it() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(60_123, ());
    assert_eq!(wheel.earliest(), 60_123);
    assert!(key.is_ok_and(|key| wheel.remove(key).is_some()));
    assert_eq!(wheel.earliest(), NEVER);
}

#[test]
fn a_key_finds_nothing_once_its_timer_fired_even_when_the_place_is_taken_again() {
    let mut wheel = Wheel::new();
    let Ok(old) = wheel.insert(1, 'a') else {
        panic!("not due yet")
    };
    assert_eq!(wheel.pop_due(1), Some('a'));
    let Ok(new) = wheel.insert(2, 'b') else {
        panic!("not due yet")
    };
    assert_eq!(old.row, new.row);
    assert_eq!(wheel.remove(old), None);
    assert_eq!(wheel.move_to(old, 9), Moved::Gone);
    assert_eq!(wheel.get_mut(new), Some(&mut 'b'));
}

#[test]
fn a_timer_that_is_due_but_not_handed_out_can_still_be_removed_or_moved() {
    let mut wheel = Wheel::new();
    let keys: Vec<Key> = (0..4)
        .filter_map(|load| wheel.insert(5, load).ok())
        .collect();
    assert_eq!(wheel.pop_due(5), Some(0));
    assert_eq!(wheel.remove(keys[1]), Some(1));
    assert_eq!(wheel.move_to(keys[2], 9), Moved::Pending);
    assert_eq!(fired(&mut wheel, 5), [3]);
    assert_eq!(fired(&mut wheel, 9), [2]);
}

#[test]
fn time_that_goes_backwards_fires_nothing_and_breaks_nothing() {
    let mut wheel = Wheel::new();
    assert!(wheel.insert(YEAR, 1).is_ok());
    assert_eq!(wheel.pop_due(YEAR - 1), None);
    assert_eq!(wheel.pop_due(3), None);
    assert!(wheel.insert(YEAR + 1, 2).is_ok());
    assert_eq!(wheel.insert(10, 3), Err(3));
    assert_eq!(fired(&mut wheel, YEAR + 1), [1, 2]);
}

#[test]
fn a_timer_at_the_end_of_time_is_pending_for_ever() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(u64::MAX, 1);
    for years in 1..100 {
        assert_eq!(wheel.pop_due(years * YEAR), None);
    }
    assert!(key.is_ok_and(|key| wheel.remove(key) == Some(1)));
}

#[test]
fn emptying_gives_out_every_load_and_leaves_a_wheel_that_works() {
    let mut wheel = Wheel::new();
    let keys: Vec<Key> = (1..100)
        .filter_map(|tick| wheel.insert(tick * tick, tick).ok())
        .collect();
    let mut all: Vec<u64> = wheel.take_all().collect();
    all.sort_unstable();
    assert_eq!(all, (1..100).collect::<Vec<_>>());
    assert!(keys.iter().all(|key| wheel.remove(*key).is_none()));
    assert!(wheel.insert(4, 7).is_ok());
    assert_eq!(fired(&mut wheel, 4), [7]);
}

/// The plain version: a sorted map of deadlines.
#[derive(Default)]
struct Model {
    now: u64,
    pending: BTreeMap<(u64, u64), ()>,
}

impl Model {
    fn fire(&mut self, now: u64) -> Vec<(u64, u64)> {
        self.now = self.now.max(now);
        let later = self.pending.split_off(&(self.now + 1, 0));
        let due = std::mem::replace(&mut self.pending, later);
        due.into_keys().collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(usize),
    Move(usize, u64),
    Advance(u64),
    /// Hands out at most so many of those due, then goes on.
    AdvancePartly(u64, usize),
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..200_u64,
        3 => 0..100_000_u64,
        2 => 0..YEAR / 50,
        1 => 0..4 * YEAR,
        1 => (0..36_u32, 0..3_u64).prop_map(|(bit, off)| (1_u64 << bit).wrapping_add(off).saturating_sub(1)),
        1 => Just(u64::MAX / 2),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => span().prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), span()).prop_map(|(which, to)| Step::Move(which, to)),
        3 => span().prop_map(|to| Step::Advance(to.min(4 * YEAR))),
        1 => (span(), 0..4_usize).prop_map(|(to, n)| Step::AdvancePartly(to.min(4 * YEAR), n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        // The key, tick and load of every timer that was ever inserted.
        let mut known: Vec<(Key, u64, u64)> = Vec::new();
        for (load, step) in (0_u64..).zip(steps) {
            match step {
                Step::Insert(after) => {
                    let tick = model.now.saturating_add(after).min(LAST_TICK);
                    match wheel.insert(tick, (tick, load)) {
                        Ok(key) => {
                            known.push((key, tick, load));
                            model.pending.insert((tick, load), ());
                        }
                        Err(_) => prop_assert!(tick <= model.now),
                    }
                }
                Step::Remove(which) if !known.is_empty() => {
                    let (key, tick, load) = known[which % known.len()];
                    let expected = model.pending.remove(&(tick, load)).map(|()| (tick, load));
                    prop_assert_eq!(wheel.remove(key), expected);
                }
                Step::Move(which, after) if !known.is_empty() => {
                    let which = which % known.len();
                    let (key, tick, load) = known[which];
                    let to = model.now.saturating_add(after).min(LAST_TICK);
                    let was_pending = model.pending.remove(&(tick, load)).is_some();
                    if was_pending && to > model.now {
                        model.pending.insert((to, load), ());
                        if let Some(inside) = wheel.get_mut(key) {
                            inside.0 = to;
                        }
                        known[which].1 = to;
                    }
                    let expected = match (was_pending, to > model.now) {
                        (false, _) => Moved::Gone,
                        (true, true) => Moved::Pending,
                        (true, false) => Moved::Due((tick, load)),
                    };
                    prop_assert_eq!(wheel.move_to(key, to), expected);
                }
                Step::Remove(_) | Step::Move(..) => {}
                Step::Advance(by) => {
                    let now = model.now + by;
                    let mut fired: Vec<_> = std::iter::from_fn(|| wheel.pop_due(now)).collect();
                    prop_assert!(fired.is_sorted_by_key(|(tick, _)| *tick));
                    fired.sort_unstable();
                    prop_assert_eq!(fired, model.fire(now));
                }
                Step::AdvancePartly(by, at_most) => {
                    let now = model.now + by;
                    let some: Vec<_> =
                        std::iter::from_fn(|| wheel.pop_due(now)).take(at_most).collect();
                    prop_assert!(some.iter().all(|(tick, _)| *tick <= now));
                    let rest: Vec<_> = std::iter::from_fn(|| wheel.pop_due(now)).collect();
                    let mut fired = [some, rest].concat();
                    fired.sort_unstable();
                    prop_assert_eq!(fired, model.fire(now));
                }
            }
            let earliest = model.pending.keys().next().map_or(NEVER, |(tick, _)| *tick);
            prop_assert!(wheel.earliest() <= earliest);
            prop_assert_eq!(wheel.earliest() == NEVER, earliest == NEVER);
            prop_assert_eq!(wheel.earliest_exactly(), earliest);
            prop_assert!(wheel.earliest() > model.now);
            prop_assert_eq!(wheel.is_empty(), model.pending.is_empty());
        }
    }
}

#[test]
fn years_without_a_timer_are_one_step_and_the_earliest_of_the_far_ones_is_known() {
    let mut wheel = Wheel::new();
    let far = [u64::MAX, 3_000_000 * YEAR, 40 * YEAR, 7 * YEAR];
    let keys = far.map(|tick| wheel.insert(tick, tick));
    assert_eq!(wheel.earliest(), 7 * YEAR);
    assert!(keys[3].is_ok_and(|key| wheel.remove(key).is_some()));
    assert_eq!(wheel.earliest_exactly(), 40 * YEAR);
    assert_eq!(fired(&mut wheel, 40 * YEAR), [40 * YEAR]);
    assert_eq!(wheel.earliest(), 3_000_000 * YEAR);
    // Round by round, this would take minutes.
    assert_eq!(fired(&mut wheel, LAST_TICK), [3_000_000 * YEAR, u64::MAX]);
}

#[test]
fn the_earliest_is_known_exactly_however_many_share_its_slot() {
    let mut wheel = Wheel::new();
    for tick in (20_000..20_100).rev() {
        assert!(wheel.insert(tick, tick).is_ok());
    }
    assert_eq!(wheel.earliest_exactly(), 20_000);
}
