//! The recording twin. See the module above for the moments and the ledger.
//!
//! Who writes what:
//!
//! 1. A [`TaskRecord`] is touched by the thread that has the right to poll its task, by no other.
//! 2. A [`WakeStamp`] may be written by any thread that holds a waker.
//! 3. Each worker has a [`Shard`](shard::Shard) of its own, which only it writes; all other
//!    threads (blocking pool, `block_on`, a thread that drops a runtime) share one more, written
//!    by read-modify-write. The drain reads all of them at any time.
//! 4. [`Kind`]s are interned under a lock when a process of a new kind is spawned, and found
//!    without one afterwards.

mod histogram;
mod ids;
mod kind;
mod name;
mod panics;
mod recorder;
mod ring;
mod scribe;
mod shard;
mod span;
mod sync;
mod task;
mod tls;
mod view;

pub use histogram::{BOUNDS_NANOS, Distribution};
pub use kind::{Kind, Meta};
pub use name::NameList;
pub use recorder::{Config, ProcessPoint, Recorder, Snapshot};
pub use scribe::{Leftover, PollGuard, Scribe};
pub use span::{Decision, DroppedParts, SpanExtras, SpanPolicy, SpanRecord};
pub use task::{TaskRecord, WakeStamp};
pub use tls::is_alive as contexts_are_alive;
pub use view::{
    Activity, FlightEvent, FlightRecord, Lane, LaneKind, Moment, TaskDump, TaskView,
};
