//! The twin that records nothing: the same names and shapes, no size, no code.
//!
//! Whoever changes a signature of `active` that the scheduler uses changes it here, too; the
//! build without the feature `active` is part of the checks.

use std::sync::{Arc, Weak};

use super::{Counter, Ending, Gauges, ProcessType, Spawning, Waiting, WakeCause};

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
    pub fn woken(&self, _task: impl FnOnce() -> u64, _from: impl FnOnce() -> Option<WakeCause>) {}

    /// The poll that the wake led to has begun.
    #[inline]
    pub fn answered(&self) {}

    /// The process was woken by this thread while somebody else had the right to poll it.
    #[inline]
    pub fn woken_again(
        &self,
        _task: impl FnOnce() -> u64,
        _from: impl FnOnce() -> Option<WakeCause>,
    ) {
    }
}

/// What each poll writes of a process; nothing.
#[derive(Debug)]
pub struct TaskRecord;

impl TaskRecord {
    /// Whether there is no recorder yet that knows of the process.
    #[inline]
    pub fn is_unrecorded(&self) -> bool {
        false
    }
}

/// What few polls write of a process; nothing.
#[derive(Debug)]
pub struct TaskDetail;

/// What of a process belongs to whoever polls it; nothing.
#[derive(Debug)]
pub struct TaskScope;

/// The account of one process; none is kept.
#[derive(Debug)]
pub struct Account {
    /// What each poll writes.
    pub record: TaskRecord,
    /// What few polls write.
    pub detail: TaskDetail,
    /// What belongs to whoever polls it.
    pub scope: TaskScope,
}

impl Account {
    /// The account of a process that is spawned where there is no recorder.
    pub fn unrecorded() -> Account {
        Account {
            record: TaskRecord,
            detail: TaskDetail,
            scope: TaskScope,
        }
    }

    /// Writes the account into the place of one that was closed.
    #[inline]
    pub fn renew(&self, _: &WakeStamp, _: &TaskRecord, _: &TaskDetail) {}

    /// The process, for whoever keeps its account in one piece.
    pub fn process(&mut self, id: u64, process_type: ProcessType) -> Process<'_> {
        Process {
            id,
            process_type,
            record: &self.record,
            detail: &self.detail,
            scope: &mut self.scope,
        }
    }

    /// The stamp that goes into the header beside the account.
    pub fn first_wake(&self) -> WakeStamp {
        WakeStamp
    }
}

/// A process, in the hands of whoever has the right to poll it.
#[derive(Debug)]
pub struct Process<'a> {
    /// Its number.
    pub id: u64,
    /// What kind of work it is.
    pub process_type: ProcessType,
    /// What each poll writes.
    pub record: &'a TaskRecord,
    /// What few polls write.
    pub detail: &'a TaskDetail,
    /// What belongs to whoever polls it.
    pub scope: &'a mut TaskScope,
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
    /// Whether anybody can ask what live processes there are: if not, they need not be listed.
    pub const IS_SEEN: bool = false;

    /// Makes a recorder.
    pub fn new(_config: Config) -> Recorder {
        Recorder
    }

    /// The pen of a worker.
    pub fn worker(&self, _worker: usize) -> Scribe {
        Scribe
    }

    /// A pen for a moment on a thread that is no worker.
    pub fn other(&self) -> Scribe {
        Scribe
    }

    /// A pen for a thread of the blocking pool.
    pub fn blocking(&self, _name: Arc<str>) -> Scribe {
        Scribe
    }

    /// A pen for a thread that polls the future of a `block_on`.
    pub fn block_on(&self) -> Scribe {
        Scribe
    }

    /// Whether a spawn may call code of the user's: never.
    #[inline]
    pub fn asks_users(&self) -> bool {
        false
    }

    /// A process is spawned by this thread.
    #[inline]
    pub fn spawned(&self, _spawning: Spawning<'_>) -> Account {
        Account::unrecorded()
    }

    /// A process that was spawned without a recorder is about to be polled.
    #[inline]
    pub fn adopt(&self, _process: &mut Process<'_>, _spawning: Spawning<'_>) {}

    /// Counts something on a thread that has no pen.
    #[inline]
    pub fn count(&self, _counter: Counter, _number: u64) {}

    /// Sees nothing.
    pub fn viewer(&self) -> Viewer {
        Viewer
    }

    /// Tells whom to ask for numbers of the moment.
    pub fn observe(&self, _observed: Weak<dyn Observed>) {}
}

/// A scheduler, as far as a recorder asks it.
pub trait Observed: Send + Sync {
    /// Numbers of the moment.
    fn gauges(&self) -> Gauges;

    /// All live processes.
    fn tasks(&self) -> Vec<TaskView>;
}

/// A live process, of which nothing is known.
#[derive(Clone, Debug)]
pub struct TaskView;

/// Sees nothing.
#[derive(Debug)]
pub struct Viewer;

impl Viewer {
    /// Whether the process is being polled.
    pub fn is_running(&self, _detail: &TaskDetail) -> bool {
        false
    }

    /// What is to be seen of a process.
    pub fn view(
        &self,
        _id: u64,
        _is_awake: bool,
        _parts: (&TaskRecord, &TaskDetail, &WakeStamp),
    ) -> TaskView {
        TaskView
    }
}

/// What is left of a process that has ended: nothing.
#[must_use = "it is dropped where user code may run"]
pub struct Leftover;

/// The pen of one thread, dry.
#[derive(Debug)]
pub struct Scribe;

/// A thread that works for a runtime.
#[must_use = "the thread is at work only as long as the guard lives"]
pub struct AtWork;

/// A poll, from its start to its end.
#[derive(Default)]
pub struct PollGuard {}

/// What the leaves of a poll left behind.
#[derive(Clone, Copy, Debug)]
pub struct PollEnd {
    /// How often the process was woken since the poll before.
    pub wakes: u32,
    /// What it waits for; `None` if it has ended.
    pub waiting: Option<Waiting>,
    /// Whether it was made to yield.
    pub exhausted: bool,
}

impl Scribe {
    /// This thread works with this pen.
    #[inline]
    pub fn at_work(&self, _role: WakeCause) -> AtWork {
        AtWork
    }

    /// The worker moves to another thread.
    #[inline]
    pub fn move_away(&self, _task: u64) {}

    /// It has not moved after all.
    #[inline]
    pub fn move_back(&self) {}

    /// The worker goes on after a pause.
    #[inline]
    pub fn resumed(&self) {}

    /// The worker's clock means nothing until it resumes.
    #[inline]
    pub fn paused(&self) {}

    /// This thread runs the worker from now on.
    #[inline]
    pub fn on_duty(&self) {}

    /// This thread runs the worker no longer.
    #[inline]
    pub fn off_duty(&self) {}

    /// The worker is about to sleep.
    #[inline]
    pub fn parked(&self) {}

    /// The worker has slept.
    #[inline]
    pub fn unparked(&self) {}

    /// The worker took tasks from another one's queue.
    #[inline]
    pub fn stole(&self, _victim: usize, _tasks: usize) {}

    /// Something else that is only counted.
    #[inline]
    pub fn count(&self, _counter: Counter, _number: u64) {}

    /// The process is about to be polled on this thread.
    #[inline]
    pub fn poll_started(
        &self,
        _poll: &mut PollGuard,
        _process: &mut Process<'_>,
        _wake: &WakeStamp,
    ) {
    }

    /// The poll has ended.
    #[inline]
    pub fn poll_ended(&self, _poll: &mut PollGuard, _process: &mut Process<'_>, _end: PollEnd) {}

    /// What was started was no poll, but the drop of a cancelled process.
    #[inline]
    pub fn drop_ended(&self, _poll: &mut PollGuard, _process: &mut Process<'_>) {}

    /// The process has ended.
    #[inline]
    pub fn ended(&self, _process: &mut Process<'_>, _ending: Ending<'_>) -> Leftover {
        Leftover
    }
}
