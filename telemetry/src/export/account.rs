//! What became of all spans.

use super::queue::{Queue, Standing};
use crate::record::Recorder;

/// What became of the spans of a pipeline, those of processes and those of users.
///
/// `produced == exported + dropped.total() + in_flight` holds in every account of a pipeline
/// whose threads stand still; in one taken while spans end, `in_flight` is approximate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Sampled spans that ended.
    pub produced: u64,
    /// Spans that every exporter has taken.
    pub exported: u64,
    /// Spans that are lost.
    pub dropped: Dropped,
    /// Spans that wait in a ring or in the queue, or are being exported.
    pub in_flight: u64,
}

/// Lost spans by the cause of the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// A worker's ring was full: the drain was too slow.
    pub ring_full: u64,
    /// The queue to the exporters was full: they were too slow.
    pub queue_full: u64,
    /// An exporter refused them, failed, or panicked.
    pub export_failed: u64,
    /// They had not left when the deadline of the shutdown came, or ended after the shutdown began.
    pub shutdown_deadline: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, spans)| spans).sum()
    }

    /// Each cause, as the attribute `cause` of `executor.spans.dropped` names it.
    pub fn by_cause(&self) -> [(&'static str, u64); 4] {
        [
            ("ring_full", self.ring_full),
            ("queue_full", self.queue_full),
            ("export_failed", self.export_failed),
            ("shutdown_deadline", self.shutdown_deadline),
        ]
    }
}

impl Account {
    /// The books of the queue, and what is in the rings: in flight while the drain reads them, and
    /// lost once it has ended.
    pub(super) fn of(recorder: &Recorder, queue: &Queue) -> Account {
        let standing = queue.standing();
        let ring_full = recorder.snapshot().dropped_spans;
        Account::sum(standing, recorder.waiting_spans() as u64, ring_full)
    }

    pub(super) fn sum(standing: Standing, in_rings: u64, ring_full: u64) -> Account {
        let books = standing.books;
        let (in_flight, too_late) = match standing.rings_are_read {
            true => (in_rings, 0),
            false => (0, in_rings),
        };
        Account {
            produced: books.taken + ring_full + in_rings,
            exported: books.exported,
            dropped: Dropped {
                ring_full,
                shutdown_deadline: books.dropped.shutdown_deadline + too_late,
                ..books.dropped
            },
            in_flight: standing.in_flight + in_flight,
        }
    }

    /// Whether each span is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.produced == self.exported + self.dropped.total() + self.in_flight
    }
}
