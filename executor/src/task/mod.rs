//! A task: a future in one allocation with everything the runtime knows about it.
//!
//! # The cell
//!
//! ```text
//!        +-------+--------+-------+-----------+------------------------+
//! line 0 | state | vtable | ready | scheduler | ledger: last end, busy,|  touched by every wake
//!        |       |        | stamp |           | scheduled, polls, wakes|  and poll
//!        +-------+--------+-------+-----------+-------+----+-----------+
//! line 1 | spawn stamp, kind, last worker | context   | id | slot      |  touched by every poll
//!        +-------------------------------------------+----+-----------+
//! line 2 | detail: idleness by reason, ids, what it waits for         |  written at both ends of a
//!        +------------------------------------------------------------+  poll, a byte; else seldom
//!        | stage: the future, then its output                         |
//!        | join waker                                                 |
//!        +------------------------------------------------------------+
//! ```
//!
//! Without the feature `telemetry` the stamp, the ledger, the context and the detail have no size.
//!
//! # Who may touch what
//!
//! The SAFETY comments of this module cite these rules.
//!
//! 1. **Memory.** The cell is freed by whoever releases the last reference, at once. Each handle
//!    (`TaskRef`) owns one reference; the life of the task, from spawn to completion, is one.
//!    A [`Notified`] owns none: it exists only while the task lives.
//! 2. **Stage and context** belong to whoever has the right to poll, which is one thread at a time
//!    (see `state.rs`). A `Notified` is that right as a value. Completion ends the right: from
//!    then on the stage holds the output and belongs to the join handle, or, if that was gone
//!    before, to the completing thread.
//! 3. **Join waker.** While `JOIN_WAKER` is clear it belongs to the join handle, or, after
//!    completion without interest, to nobody. While it is set and the task is not complete, all
//!    may read it and nobody may write. After completion the completing thread may read it until
//!    it clears the flag; then it belongs to the join handle, or, if that is gone, to the
//!    completing thread, which drops it.
//! 4. **State, vtable, scheduler, id, slot, ledger, detail** do not change, or only by atomic
//!    operations: all may read them. Ledger and detail are written with the right to poll only.
//! 5. **After a poll that ends `Idle`, and after the life's reference is released,** the cell may
//!    be polled or freed by somebody else at any moment: nothing of it is touched.
//! 6. **User code** (poll, drop, wakers) runs with no lock held, and its panics are caught.
//!
//! # The files
//!
//! `state.rs` has the transitions, `cell.rs` the memory, `harness.rs` what happens in a poll,
//! `raw.rs` the untyped handles, `join.rs` and `abort.rs` the ones for users.

mod abort;
mod cell;
mod error;
mod harness;
mod id;
mod join;
mod observe;
mod raw;
mod state;

pub use abort::AbortHandle;
pub use error::JoinError;
pub use id::{Id, id, try_id};
pub use join::JoinHandle;

pub(crate) use cell::{Schedule, Slot, Spawned, Task};
pub(crate) use error::panic_message;
pub(crate) use harness::Pen;
pub(crate) use observe::{waiting_of, waking_reactor};
pub(crate) use raw::{LiveTask, Notified};

#[cfg(fuzzing)]
pub(crate) mod fuzz;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_models;
