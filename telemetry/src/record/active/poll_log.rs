//! What is noted about single polls: all of them when the user asks for detail, and in any case
//! those that were slow.

use telemetry_rt_clock::Ticks;

use crate::record::{Waiting, WakeCause};

/// How much is recorded of each poll of a process that has a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PollDetail {
    /// Nothing, unless it is slow.
    #[default]
    Off = 0,
    /// An event on the span of the process.
    Events = 1,
    /// A span below that of the process.
    Spans = 2,
}

impl PollDetail {
    pub(super) fn from_number(number: u8) -> PollDetail {
        match number {
            1 => PollDetail::Events,
            2 => PollDetail::Spans,
            _ => PollDetail::Off,
        }
    }
}

/// One poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollNote {
    /// Which poll of its process it was, from one.
    pub number: u32,
    /// When it began.
    pub start: Ticks,
    /// When it ended.
    pub end: Ticks,
    /// Ticks that the process had been ready and waited.
    pub scheduled: u64,
    /// Who had made it ready.
    pub cause: WakeCause,
    /// What the process waited for afterwards; `None` if it ended.
    pub waiting: Option<Waiting>,
    /// The worker, if it was one.
    pub worker: Option<u16>,
    /// Whether it took longer than polls should.
    pub slow: bool,
}

/// The polls of one process that become events of its span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollLog {
    /// In the order they were.
    pub notes: Vec<PollNote>,
    /// How many exceeded the limit on events.
    pub dropped: u32,
}

impl PollLog {
    pub(super) fn push(&mut self, note: PollNote, limit: usize) {
        if self.notes.len() < limit {
            self.notes.push(note);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
