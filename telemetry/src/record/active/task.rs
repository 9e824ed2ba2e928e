//! What the header of a process carries for the recorder.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::Context;
use telemetry_rt_clock::{Ticks, ticks};

use super::scribe;

/// When a process became ready: the first wake since its last poll.
///
/// It is written by the thread whose wake was the first, after the state word has told it so and
/// before it queues the task: one writer at a time, and the queue publishes what it wrote.
#[derive(Debug)]
pub struct WakeStamp(AtomicU64);

impl WakeStamp {
    pub(super) fn new(at: Ticks) -> WakeStamp {
        WakeStamp(AtomicU64::new(at.0))
    }

    /// The process is about to be made ready by this thread.
    ///
    /// On a worker the time is that of the poll in progress, which costs nothing; on any other
    /// thread the clock is read.
    #[inline]
    pub fn woken(&self) {
        // Relaxed: the queue into which the task goes next publishes it.
        self.0.store(scribe::thread_now().0, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Ticks {
        // Relaxed: whoever polls got the task from the queue, or from its own poll.
        Ticks(self.0.load(Ordering::Relaxed))
    }
}

/// The account of one process: the ledger, and the context it is polled in.
///
/// The first four words lie in the cache line that wakers and pollers touch anyway, the rest in
/// the next one.
#[derive(Debug)]
#[repr(C)]
pub struct TaskRecord {
    pub(super) last_end: Ticks,
    pub(super) busy: u64,
    pub(super) scheduled: u64,
    pub(super) polls: u32,
    pub(super) wakes: u32,
    pub(super) spawned: Ticks,
    /// Attached during each poll, unless there is nothing in it.
    pub(super) context: Option<Context>,
    pub(super) kind: u32,
    pub(super) last_worker: u16,
    pub(super) migrations: u16,
    /// Whether the context holds a span of this process, which is to be ended and exported.
    pub(super) has_span: bool,
}

/// The worker number of threads that are no workers, and of processes that were never polled.
pub(super) const NO_WORKER: u16 = u16::MAX;

/// The kind of processes that no recorder knows.
pub(super) const NO_KIND: u32 = u32::MAX;

impl TaskRecord {
    /// The account of a process that is spawned where there is no recorder. It is not exported,
    /// unless a recorder adopts the process before its first poll.
    pub fn unrecorded() -> TaskRecord {
        TaskRecord::begin(ticks(), NO_KIND, None, false)
    }

    /// Whether there is no recorder yet that knows of the process.
    pub fn is_unrecorded(&self) -> bool {
        self.kind == NO_KIND
    }

    pub(super) fn begin(
        now: Ticks,
        kind: u32,
        context: Option<Context>,
        has_span: bool,
    ) -> TaskRecord {
        TaskRecord {
            last_end: now,
            busy: 0,
            scheduled: 0,
            polls: 0,
            wakes: 0,
            spawned: now,
            context,
            kind,
            last_worker: NO_WORKER,
            migrations: 0,
            has_span,
        }
    }

    /// The stamp that goes into the header beside the record: a process is ready when spawned.
    pub fn first_wake(&self) -> WakeStamp {
        WakeStamp::new(self.spawned)
    }

    /// A poll starts. The time since it became ready is accounted as scheduled, and the time
    /// between the last poll and then as idle.
    pub(super) fn start_poll(&mut self, now: Ticks, wake: Ticks, worker: u16) -> Ticks {
        // The worker's clock stands still between polls and may be behind a wake that another
        // thread stamped, or behind the last poll on another worker.
        let ready = wake.max(self.last_end);
        let start = now.max(ready);
        self.scheduled += start.since(ready);
        if worker != self.last_worker && worker != NO_WORKER {
            let moved = self.last_worker != NO_WORKER;
            self.migrations = self.migrations.saturating_add(u16::from(moved));
            self.last_worker = worker;
        }
        start
    }

    /// A poll ends, in which the task found itself woken `wakes` times.
    pub(super) fn end_poll(&mut self, start: Ticks, now: Ticks, wakes: u32) {
        self.end_turn(start, now);
        self.polls = self.polls.saturating_add(1);
        self.wakes = self.wakes.saturating_add(wakes);
    }

    /// A turn ends in which the future was polled, or dropped.
    pub(super) fn end_turn(&mut self, start: Ticks, now: Ticks) {
        let end = now.max(start);
        self.busy += end.since(start);
        self.last_end = end;
    }

    /// The length of the process in ticks, once it has been polled for the last time.
    pub(super) fn length(&self) -> u64 {
        self.last_end.since(self.spawned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(spawned: u64) -> TaskRecord {
        TaskRecord::begin(Ticks(spawned), 0, None, false)
    }

    #[test]
    fn every_tick_is_scheduled_busy_or_idle() {
        let mut record = record(100);
        let start = record.start_poll(Ticks(130), Ticks(100), 0);
        record.end_poll(start, Ticks(150), 1);
        // Idle until it is woken at 200, polled at 220.
        let start = record.start_poll(Ticks(220), Ticks(200), 1);
        record.end_poll(start, Ticks(225), 1);
        assert_eq!(
            (record.scheduled, record.busy, record.length()),
            (50, 25, 125)
        );
        assert_eq!(record.length() - record.scheduled - record.busy, 50);
        assert_eq!((record.polls, record.wakes, record.migrations), (2, 2, 1));
    }

    #[test]
    fn clocks_that_disagree_never_make_a_negative_part() {
        let mut record = record(100);
        // The worker's cached clock is behind the spawning thread's.
        let start = record.start_poll(Ticks(90), Ticks(100), 0);
        record.end_poll(start, Ticks(95), 1);
        // A stale wake stamp, from before the last poll.
        let start = record.start_poll(Ticks(120), Ticks(80), 0);
        record.end_poll(start, Ticks(140), 1);
        assert_eq!(record.scheduled + record.busy, record.length());
        assert_eq!(record.length(), 40);
    }
}
