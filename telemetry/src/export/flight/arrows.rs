//! Which poll answers which wake.
//!
//! A wake makes a process ready once, and one poll follows. So the wakes and polls of each process
//! are brought into order, and each wake is given the first poll behind it that no earlier wake was
//! given. A first poll, and one that a foreign thread asked for, has no wake on any lane and is passed
//! over.
//!
//! A lane that has overwritten its oldest moments may have lost the poll that a wake led to; the
//! next one that is left would then get an arrow that is not its own. So a wake from before the
//! time that all lanes remember has no arrow.

use std::collections::HashMap;

use super::axis::{Axis, Placed};
use crate::record::{FlightRecord, LaneKind, Moment, WakeCause};

/// A moment of the record: its lane, and its number there.
pub(super) type Place = (u32, u32);

/// The arrows of a record, numbered from one.
#[derive(Default)]
pub(super) struct Arrows {
    by_wake: HashMap<Place, Start>,
    by_poll: HashMap<Place, Arrow>,
}

/// The arrow that a wake is at the start of.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) number: u32,
    /// Whether a process caused it, and not the driver or a timer.
    pub(super) by_process: bool,
}

/// The arrow that a poll is at the end of.
#[derive(Clone, Copy)]
pub(super) struct Arrow {
    pub(super) number: u32,
    /// Whether it begins in the same nanosecond on a lane that is written later.
    pub(super) late: bool,
}

/// A wake or the start of a poll. Ordered by process, then by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    task: u64,
    at: u64,
    place: Place,
    /// For a poll: whether a process caused its wake.
    by_process: bool,
}

impl Stamp {
    /// Whether this poll may be what `wake` led to. On one lane, the order of the moments tells;
    /// a process that wakes itself does so at the very time at which its poll started.
    fn answers(&self, wake: &Stamp) -> bool {
        match self.place.0 == wake.place.0 {
            true => self.place.1 > wake.place.1,
            false => self.at >= wake.at,
        }
    }
}

impl Arrows {
    pub(super) fn of(record: &FlightRecord, axis: &Axis) -> Arrows {
        let remembered = remembered_by_all(record, axis);
        let wakes = stamps(record, axis, |placed| match *placed.moment {
            Moment::Woke { task } if placed.at >= remembered => Some((task, false)),
            _ => None,
        });
        let polls = stamps(record, axis, |placed| match *placed.moment {
            Moment::PollStarted { task, cause, .. } if has_a_wake(cause) => {
                Some((task, is_by_process(cause)))
            }
            _ => None,
        });
        Arrows::between(&wakes, &polls)
    }

    fn between(wakes: &[Stamp], polls: &[Stamp]) -> Arrows {
        let mut arrows = Arrows::default();
        let mut polls = polls.iter().peekable();
        for wake in wakes {
            let before = |poll: &&Stamp| {
                poll.task < wake.task || poll.task == wake.task && !poll.answers(wake)
            };
            while polls.next_if(before).is_some() {}
            if let Some(poll) = polls.next_if(|poll| poll.task == wake.task) {
                arrows.add(wake, poll);
            }
        }
        arrows
    }

    fn add(&mut self, wake: &Stamp, poll: &Stamp) {
        let number = self.by_wake.len() as u32 + 1;
        let late = wake.at == poll.at && wake.place.0 > poll.place.0;
        let by_process = poll.by_process;
        self.by_wake
            .insert(wake.place, Start { number, by_process });
        self.by_poll.insert(poll.place, Arrow { number, late });
    }

    /// The arrow that begins at this wake.
    pub(super) fn starting_at(&self, wake: Place) -> Option<Start> {
        self.by_wake.get(&wake).copied()
    }

    /// The arrow that ends at this start of a poll.
    pub(super) fn ending_at(&self, poll: Place) -> Option<Arrow> {
        self.by_poll.get(&poll).copied()
    }
}

/// Whether what makes a process ready for this cause is noted as a wake.
fn has_a_wake(cause: WakeCause) -> bool {
    !matches!(cause, WakeCause::Spawn | WakeCause::Foreign)
}

fn is_by_process(cause: WakeCause) -> bool {
    matches!(cause, WakeCause::Task | WakeCause::Blocking)
}

/// Since when no lane on which tasks are polled has lost a moment.
fn remembered_by_all(record: &FlightRecord, axis: &Axis) -> u64 {
    let lost = record
        .lanes
        .iter()
        .filter(|lane| lane.overwritten > 0 && lane.kind != LaneKind::Blocking);
    lost.map(|lane| axis.start_of(lane)).max().unwrap_or(0)
}

/// The moments that `task_of` finds a process in, in the order of processes and then of time; and
/// what it says of the cause.
fn stamps(
    record: &FlightRecord,
    axis: &Axis,
    task_of: impl Fn(&Placed<'_>) -> Option<(u64, bool)>,
) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for (number, lane) in (0..).zip(&record.lanes) {
        stamps.extend(axis.moments(lane).filter_map(|placed| {
            let (task, by_process) = task_of(&placed)?;
            Some(Stamp {
                task,
                at: placed.at,
                place: (number, placed.index),
                by_process,
            })
        }));
    }
    stamps.sort_unstable();
    stamps
}
