//! Which time a metric covers, though the wall clock may be set back.

use std::time::{Instant, SystemTime};

use telemetry_rt_clock::{instant, wall};

/// From when until when something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: SystemTime,
    pub(super) time: SystemTime,
}

impl Period {
    /// A clock that was set back makes it short, never negative.
    pub(super) fn since(start: SystemTime) -> Period {
        Period {
            start,
            time: wall().max(start),
        }
    }
}

/// Periods with one start whose ends only rise: at least as fast as the monotonic clock, and to
/// the wall clock when that is ahead.
#[derive(Debug)]
pub(super) struct Periods {
    start: SystemTime,
    last: (SystemTime, Instant),
}

impl Periods {
    pub(super) fn start() -> Periods {
        let start = wall();
        Periods {
            start,
            last: (start, instant()),
        }
    }

    pub(super) fn until_now(&mut self) -> Period {
        self.until(wall(), instant())
    }

    fn until(&mut self, wall: SystemTime, now: Instant) -> Period {
        let (last, at) = self.last;
        let time = wall.max(last + now.saturating_duration_since(at));
        self.last = (time, now);
        Period {
            start: self.start,
            time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wall_clock_that_is_set_back_shortens_no_period() {
        let mut periods = Periods::start();
        let (start, now) = periods.last;
        let ends: Vec<Duration> = [
            (start + SECOND, 1),
            (start - SECOND * 60, 3),
            (start + SECOND * 9, 4),
        ]
        .into_iter()
        .map(|(wall, seconds)| periods.until(wall, now + SECOND * seconds))
        .map(|period| period.time.duration_since(period.start).unwrap())
        .collect();
        assert_eq!(ends, [SECOND, SECOND * 3, SECOND * 9]);
    }

    #[test]
    fn a_start_that_lies_ahead_of_the_clock_is_the_end_as_well() {
        let ahead = wall() + SECOND * 3600;
        assert_eq!(Period::since(ahead).time, ahead);
    }
}
