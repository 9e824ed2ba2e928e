//! Where on the drawing a moment lies: nanoseconds since the first moment of the record.
//!
//! Two threads read their clocks apart from each other, and a wake is stamped with the clock of the
//! worker it happens on, which may be a little old. So within a lane a moment never lies before the
//! one in front of it: what would, is drawn with it.

use std::time::SystemTime;

use telemetry_rt_clock::{Anchor, Scale, Ticks};

use crate::record::{FlightRecord, Lane, Moment};

pub(super) struct Axis {
    origin: Ticks,
    scale: Scale,
    /// Where the record ends.
    pub(super) end: u64,
}

/// A moment of a lane, on the axis.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    /// Which of the lane's moments it is.
    pub(super) index: u32,
    pub(super) at: u64,
    pub(super) moment: &'a Moment,
}

impl Axis {
    pub(super) fn of(record: &FlightRecord) -> Axis {
        let stamps = || {
            let events = record.lanes.iter().flat_map(|lane| &lane.events);
            events.map(|event| event.at)
        };
        let origin = stamps().min().unwrap_or(record.at);
        // Threads go on while the record is taken, so the last moment may lie behind its date.
        let last = stamps().max().unwrap_or(origin).max(record.at);
        let scale = record.anchor.scale();
        Axis {
            origin,
            scale,
            end: scale.nanos(last.since(origin)),
        }
    }

    /// The date of zero.
    pub(super) fn date(&self, anchor: &Anchor) -> SystemTime {
        anchor.date(self.origin)
    }

    pub(super) fn moments<'a>(&self, lane: &'a Lane) -> impl Iterator<Item = Placed<'a>> {
        let mut at = 0;
        (0..).zip(&lane.events).map(move |(index, event)| {
            at = self.nanos(event.at).max(at);
            Placed {
                index,
                at,
                moment: &event.moment,
            }
        })
    }

    /// Where the lane begins.
    pub(super) fn start_of(&self, lane: &Lane) -> u64 {
        lane.events.first().map_or(0, |event| self.nanos(event.at))
    }

    /// Not the difference of two durations: two slices that meet have to meet after rounding, too.
    fn nanos(&self, at: Ticks) -> u64 {
        self.scale.nanos(at.since(self.origin))
    }
}
