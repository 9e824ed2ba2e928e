//! The twin that records nothing: the same names and shapes, no size, no code.
//!
//! Whoever changes a signature of `active` that the scheduler uses changes it here, too; the
//! build without the feature `active` is part of the checks.

use std::sync::Arc;

use super::{Ending, ProcessType, Spawning};

/// What the compiler knows about a process; nothing is kept.
#[derive(Debug)]
pub struct Meta;

impl Meta {
    /// The facts about a future or function `F` that returns `T`.
    pub const fn of<F: ?Sized, T: ?Sized>(_process_type: ProcessType) -> Meta {
        Meta
    }
}

/// When a process became ready; not kept.
#[derive(Debug)]
pub struct WakeStamp;

impl WakeStamp {
    /// The process is about to be made ready by this thread.
    #[inline]
    pub fn woken(&self) {}
}

/// The account of one process; none is kept.
#[derive(Debug)]
pub struct TaskRecord;

impl TaskRecord {
    /// The account of a process that is spawned where there is no recorder.
    pub fn unrecorded() -> TaskRecord {
        TaskRecord
    }

    /// Whether there is no recorder yet that knows of the process.
    #[inline]
    pub fn is_unrecorded(&self) -> bool {
        false
    }

    /// The stamp that goes into the header beside the record.
    pub fn first_wake(&self) -> WakeStamp {
        WakeStamp
    }
}

/// How a recorder is set up.
#[derive(Debug, Default)]
pub struct Config {
    /// How many workers will record.
    pub workers: usize,
}

/// Records nothing.
#[derive(Clone, Debug)]
pub struct Recorder;

impl Recorder {
    /// Makes a recorder.
    pub fn new(_config: Config) -> Recorder {
        Recorder
    }

    /// The pen of a worker.
    pub fn worker(&self, _worker: usize) -> Scribe {
        Scribe
    }

    /// A pen for a thread that is no worker.
    pub fn other(&self, _name: Option<Arc<str>>) -> Scribe {
        Scribe
    }

    /// A process is spawned by this thread.
    #[inline]
    pub fn spawned(&self, _spawning: Spawning<'_>) -> TaskRecord {
        TaskRecord
    }
}

impl Recorder {
    /// A process that was spawned without a recorder is about to be polled.
    #[inline]
    pub fn adopt(&self, _record: &mut TaskRecord, _spawning: Spawning<'_>) {}
}

/// What is left of a process that has ended: nothing.
#[must_use = "it is dropped where user code may run"]
pub struct Leftover;

/// The pen of one thread, dry.
#[derive(Debug)]
pub struct Scribe;

/// A poll in progress.
#[must_use = "the poll is in progress as long as the guard lives"]
pub struct PollGuard;

impl Scribe {
    /// The worker goes on after a pause.
    #[inline]
    pub fn resumed(&self) {}

    /// The worker is about to sleep.
    #[inline]
    pub fn paused(&self) {}

    /// The process is about to be polled on this thread.
    #[inline]
    pub fn poll_started(&self, _record: &mut TaskRecord, _wake: &WakeStamp) -> PollGuard {
        PollGuard
    }

    /// The poll has ended.
    #[inline]
    pub fn poll_ended(&self, _poll: PollGuard, _record: &mut TaskRecord, _wakes: u32) {}

    /// What was started was no poll, but the drop of a cancelled process.
    #[inline]
    pub fn drop_ended(&self, _poll: PollGuard, _record: &mut TaskRecord) {}

    /// The process has ended.
    #[inline]
    pub fn ended(&self, _record: &mut TaskRecord, _task_id: u64, _ending: Ending<'_>) -> Leftover {
        Leftover
    }
}
