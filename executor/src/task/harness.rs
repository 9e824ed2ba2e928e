//! What happens to a task: a poll, completion, the reading of its output, the end of its memory.
//!
//! All functions here know the type of the future; the vtable is made of them.

use std::alloc::Layout;
use std::any::Any;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use telemetry_rt_reactor::leaf::{self, Waiting};
use telemetry_rt_telemetry::record::{
    Ending, PollEnd, PollGuard, Process, Scribe, TaskView, Viewer, outcome_of,
};

use super::cell::{Cell, Header, Schedule, Slot, Stage, Vtable};
use super::error::panic_message;
use super::observe::waiting_of;
use super::raw::{Notified, borrowed_waker};
use super::state::{Pending, Polling};
use super::{Id, JoinError};
use crate::memory;
use crate::quietly::quietly;
use crate::runtime::context;
use crate::scheduler::WorkerThread;

/// With what a thread records. A worker's scribe is in its core, which may be handed to another
/// thread while the task blocks in place; so it is looked up at each moment.
pub(crate) enum Pen<'a> {
    /// The thread is a worker.
    Worker(&'a WorkerThread),
    /// The thread has a scribe of its own.
    Own(&'a Scribe),
}

impl Pen<'_> {
    #[inline]
    fn write<R>(&self, f: impl FnOnce(&Scribe) -> R) -> R {
        match self {
            Pen::Worker(worker) => worker.with_scribe(f),
            Pen::Own(scribe) => f(scribe),
        }
    }

    /// Wakes whoever awaits a task that is complete.
    fn wake_joiner(&self, waker: &Waker) {
        let wake = || quietly(|| waker.wake_by_ref());
        match self {
            Pen::Worker(worker) => worker.waking_joiner(wake),
            Pen::Own(_) => wake(),
        }
    }
}

pub(super) fn vtable_join<F: Future + 'static, S: Schedule>() -> &'static Vtable {
    const { &vtable::<F, S>(Waiting::Join) }
}

pub(super) fn vtable_blocking<F: Future + 'static, S: Schedule>() -> &'static Vtable {
    const { &vtable::<F, S>(Waiting::Blocking) }
}

const fn vtable<F: Future + 'static, S: Schedule>(awaited_as: Waiting) -> Vtable {
    Vtable {
        poll: poll::<F, S>,
        schedule: schedule::<F, S>,
        free: free::<F, S>,
        id: id::<F, S>,
        set_slot: set_slot::<F, S>,
        try_read_output: try_read_output::<F, S>,
        drop_join_handle: drop_join_handle::<F, S>,
        view: view::<F, S>,
        awaited_as,
    }
}

/// # Safety
///
/// `header` is that of a live cell of these types.
unsafe fn cell_of<'a, F: Future, S>(header: NonNull<Header>) -> &'a Cell<F, S> {
    // SAFETY: the cell begins with its header (`repr(C)`), and lives as the caller promises.
    unsafe { header.cast().as_ref() }
}

// ----- polling -----

/// # Safety
///
/// The caller has the right to poll this task and gives it up.
unsafe fn poll<F: Future + 'static, S: Schedule>(header: NonNull<Header>, pen: &Pen<'_>) {
    // SAFETY: rule 1: a task that may be polled lives.
    let cell = unsafe { cell_of::<F, S>(header) };
    let mut turn = Turn::new(cell, pen);
    turn.start();
    let end = match turn.polling.cancelled {
        true => turn.drop_future(),
        // SAFETY: the cell lives until the poll is over, and the waker is not dropped.
        false => turn.poll_future(&*unsafe { borrowed_waker(header) }),
    };
    match end {
        None => turn.pend(header),
        Some(result) => turn.complete(header, result),
    }
}

/// One turn of a task: the time in which this thread has the right to poll it. It is not moved, for
/// the sake of the [`PollGuard`].
struct Turn<'a, F: Future, S> {
    cell: &'a Cell<F, S>,
    pen: &'a Pen<'a>,
    polling: Polling,
    poll: PollGuard,
    outer: Option<leaf::Outer>,
    outer_task: Option<Id>,
}

impl<'a, F: Future + 'static, S: Schedule> Turn<'a, F, S> {
    #[inline]
    fn new(cell: &'a Cell<F, S>, pen: &'a Pen<'a>) -> Self {
        Turn {
            cell,
            pen,
            polling: cell.header.state.start_poll(),
            poll: PollGuard::default(),
            outer: None,
            outer_task: None,
        }
    }

    #[inline]
    fn start(&mut self) {
        let (cell, pen, poll) = (self.cell, self.pen, &mut self.poll);
        with_process(cell, |process| {
            cell.scheduler.adopt(process);
            let ready = &cell.header.ready;
            pen.write(|scribe| scribe.poll_started(poll, process, ready));
            ready.answered();
        });
        self.outer = Some(leaf::begin_poll());
        self.outer_task = context::set_task_id(Some(cell.id));
    }

    /// Polls the future. `None` if it is pending.
    #[inline]
    fn poll_future(&self, waker: &Waker) -> Option<Result<F::Output, JoinError>> {
        let mut context = Context::from_waker(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let output = self.with_stage(|stage| match stage {
                // SAFETY: the future is in the heap and is dropped in its place; nothing moves it.
                Stage::Running(future) => unsafe { Pin::new_unchecked(future) }.poll(&mut context),
                Stage::Finished(_) | Stage::Consumed => unreachable!("polled after completion"),
            });
            // In here, so that a panic of the future's drop is that of the task.
            output.map(|output| {
                self.consume_stage();
                output
            })
        }));
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(output)) => Some(Ok(output)),
            Err(payload) => Some(Err(self.panicked(payload))),
        }
    }

    /// Drops the future of a task that was cancelled.
    #[cold]
    fn drop_future(&self) -> Option<Result<F::Output, JoinError>> {
        let dropped = catch_unwind(AssertUnwindSafe(|| self.consume_stage()));
        Some(Err(match dropped {
            Ok(()) => JoinError::cancelled(self.cell.id),
            Err(payload) => JoinError::panicked(self.cell.id, payload),
        }))
    }

    #[cold]
    fn panicked(&self, payload: Box<dyn Any + Send>) -> JoinError {
        // The future is dropped as a matter of course; what it says then is not the first panic.
        quietly(|| self.consume_stage());
        JoinError::panicked(self.cell.id, payload)
    }

    fn with_stage<R>(&self, f: impl FnOnce(&mut Stage<F>) -> R) -> R {
        self.cell.stage.with_mut(|stage| {
            // SAFETY: rule 2: a turn is the right to poll.
            f(unsafe { &mut *stage })
        })
    }

    /// Drops the future where it is. If that panics, the stage is consumed all the same.
    fn consume_stage(&self) {
        self.with_stage(|stage| {
            struct Consume<'a, F: Future>(&'a mut Stage<F>);
            impl<F: Future> Drop for Consume<'_, F> {
                fn drop(&mut self) {
                    // SAFETY: the old value has been dropped, or has panicked while it was: it
                    // must not be dropped again, so it is overwritten without a drop.
                    unsafe { std::ptr::write(self.0, Stage::Consumed) };
                }
            }
            let consume = Consume(stage);
            // SAFETY: the stage is valid and is overwritten, whatever happens, by the guard.
            unsafe { std::ptr::drop_in_place(&raw mut *consume.0) };
        });
    }

    /// Leaves the task to whoever wakes it.
    #[inline]
    fn pend(&mut self, header: NonNull<Header>) {
        let cell = self.cell;
        let polling = self.polling;
        self.leave(Left::Pending);
        match cell.header.state.end_poll(polling) {
            // Rule 5: nothing of the cell may be touched from here on.
            Pending::Idle => {}
            Pending::Again => {
                // Once it is queued another worker may end the task and free the cell, so the
                // scheduler is used by a copy on this stack. What it points to is kept alive by
                // the thread, which is one of the scheduler's.
                // SAFETY: this thread still has the right to poll, so the cell lives; and the
                // copy is never dropped.
                let scheduler = ManuallyDrop::new(unsafe { ptr::read(&raw const cell.scheduler) });
                // SAFETY: the transition says that this thread keeps the right to poll.
                scheduler.schedule_again(unsafe { Notified::from_raw(header) });
            }
        }
    }

    /// Stores the result, tells the joiner, and ends the life of the task.
    fn complete(&mut self, header: NonNull<Header>, result: Result<F::Output, JoinError>) {
        let (cell, pen) = (self.cell, self.pen);
        let result = match result {
            Ok(output) => {
                self.leave_for_good(Ending::Returned(outcome_of(&output)));
                Ok(output)
            }
            Err(error) => Err(self.leave_with(error)),
        };
        cell.stage.with_mut(|stage| {
            // SAFETY: rule 2: this thread has the right to poll until the transition below. What
            // was there is `Consumed`, which has nothing to drop.
            unsafe { std::ptr::write(stage, Stage::Finished(result)) };
        });
        publish(cell, pen);
        // SAFETY: rule 4. The slot was written before the first poll.
        let slot = cell.slot.with(|slot| unsafe { *slot });
        cell.scheduler.release(slot);
        if cell.header.state.release() {
            // SAFETY: rule 1: that was the last reference.
            unsafe { free::<F, S>(header) };
        }
    }

    fn leave_with(&mut self, error: JoinError) -> JoinError {
        if error.is_cancelled() {
            self.leave_for_good(Ending::Cancelled);
            return error;
        }
        let id = error.id();
        let payload = error.into_panic();
        let message = panic_message(&*payload).unwrap_or("Box<dyn Any>");
        self.leave_for_good(Ending::Panicked(message));
        JoinError::panicked(id, payload)
    }

    /// Ends the poll, and the account of the task with it.
    fn leave_for_good(&mut self, ending: Ending<'_>) {
        let (cell, pen) = (self.cell, self.pen);
        self.leave(Left::Done);
        let left = with_process(cell, |process| {
            pen.write(|scribe| scribe.ended(process, ending))
        });
        // What users have put into the context is dropped here, with nothing borrowed.
        quietly(|| drop(left));
    }

    /// Ends the poll: closes the account of it, and gives the thread back its own state.
    #[inline]
    fn leave(&mut self, left: Left) {
        context::set_task_id(self.outer_task);
        let of_leaves = self.outer.take().map(leaf::end_poll).unwrap_or_default();
        let end = PollEnd {
            wakes: self.polling.wakes,
            waiting: matches!(left, Left::Pending).then(|| waiting_of(of_leaves)),
            exhausted: of_leaves.exhausted,
        };
        let (pen, poll, cancelled) = (self.pen, &mut self.poll, self.polling.cancelled);
        with_process(self.cell, |process| {
            pen.write(|scribe| match cancelled {
                true => scribe.drop_ended(poll, process),
                false => scribe.poll_ended(poll, process, end),
            });
        });
    }
}

/// How a turn ends.
#[derive(Clone, Copy)]
enum Left {
    Pending,
    Done,
}

/// To be called with the right to poll only.
#[inline]
fn with_process<F: Future, S: Schedule, R>(
    cell: &Cell<F, S>,
    f: impl FnOnce(&mut Process<'_>) -> R,
) -> R {
    cell.scope.with_mut(|scope| {
        f(&mut Process {
            id: cell.id.number(),
            process_type: S::PROCESS_TYPE,
            record: &cell.record,
            detail: &cell.detail,
            // SAFETY: rule 2: the callers have the right to poll, and do not nest this.
            scope: unsafe { &mut *scope },
        })
    })
}

/// Publishes that the task is complete; wakes the joiner, or drops what it would have read.
fn publish<F: Future + 'static, S: Schedule>(cell: &Cell<F, S>, pen: &Pen<'_>) {
    let completed = cell.header.state.complete();
    if !completed.join_interest {
        // SAFETY: rule 2: nobody is interested, so the output belongs to this thread.
        unsafe { drop_output(cell) };
    } else if completed.join_waker {
        cell.join_waker.with(|waker| {
            // SAFETY: rule 3: the flag is set and the task complete; this thread may read.
            if let Some(waker) = unsafe { &*waker } {
                pen.wake_joiner(waker);
            }
        });
        if cell.header.state.join_waker_woken() {
            // SAFETY: rule 3: the flag is clear, and the join handle is gone.
            unsafe { drop_join_waker(cell) };
        }
    }
}

// ----- the other functions of the vtable -----

/// # Safety
///
/// The caller has the right to poll this task and gives it up.
unsafe fn schedule<F: Future + 'static, S: Schedule>(header: NonNull<Header>) {
    // SAFETY: rule 1: a task that may be polled lives.
    let cell = unsafe { cell_of::<F, S>(header) };
    // SAFETY: the right goes into the value.
    cell.scheduler
        .schedule(unsafe { Notified::from_raw(header) });
}

/// # Safety
///
/// The caller has released the last reference.
unsafe fn free<F: Future + 'static, S: Schedule>(header: NonNull<Header>) {
    let cell = header.cast::<Cell<F, S>>();
    // The output of a task whose join handle went away was dropped then; what is left is `Consumed`
    // and wakers that nobody wakes. Their drop is user code all the same.
    // SAFETY: the cell is whole, and nobody has a reference (rule 1); it is dropped once.
    quietly(|| unsafe { cell.drop_in_place() });
    // SAFETY: the memory is from `memory::allocate`, with this layout.
    unsafe { memory::free(cell.cast(), Layout::new::<Cell<F, S>>()) };
}

/// # Safety
///
/// `header` is that of a live cell of these types.
unsafe fn id<F: Future + 'static, S: Schedule>(header: NonNull<Header>) -> Id {
    // SAFETY: the caller's promise.
    unsafe { cell_of::<F, S>(header) }.id
}

/// # Safety
///
/// `header` is that of a live cell of these types.
unsafe fn view<F: Future + 'static, S: Schedule>(
    header: NonNull<Header>,
    viewer: &Viewer,
) -> TaskView {
    // SAFETY: the caller's promise.
    let cell = unsafe { cell_of::<F, S>(header) };
    let is_awake = cell.header.state.is_awake();
    viewer.view(
        cell.id.number(),
        is_awake,
        (&cell.record, &cell.detail, &cell.header.ready),
    )
}

/// # Safety
///
/// The caller has the right to poll this task, which was not polled yet.
unsafe fn set_slot<F: Future + 'static, S: Schedule>(header: NonNull<Header>, slot: Slot) {
    // SAFETY: rule 1: a task that may be polled lives.
    let cell = unsafe { cell_of::<F, S>(header) };
    cell.slot.with_mut(|place| {
        // SAFETY: rule 4: before the first poll nobody but the caller looks at the slot.
        unsafe { *place = slot };
    });
}

/// # Safety
///
/// `into` points to a `Poll<Result<F::Output, JoinError>>`, and the caller is the join handle.
unsafe fn try_read_output<F: Future + 'static, S: Schedule>(
    header: NonNull<Header>,
    into: *mut (),
    waker: &Waker,
) {
    // SAFETY: rule 1: the join handle owns a reference.
    let cell = unsafe { cell_of::<F, S>(header) };
    if !ready_or_register(cell, waker) {
        return;
    }
    let stage = cell.stage.with_mut(|stage| {
        // SAFETY: rule 2: complete, so the stage belongs to the join handle, the caller.
        std::mem::replace(unsafe { &mut *stage }, Stage::Consumed)
    });
    let Stage::Finished(result) = stage else {
        panic!("JoinHandle polled after completion");
    };
    // SAFETY: the caller promises that the place is of this type and may be written.
    unsafe { *into.cast() = Poll::Ready(result) };
}

/// Whether the output is there; if not, `waker` will be woken when it is.
fn ready_or_register<F: Future, S>(cell: &Cell<F, S>, waker: &Waker) -> bool {
    let state = &cell.header.state;
    if state.is_complete() {
        return true;
    }
    if state.has_join_waker() {
        let same = cell.join_waker.with(|placed| {
            // SAFETY: rule 3: the flag is set, so all may read and nobody writes.
            unsafe { &*placed }
                .as_ref()
                .is_some_and(|placed| placed.will_wake(waker))
        });
        if same {
            return false;
        }
        if state.take_back_join_waker().is_err() {
            return true;
        }
    }
    let mine = Some(waker.clone());
    // SAFETY: rule 3: the flag is clear and there is a join handle, the caller.
    let old = cell
        .join_waker
        .with_mut(|place| std::mem::replace(unsafe { &mut *place }, mine));
    drop(old);
    match state.publish_join_waker() {
        Ok(()) => false,
        Err(_) => {
            // SAFETY: rule 3: the flag is still clear, so the waker is the join handle's.
            unsafe { drop_join_waker(cell) };
            true
        }
    }
}

/// # Safety
///
/// The caller is the join handle, which is going away; its reference is still there.
unsafe fn drop_join_handle<F: Future + 'static, S: Schedule>(header: NonNull<Header>) {
    // SAFETY: rule 1: the join handle owns a reference.
    let cell = unsafe { cell_of::<F, S>(header) };
    let dropped = cell.header.state.drop_join_handle();
    if dropped.output {
        // SAFETY: rule 2: complete, so the output belongs to the join handle.
        unsafe { drop_output(cell) };
    }
    if dropped.waker {
        // SAFETY: rule 3: the flag is clear, so the waker belongs to the join handle.
        unsafe { drop_join_waker(cell) };
    }
}

/// # Safety
///
/// The task is complete and the output belongs to the caller (rule 2).
unsafe fn drop_output<F: Future, S>(cell: &Cell<F, S>) {
    let stage = cell.stage.with_mut(|stage| {
        // SAFETY: the caller's promise.
        std::mem::replace(unsafe { &mut *stage }, Stage::Consumed)
    });
    let outer = context::set_task_id(Some(cell.id));
    // Nobody is there to hear of a panic in the drop of an output that nobody wanted.
    quietly(|| drop(stage));
    context::set_task_id(outer);
}

/// # Safety
///
/// The join waker belongs to the caller (rule 3).
unsafe fn drop_join_waker<F: Future, S>(cell: &Cell<F, S>) {
    let waker = cell.join_waker.with_mut(|waker| {
        // SAFETY: the caller's promise.
        unsafe { &mut *waker }.take()
    });
    quietly(|| drop(waker));
}
