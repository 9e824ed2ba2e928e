//! When a worker looks elsewhere than into its own queue, though there are tasks in it.
//!
//! Each of the two errands is due after a number of turns. That of the driver is a system call, as
//! dear as several short polls; so it is left out when less time has passed since the last one than
//! so many turns take that are no shorter than most: with the default of 61 turns some 50 µs. A look at
//! another worker goes with it, but never more often than that: in less time none can be seen to be stuck.
//!
//! That of the injector goes on from turn to turn while there is something, for as many turns as lay
//! before it. So tasks from outside have half of the turns at the most, and need not wait for so many
//! turns each, as they would if one was taken at a time: with two tasks that yield all the time that
//! is 2 µs for each. They are run as they are taken, one by one, and not put into the queue, where they
//! would be stuck when the thread of the worker is not run.

use std::cell::Cell;

use telemetry_rt_clock::{Ticks, ticks};

/// How often a worker looks elsewhere than into its own queue, in turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) events: u32,
    pub(crate) injector: u32,
}

/// The least time between two looks at the driver for each turn of the interval, in ticks: most
/// clocks have two or three of them in a nanosecond, and nothing depends on how long it is exactly.
const TICKS_PER_TURN: u64 = 2_000;

/// However long the interval, a look is not left out when so many times as much has passed.
const MOST_TURNS: u32 = 61;

/// What is due in a turn, maybe nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) driver: bool,
    /// Only where there is one at the driver.
    pub(super) neighbour: bool,
    pub(super) injector: bool,
}

/// See the module.
pub(super) struct Errands {
    intervals: Intervals,
    /// The turn of the next errand: the first of the next two.
    next: Cell<u64>,
    next_for_driver: Cell<u64>,
    next_for_injector: Cell<u64>,
    /// How many tasks in a row came from the injector.
    injected: Cell<u32>,
    last_look: Cell<Ticks>,
    last_look_at_neighbour: Cell<Ticks>,
}

impl Errands {
    pub(super) fn new(intervals: Intervals) -> Errands {
        Errands {
            intervals,
            next: Cell::new(u64::from(intervals.events.min(intervals.injector))),
            next_for_driver: Cell::new(u64::from(intervals.events)),
            next_for_injector: Cell::new(u64::from(intervals.injector)),
            injected: Cell::new(0),
            last_look: Cell::new(Ticks(0)),
            last_look_at_neighbour: Cell::new(Ticks(0)),
        }
    }

    /// Whether there is one in this turn. The turns are numbered from one.
    #[inline]
    pub(super) fn are_due(&self, turn: u64) -> bool {
        turn == self.next.get()
    }

    /// Which. Of a look at the injector it is to be told what came of it.
    pub(super) fn at(&self, turn: u64) -> Errand {
        let driver = turn >= self.next_for_driver.get();
        if driver {
            let turns = u64::from(self.intervals.events);
            self.next_for_driver.set(turn + turns);
        }
        let injector = turn >= self.next_for_injector.get();
        if injector {
            self.rest_from_injector(turn);
        }
        self.set_next();
        let (driver, neighbour) = match driver {
            true => self.look_again(),
            false => (false, false),
        };
        Errand {
            driver,
            neighbour,
            injector,
        }
    }

    /// The look at the injector in this turn brought a task.
    pub(super) fn was_injected(&self, turn: u64) {
        let injected = self.injected.get() + 1;
        // One turn of the interval was that of the first look.
        if injected + 1 < self.intervals.injector {
            self.injected.set(injected);
            self.next_for_injector.set(turn + 1);
            self.set_next();
        } else {
            self.injected.set(0);
        }
    }

    /// It brought none.
    pub(super) fn nothing_was_injected(&self) {
        self.injected.set(0);
    }

    fn rest_from_injector(&self, turn: u64) {
        let turns = u64::from(self.intervals.injector);
        self.next_for_injector.set(turn + turns);
    }

    fn set_next(&self) {
        let injector = self.next_for_injector.get();
        self.next.set(self.next_for_driver.get().min(injector));
    }

    /// Whether at the driver, and whether at a neighbour.
    fn look_again(&self) -> (bool, bool) {
        let now = ticks();
        let driver = has_come(now, &self.last_look, self.intervals.events.min(MOST_TURNS));
        let neighbour = driver && has_come(now, &self.last_look_at_neighbour, MOST_TURNS);
        (driver, neighbour)
    }
}

/// Whether so many turns may have passed since the last time. Then it is the last time.
fn has_come(now: Ticks, last: &Cell<Ticks>, turns: u32) -> bool {
    let has_come = now.since(last.get()) >= u64::from(turns) * TICKS_PER_TURN;
    if has_come {
        last.set(now);
    }
    has_come
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOTHING: Errand = Errand {
        driver: false,
        neighbour: false,
        injector: false,
    };

    #[test]
    fn each_errand_has_its_own_interval() {
        let errands = Errands::new(Intervals {
            events: 3,
            injector: 2,
        });
        let due = |turn| match errands.are_due(turn) {
            true => {
                errands.last_look.set(Ticks(0));
                errands.at(turn)
            }
            false => NOTHING,
        };
        let turns: Vec<_> = (1..=12).map(due).collect();
        for (turn, errand) in (1_u64..).zip(turns) {
            assert_eq!(errand.driver, turn % 3 == 0, "turn {turn}");
            assert_eq!(errand.injector, turn % 2 == 0, "turn {turn}");
        }
    }

    /// The turns of so many in which there is a look at the injector, which has tasks for `tasks` of them.
    fn looks_at_injector(errands: &Errands, turns: u64, tasks: usize) -> Vec<u64> {
        let mut looks = Vec::new();
        for turn in 1..=turns {
            if errands.are_due(turn) && errands.at(turn).injector {
                looks.push(turn);
                match looks.len() <= tasks {
                    true => errands.was_injected(turn),
                    false => errands.nothing_was_injected(),
                }
            }
        }
        looks
    }

    #[test]
    fn tasks_from_outside_have_half_of_the_turns_at_the_most() {
        let intervals = Intervals {
            events: 100,
            injector: 3,
        };
        let looks = looks_at_injector(&Errands::new(intervals), 17, usize::MAX);
        assert_eq!(looks, [3, 4, 7, 8, 11, 12, 15, 16]);
        let looks = looks_at_injector(&Errands::new(intervals), 17, 3);
        assert_eq!(looks, [3, 4, 7, 8, 11, 14, 17]);
    }

    #[test]
    fn a_look_at_the_driver_is_left_out_when_the_last_one_was_just_now() {
        let errands = Errands::new(Intervals {
            events: 1,
            injector: 7,
        });
        assert!(errands.at(1).driver);
        errands.last_look.set(Ticks(u64::MAX));
        assert!(!errands.at(2).driver);
        errands.last_look.set(Ticks(0));
        assert!(errands.at(3).driver);
    }

    #[test]
    fn however_often_the_driver_is_looked_at_a_neighbour_is_left_the_time_to_get_on() {
        let errands = Errands::new(Intervals {
            events: 1,
            injector: 7,
        });
        assert!(errands.at(1).neighbour);
        errands.last_look.set(Ticks(0));
        errands.last_look_at_neighbour.set(Ticks(u64::MAX));
        let second = errands.at(2);
        assert_eq!((second.driver, second.neighbour), (true, false));
        errands.last_look.set(Ticks(0));
        errands.last_look_at_neighbour.set(Ticks(0));
        assert!(errands.at(3).neighbour);
    }
}
