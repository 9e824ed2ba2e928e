//! The memory of a task.

use std::alloc::Layout;
use std::future::Future;
use std::ptr::NonNull;
use std::task::Waker;

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{
    Account, Process, ProcessType, TaskDetail, TaskRecord, TaskScope, TaskView, Viewer, WakeStamp,
};

use super::harness::{self, Pen};
use super::raw::{Notified, TaskRef};
use super::state::State;
use super::{Id, JoinError, JoinHandle};
use crate::memory;
use crate::sync::UnsafeCell;

/// Where ready tasks go. A scheduler is held by each of its tasks, so it is a cheap handle.
pub(crate) trait Schedule: Sized + 'static {
    /// What its tasks are to the recorder.
    const PROCESS_TYPE: ProcessType = ProcessType::Task;

    /// The task was woken and is to be polled.
    fn schedule(&self, task: Notified);

    /// The task was woken during its own poll: others come first.
    fn schedule_again(&self, task: Notified);

    /// The task is complete and leaves the registry. Nothing to do for a task without a slot.
    fn release(&self, slot: Slot);

    /// A poll is about to start. A task that was made where there was no recorder gets its account
    /// now.
    #[inline]
    fn adopt(&self, _process: &mut Process<'_>) {}
}

/// The place of a task in its scheduler's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u64);

impl Slot {
    /// The slot of tasks that are in no registry.
    pub(crate) const NONE: Slot = Slot(u64::MAX);

    #[inline]
    pub(crate) fn new(shard: usize, key: usize) -> Slot {
        Slot((shard as u64) << 32 | key as u64)
    }

    #[inline]
    pub(crate) fn shard(self) -> usize {
        (self.0 >> 32) as usize
    }

    #[inline]
    pub(crate) fn key(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

/// The part of the cell whose type does not depend on the future.
#[repr(C)]
pub(super) struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    pub(super) ready: WakeStamp,
}

/// What can be done to a task by someone who does not know its type.
pub(super) struct Vtable {
    pub(super) poll: unsafe fn(NonNull<Header>, &Pen<'_>),
    pub(super) schedule: unsafe fn(NonNull<Header>),
    pub(super) free: unsafe fn(NonNull<Header>),
    pub(super) id: unsafe fn(NonNull<Header>) -> Id,
    pub(super) set_slot: unsafe fn(NonNull<Header>, Slot),
    /// Writes a `Poll<Result<T, JoinError>>` to the place given, of the task's output type `T`.
    pub(super) try_read_output: unsafe fn(NonNull<Header>, *mut (), &Waker),
    pub(super) drop_join_handle: unsafe fn(NonNull<Header>),
    pub(super) view: unsafe fn(NonNull<Header>, &Viewer) -> TaskView,
    /// What somebody who awaits the task waits for.
    pub(super) awaited_as: Waiting,
}

/// The whole cell. `repr(C)` fixes the order, so that a pointer to the cell is one to its header;
/// the alignment is that of a cache line.
#[repr(C, align(64))]
pub(super) struct Cell<F: Future, S> {
    pub(super) header: Header,
    pub(super) scheduler: S,
    pub(super) record: TaskRecord,
    pub(super) scope: UnsafeCell<TaskScope>,
    pub(super) id: Id,
    pub(super) slot: UnsafeCell<Slot>,
    pub(super) detail: TaskDetail,
    pub(super) stage: UnsafeCell<Stage<F>>,
    pub(super) join_waker: UnsafeCell<Option<Waker>>,
}

/// What the future has become.
pub(super) enum Stage<F: Future> {
    Running(F),
    Finished(Result<F::Output, JoinError>),
    Consumed,
}

/// A task that is about to be spawned.
pub(crate) struct Task<F, S> {
    pub(crate) future: F,
    pub(crate) scheduler: S,
    pub(crate) id: Id,
    pub(crate) account: Account,
    pub(crate) awaited_as: Waiting,
}

/// A task that was spawned: the right to poll it for the first time, and its handle.
pub(crate) struct Spawned<T> {
    pub(crate) notified: Notified,
    pub(crate) join: JoinHandle<T>,
}

impl<F, S> Task<F, S>
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule,
{
    /// Makes the cell: the one allocation of a task.
    ///
    /// The caller vouches for the threads: if future, output or scheduler are not `Send`, the
    /// `Notified` may only be run on the thread that made it.
    #[inline]
    pub(crate) fn into_cell(self) -> Spawned<F::Output> {
        let vtable = match self.awaited_as {
            Waiting::Blocking => harness::vtable_blocking::<F, S>(),
            _ => harness::vtable_join::<F, S>(),
        };
        let cell = Cell {
            header: Header {
                state: State::new(),
                vtable,
                ready: self.account.first_wake(),
            },
            scheduler: self.scheduler,
            record: self.account.record,
            scope: UnsafeCell::new(self.account.scope),
            id: self.id,
            slot: UnsafeCell::new(Slot::NONE),
            detail: self.account.detail,
            stage: UnsafeCell::new(Stage::Running(self.future)),
            join_waker: UnsafeCell::new(None),
        };
        let place = memory::allocate(Layout::new::<Cell<F, S>>()).cast::<Cell<F, S>>();
        // SAFETY: the place is of the size and alignment of a cell, and nobody else has it.
        unsafe { place.write(cell) };
        let header = place.cast::<Header>();
        // SAFETY: rule 1: the state begins with one reference for the life, which no handle owns,
        // and one for the join handle, which takes it over here.
        let join = unsafe { TaskRef::from_raw(header) };
        // SAFETY: rule 2: the state begins with one wake, which makes this the right to poll.
        let notified = unsafe { Notified::from_raw(header) };
        Spawned {
            notified,
            join: JoinHandle::new(join),
        }
    }
}

/// Sizes that the design promises; a field too many is noticed here.
#[cfg(all(test, target_pointer_width = "64", not(loom)))]
mod tests {
    use super::*;
    use std::mem::offset_of;

    type Probe = Cell<std::future::Ready<()>, std::sync::Arc<()>>;

    #[test]
    fn what_each_poll_touches_is_two_cache_lines_when_recording_and_less_when_not() {
        let header = offset_of!(Probe, stage);
        if cfg!(feature = "telemetry") {
            assert_eq!(offset_of!(Probe, record), 32);
            assert_eq!(offset_of!(Probe, detail), 128);
            assert_eq!(header, 200);
        } else {
            assert_eq!(header, 40);
        }
    }
}
