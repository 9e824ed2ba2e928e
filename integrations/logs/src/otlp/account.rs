//! How many records are where, and how many are lost?
//!
//! ```text
//!  admit ──► waiting ──► taken ──► in hand ──► settled: sent, or lost
//!    └─► refused: lost
//! ```
//!
//! Threads that log call `admit`, the thread that sends the others. Nobody decides anything by two
//! of the counters at once, and what they count is passed on by channels: they need no order.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use telemetry_rt::__private::warn;

#[derive(Debug)]
pub struct Account {
    room: usize,
    closed: AtomicBool,
    /// What is still here is counted as lost, whatever becomes of it.
    written_off: AtomicBool,
    waiting: AtomicUsize,
    in_hand: AtomicUsize,
    /// Found no room.
    refused: AtomicU64,
    refused_told: AtomicU64,
    /// Lost in any other way.
    failed: AtomicU64,
}

impl Account {
    pub fn new(room: usize) -> Account {
        Account {
            room,
            closed: AtomicBool::new(false),
            written_off: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            refused_told: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Whether there is room for one more record, which then waits. The first one that finds none
    /// is told at once, the others when something is sent.
    pub fn admit(&self) -> bool {
        if self.is_closed() {
            self.fail(1);
            return false;
        }
        let more = |waiting| (waiting < self.room).then_some(waiting + 1);
        let admitted = self.waiting.fetch_update(Relaxed, Relaxed, more).is_ok();
        if !admitted && self.refused.fetch_add(1, Relaxed) == 0 {
            self.tell_refused();
        }
        admitted
    }

    /// Records left the queue, to be sent.
    pub fn taken(&self, records: usize) {
        self.in_hand.fetch_add(records, Relaxed);
        self.waiting.fetch_sub(records, Relaxed);
    }

    /// Records that were taken are sent, but for those that are lost.
    pub fn settled(&self, records: usize, lost: u64) {
        self.in_hand.fetch_sub(records, Relaxed);
        if !self.is_written_off() {
            self.fail(lost);
        }
    }

    pub fn fail(&self, records: u64) {
        self.failed.fetch_add(records, Relaxed);
    }

    /// From now on nothing is let in.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub fn is_written_off(&self) -> bool {
        self.written_off.load(Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.refused.load(Relaxed) + self.failed.load(Relaxed)
    }

    /// Says how many records found no room since this was said last.
    pub fn tell_refused(&self) {
        let refused = self.refused.load(Relaxed);
        let told = self.refused_told.swap(refused, Relaxed);
        let records = Records(refused.saturating_sub(told));
        if records.0 > 0 {
            let room = self.room;
            warn(format_args!(
                "{records} dropped: {room} were waiting to be sent \
                 (OTEL_BLRP_MAX_QUEUE_SIZE)"
            ));
        }
    }

    /// Says how many records are given up because the time is over.
    pub fn tell_left(&self, within: Duration) {
        self.written_off.store(true, Relaxed);
        let left = self.waiting.load(Relaxed) + self.in_hand.load(Relaxed);
        if left > 0 {
            let records = Records(left as u64);
            self.fail(records.0);
            warn(format_args!(
                "{records} not sent within {within:?} after the end was asked for"
            ));
        }
    }
}

/// A number of records, as the beginning of a sentence.
pub struct Records(pub u64);

impl std::fmt::Display for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("1 log record was"),
            many => write!(f, "{many} log records were"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_finds_no_room_is_refused_until_others_have_left() {
        let account = Account::new(2);
        let admitted = [(); 4].map(|()| account.admit());
        assert_eq!(admitted, [true, true, false, false]);
        account.taken(2);
        assert!(account.admit());
        account.settled(2, 1);
        assert_eq!(account.lost(), 3);
    }

    #[test]
    fn what_comes_after_the_end_is_lost() {
        let account = Account::new(2);
        account.close();
        assert!(!account.admit());
        assert_eq!(account.lost(), 1);
    }
}
