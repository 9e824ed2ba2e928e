//! When a worker looks elsewhere than into its own queue, though there are tasks in it.
//!
//! Each of the two errands is due after a number of turns. That of the driver is a system call, as
//! dear as several short polls; so it is left out when less time has passed since the last one than
//! so many turns take that are no shorter than most: with the default of 61 turns some 50 µs.

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
    pub(super) injector: bool,
}

/// See the module.
pub(super) struct Errands {
    intervals: Intervals,
    next: Cell<u64>,
    last_look: Cell<Ticks>,
}

impl Errands {
    pub(super) fn new(intervals: Intervals) -> Errands {
        Errands {
            intervals,
            next: Cell::new(u64::from(intervals.events.min(intervals.injector))),
            last_look: Cell::new(Ticks(0)),
        }
    }

    /// Whether there is one in this turn. The turns are numbered from one.
    #[inline]
    pub(super) fn are_due(&self, turn: u64) -> bool {
        turn == self.next.get()
    }

    /// Which.
    pub(super) fn at(&self, turn: u64) -> Errand {
        let (events, injector) = (
            u64::from(self.intervals.events),
            u64::from(self.intervals.injector),
        );
        self.next
            .set(((turn / events + 1) * events).min((turn / injector + 1) * injector));
        Errand {
            driver: turn.is_multiple_of(events) && self.look_again(),
            injector: turn.is_multiple_of(injector),
        }
    }

    fn look_again(&self) -> bool {
        let now = ticks();
        let least = u64::from(self.intervals.events.min(MOST_TURNS)) * TICKS_PER_TURN;
        let again = now.since(self.last_look.get()) >= least;
        if again {
            self.last_look.set(now);
        }
        again
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOTHING: Errand = Errand {
        driver: false,
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
}
