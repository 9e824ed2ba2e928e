//! What is seen of a runtime from outside while it works: its live tasks, and what its threads did
//! last. Plain values, copied out; whoever has them holds nothing of the runtime.

use std::sync::Arc;

use opentelemetry::{SpanId, TraceId};
use telemetry_rt_clock::{Anchor, Ticks};

use super::kind::Kind;
use crate::record::{Waiting, WakeCause};

/// What a live process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It is ready and waits for a thread.
    Scheduled,
    /// It is being polled, or its function runs.
    Running,
    /// It waits to be woken.
    Idle,
}

impl Activity {
    /// `scheduled`, `running` or `idle`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Activity::Scheduled => "scheduled",
            Activity::Running => "running",
            Activity::Idle => "idle",
        }
    }
}

/// A live process, as it was at one moment. Times are in ticks; [`TaskDump::anchor`] converts them.
///
/// It is read while the process goes on, field by field: the numbers of one process may be one poll
/// apart from each other.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// Its number, as in `task::Id`.
    pub id: u64,
    /// Its name, its type, where it was spawned. `None` before its first poll, if it was spawned
    /// outside of any runtime.
    pub kind: Option<Arc<Kind>>,
    /// What it is doing.
    pub activity: Activity,
    /// When it was spawned.
    pub spawned: Ticks,
    /// Since when it does what it does.
    pub since: Ticks,
    /// How often it was polled.
    pub polls: u32,
    /// How often it was woken.
    pub wakes: u32,
    /// How often another worker polled it than the time before.
    pub migrations: u16,
    /// Ticks during which it was polled, with the poll in progress.
    pub busy: u64,
    /// Ticks during which it was ready and waited, with the wait in progress.
    pub scheduled: u64,
    /// Ticks during which it was idle, with the present, by [`Waiting`].
    pub idle: [u64; Waiting::COUNT],
    /// What it waits for, if it is idle.
    pub waiting: Option<Waiting>,
    /// The worker that polled it last.
    pub worker: Option<u16>,
    /// The task that spawned it.
    pub parent: Option<u64>,
    /// The trace it belongs to, if it has a span or a context with one.
    pub trace_id: Option<TraceId>,
    /// Its own span.
    pub span_id: Option<SpanId>,
}

/// All live processes of a runtime at one moment.
#[derive(Clone, Debug)]
pub struct TaskDump {
    /// When it was taken.
    pub at: Ticks,
    /// Turns ticks into dates and durations.
    pub anchor: Anchor,
    /// In the order they were spawned.
    pub tasks: Vec<TaskView>,
}

/// What happened on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A poll began, or a function on the blocking pool.
    PollStarted {
        /// The process that is polled.
        task: u64,
        /// Its [`Kind`], by number.
        kind: u32,
        /// Who had made it ready.
        cause: WakeCause,
    },
    /// It ended.
    PollEnded {
        /// The process that was polled.
        task: u64,
        /// What it waits for now; `None` if it has ended.
        waiting: Option<Waiting>,
    },
    /// This thread made a process ready.
    Woke {
        /// The process.
        task: u64,
    },
    /// The worker found nothing to do, and waits.
    Parked,
    /// It goes on.
    Unparked,
    /// The worker took tasks from another one's queue.
    Stole {
        /// The one it took them from.
        victim: u16,
        /// How many.
        tasks: u32,
    },
}

/// A moment, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightEvent {
    /// When.
    pub at: Ticks,
    /// What.
    pub moment: Moment,
}

/// What a thread is to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// The worker of this number.
    Worker(u16),
    /// A thread that polls the future of a `block_on`.
    BlockOn,
    /// A thread of the blocking pool.
    Blocking,
}

/// What one thread did last, oldest first.
#[derive(Clone, Debug)]
pub struct Lane {
    /// What the thread is.
    pub kind: LaneKind,
    /// Its name.
    pub name: Arc<str>,
    /// The last moments. The first of them may be an end whose start was overwritten.
    pub events: Vec<FlightEvent>,
    /// How many moments there were before these.
    pub overwritten: u64,
}

/// What all threads of a runtime did last.
#[derive(Clone, Debug)]
pub struct FlightRecord {
    /// When it was taken.
    pub at: Ticks,
    /// Turns ticks into dates and durations.
    pub anchor: Anchor,
    /// Workers first, by their number.
    pub lanes: Vec<Lane>,
    /// The kinds that the moments name by number.
    pub kinds: Vec<Arc<Kind>>,
}
