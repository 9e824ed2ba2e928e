//! The recording twin. See the module above for the moments and the ledger.
//!
//! Who writes what, and who reads it:
//!
//! 1. [`TaskRecord`] and [`TaskDetail`] are written by the thread that has the right to poll their
//!    task, by no other. Dumps read them at any time; so they are relaxed atomics. A [`TaskScope`] is
//!    touched by the thread with that right only.
//! 2. A [`WakeStamp`] is written by the thread whose wake gave somebody the right to poll, by the
//!    poll that answers it, and, while that poll goes on, by the first who wakes the task again.
//! 3. Each worker has a [`Shard`](shard::Shard) of its own, which only it writes, and so has the pen of
//!    a `block_on` ([`guests`]); all other threads (blocking pool, a thread that drops a runtime) share
//!    one more, written by read-modify-write. The drain reads all of them at any time.
//! 4. A [lane](lane) of the flight recorder is written by the thread that has its pen ([`Scribe`]) at
//!    work: a worker's lane goes with the worker when it moves to another thread, and the thread it
//!    leaves forgets it first.
//! 5. What a thread knows of itself ([`thread`]) and the spans that are open on it ([`scopes`]) are
//!    thread-local.
//! 6. [`Kind`]s are interned under a lock when a process of a new kind is spawned, and found
//!    without one afterwards.

mod account;
mod birth;
mod ending;
mod flight;
mod guests;
mod health;
mod histogram;
mod ids;
mod kind;
mod lane;
mod name;
mod panics;
mod policy;
mod poll_log;
mod recorder;
mod ring;
mod scopes;
mod scribe;
mod settings;
mod shard;
mod span;
mod sync;
mod task;
mod thread;
mod tls;
mod view;
mod work_clock;

pub use account::{Account, Process};
pub use ending::Leftover;
pub use flight::{RunningPoll, Viewer};
pub use health::{HealthSnapshot, Observed, ShardHealth};
pub use histogram::{BOUNDS_NANOS, Distribution};
pub use kind::{Kind, Meta};
pub use name::NameList;
pub use policy::{Decision, Rule, SpanPolicy};
pub use poll_log::{PollDetail, PollLog, PollNote};
pub use recorder::{Config, ProcessPoint, Recorder, Snapshot};
pub use scopes::{OpenSpan, Outer, Scopes};
pub use scribe::{PollEnd, PollGuard, Scribe};
pub use settings::Treatment;
pub use span::{DroppedParts, SpanExtras, SpanRecord, Spawner};
pub use task::{TaskDetail, TaskRecord, TaskScope, WakeStamp};
pub use thread::AtWork;
pub use tls::is_alive as contexts_are_alive;
pub use view::{Activity, FlightEvent, FlightRecord, Lane, LaneKind, Moment, TaskDump, TaskView};
