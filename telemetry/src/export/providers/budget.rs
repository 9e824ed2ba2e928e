//! How many values each series of a histogram may record in one collection.
//!
//! In words. A collection has room for so many values. Histograms that get one for each process go
//! first, and may fill half of it, or all that the others leave. Those that get one for each poll
//! have the rest. Within either kind each series gets the same part of what it is behind, rounded
//! up: none of them starves, and the room is exceeded by less than one value for each series.

/// How often a histogram gets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Process,
    Poll,
}

impl Pace {
    /// Our own histograms about the scheduler are those that every poll goes into.
    pub(super) fn of(metric: &str) -> Pace {
        match metric.starts_with("executor.") {
            true => Pace::Poll,
            false => Pace::Process,
        }
    }
}

/// What one collection may record, from what all series are behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    process: Share,
    poll: Share,
}

/// How many values of how many.
#[derive(Clone, Copy, Debug)]
struct Share {
    room: u64,
    behind: u64,
}

impl Budget {
    pub(super) fn new(room: u64, behind: impl Iterator<Item = (Pace, u64)>) -> Budget {
        let (mut process, mut poll) = (0_u64, 0_u64);
        for (pace, behind) in behind {
            match pace {
                Pace::Process => process += behind,
                Pace::Poll => poll += behind,
            }
        }
        let first = process.min((room / 2).max(room.saturating_sub(poll)));
        Budget {
            process: Share {
                room: first,
                behind: process,
            },
            poll: Share {
                room: room - first,
                behind: poll,
            },
        }
    }

    /// How many values a series may record that is so many behind.
    pub(super) fn of(&self, pace: Pace, behind: u64) -> u64 {
        match pace {
            Pace::Process => self.process.part_of(behind),
            Pace::Poll => self.poll.part_of(behind),
        }
    }
}

impl Share {
    fn part_of(&self, behind: u64) -> u64 {
        if self.behind <= self.room {
            return behind;
        }
        let part = u128::from(behind) * u128::from(self.room);
        let part = part.div_ceil(u128::from(self.behind));
        u64::try_from(part).expect("a part is no more than the whole")
    }
}

#[cfg(test)]
mod tests {
    use super::Pace::{Poll, Process};
    use super::*;

    #[test]
    fn polls_and_processes_leave_each_other_room() {
        for (room, behind, expected) in [
            // There is room for all.
            (100, [(Process, 40), (Poll, 60), (Poll, 0)], [40, 60, 0]),
            // Processes go first, and polls share what is left by what they are behind.
            (100, [(Process, 40), (Poll, 900), (Poll, 300)], [40, 45, 15]),
            // Many processes leave half to polls, which take no more than they need.
            (100, [(Process, 400), (Poll, 900), (Poll, 100)], [50, 45, 5]),
            (100, [(Process, 400), (Poll, 10), (Poll, 10)], [80, 10, 10]),
            // A rare series is not starved by a busy one.
            (
                100,
                [(Process, 0), (Poll, 1_000_000), (Poll, 1)],
                [0, 100, 1],
            ),
        ] {
            let budget = Budget::new(room, behind.into_iter());
            let shares = behind.map(|(pace, behind)| budget.of(pace, behind));
            assert_eq!(shares, expected, "{room} {behind:?}");
        }
    }

    #[test]
    fn the_histograms_of_the_scheduler_are_those_of_polls() {
        assert_eq!(Pace::of("executor.poll.duration"), Poll);
        assert_eq!(Pace::of("executor.schedule.delay"), Poll);
        assert_eq!(Pace::of("process.duration"), Process);
    }
}
