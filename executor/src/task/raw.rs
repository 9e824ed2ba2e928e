//! Handles to a task for those who do not know its type: references, the right to poll, wakers.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{TaskView, Viewer};

use super::Id;
use super::cell::{Header, Slot};
use super::harness::Pen;
use super::observe::waking_reactor;
use super::state::{State, Wake};

/// A counted reference to a task.
#[derive(Debug)]
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: what a reference reaches is shared by rule 4, or guarded by rules 2 and 3; the future
// itself is only reached through a `Notified`.
unsafe impl Send for TaskRef {}
// SAFETY: as above; all methods that take `&self` work on atomics.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// # Safety
    ///
    /// The caller hands over one reference that it owns (rule 1).
    #[inline]
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> TaskRef {
        TaskRef(header)
    }

    #[inline]
    pub(super) fn pointer(&self) -> NonNull<Header> {
        self.0
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: rule 1: the reference that this owns keeps the cell alive.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(super) fn state(&self) -> &State {
        &self.header().state
    }

    #[inline]
    pub(crate) fn id(&self) -> Id {
        // SAFETY: rule 4, and the pointer is that of a live cell.
        unsafe { (self.header().vtable.id)(self.0) }
    }

    #[inline]
    pub(crate) fn awaited_as(&self) -> Waiting {
        self.header().vtable.awaited_as
    }

    /// Asks for the task to be dropped at its next turn.
    pub(crate) fn cancel(&self) {
        match self.state().cancel() {
            // SAFETY: the transition has just given this thread the right to poll.
            Wake::Schedule => unsafe { schedule(self.0) },
            // SAFETY: rule 1: this reference keeps the task alive.
            Wake::Nothing => unsafe { note_further_wake(self.0) },
        }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        self.state().retain();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        if self.state().release() {
            let free = self.header().vtable.free;
            // SAFETY: rule 1: that was the last reference.
            unsafe { free(self.0) };
        }
    }
}

/// The right to poll a task, as a value. It must be run: dropping it would forget the task.
#[must_use = "a task that is notified and not run is never heard of again"]
#[derive(Debug)]
pub(crate) struct Notified(NonNull<Header>);

// SAFETY: it is a pointer; running it on another thread is what schedulers are for. A scheduler
// of futures that are not `Send` runs it on the thread they belong to (see `local`).
unsafe impl Send for Notified {}

impl Notified {
    /// # Safety
    ///
    /// The caller has got the right to poll from a transition of the state, and gives it up.
    #[inline]
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> Notified {
        Notified(header)
    }

    /// Polls the task once. `pen` is that of this thread.
    #[inline]
    pub(crate) fn run(self, pen: &Pen<'_>) {
        // SAFETY: rule 2: this value is the right to poll; the life's reference, which is there
        // until the task completes, keeps the cell alive.
        let poll = unsafe { self.0.as_ref() }.vtable.poll;
        // SAFETY: as above; the pointer is that of the cell that the vtable belongs to.
        unsafe { poll(self.0, pen) };
    }

    /// Drops the task instead of polling it.
    pub(crate) fn run_cancelled(self, pen: &Pen<'_>) {
        // SAFETY: as in `run`.
        let state = unsafe { &self.0.as_ref().state };
        let wake = state.cancel();
        debug_assert_eq!(wake, Wake::Nothing, "this has the right to poll already");
        self.run(pen);
    }

    /// A pointer for a registry of live tasks.
    #[inline]
    pub(crate) fn live(&self) -> LiveTask {
        LiveTask(self.0)
    }

    /// Says where the task is registered. To be called once, before the first poll.
    #[inline]
    pub(crate) fn set_slot(&self, slot: Slot) {
        // SAFETY: rule 2: this value is the right to poll, so the task lives.
        let set_slot = unsafe { self.0.as_ref() }.vtable.set_slot;
        // SAFETY: as above, and the caller says that the task was not polled before.
        unsafe { set_slot(self.0, slot) };
    }
}

/// A task in a registry. It owns no reference: the task leaves the registry before the reference
/// of its life is released, so what is found there under the registry's lock is alive.
#[derive(Debug)]
pub(crate) struct LiveTask(NonNull<Header>);

// SAFETY: it is a pointer, read under the registry's lock only.
unsafe impl Send for LiveTask {}

impl LiveTask {
    /// What is to be seen of the task.
    ///
    /// # Safety
    ///
    /// The task is in its registry, whose lock the caller holds.
    pub(crate) unsafe fn view(&self, viewer: &Viewer) -> TaskView {
        // SAFETY: the caller says that the task is registered, so it is alive.
        let view = unsafe { self.0.as_ref() }.vtable.view;
        // SAFETY: as above; the pointer is that of the cell that the vtable belongs to.
        unsafe { view(self.0, viewer) }
    }

    /// Asks for the task to be dropped. `Some` if it was idle: the caller must run it.
    ///
    /// # Safety
    ///
    /// The task is in its registry, whose lock the caller holds.
    pub(crate) unsafe fn cancel(&self) -> Option<Notified> {
        // SAFETY: the caller says that the task is registered, so it is alive.
        let task = unsafe { self.0.as_ref() };
        match task.state.cancel() {
            Wake::Schedule => {
                // SAFETY: as above.
                unsafe { note_wake(self.0) };
                Some(Notified(self.0))
            }
            Wake::Nothing => None,
        }
    }
}

/// # Safety
///
/// The caller has got the right to poll from a transition of the state, and gives it up.
#[inline]
unsafe fn schedule(header: NonNull<Header>) {
    // SAFETY: rule 1: whoever has the right to poll knows that the task lives.
    let task = unsafe { header.as_ref() };
    // SAFETY: as above.
    unsafe { note_wake(header) };
    // SAFETY: the caller's right goes to the scheduler.
    unsafe { (task.vtable.schedule)(header) };
}

/// Stamps the wake, by the one thread that has the right to poll, before it hands that right on. A
/// waker that takes this poll for the one before may write a stamp of its own; it is overwritten
/// here, or names another who woke the task just now.
///
/// # Safety
///
/// The caller has got the right to poll from a transition of the state.
#[inline]
unsafe fn note_wake(header: NonNull<Header>) {
    // SAFETY: rule 1: whoever has the right to poll knows that the task lives.
    let task = unsafe { header.as_ref() };
    // SAFETY: as above; the pointer is that of the cell that the vtable belongs to.
    let id = || unsafe { (task.vtable.id)(header) }.number();
    task.ready.woken(id, waking_reactor);
}

/// Stamps a wake that gave nobody the right to poll, if it is the first during a poll.
///
/// # Safety
///
/// The caller has a reference to the task.
#[inline]
unsafe fn note_further_wake(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the task alive.
    let task = unsafe { header.as_ref() };
    // SAFETY: as above; the pointer is that of the cell that the vtable belongs to.
    let id = || unsafe { (task.vtable.id)(header) }.number();
    task.ready.woken_again(id, waking_reactor);
}

// ----- wakers -----

static WAKER: RawWakerVTable = RawWakerVTable::new(clone_waker, wake, wake_by_ref, drop_waker);

/// A waker for the time of a poll, which borrows the poller's hold on the task.
///
/// # Safety
///
/// The task must live as long as the waker is used, and the waker must not be dropped.
#[inline]
pub(super) unsafe fn borrowed_waker(header: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(header.as_ptr().cast(), &WAKER);
    // SAFETY: the functions of the table keep the contract of `RawWaker`: they are thread-safe,
    // and count references; the count for this one is borrowed, as the caller promises.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// # Safety
///
/// `data` is that of a waker whose reference the caller owns or borrows.
#[inline]
unsafe fn header_of(data: *const ()) -> NonNull<Header> {
    // SAFETY: wakers are made of a `NonNull` only.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

unsafe fn clone_waker(data: *const ()) -> RawWaker {
    // SAFETY: called for a live waker.
    let header = unsafe { header_of(data) };
    // SAFETY: rule 1: the waker that is being cloned owns or borrows a reference.
    unsafe { header.as_ref() }.state.retain();
    RawWaker::new(data, &WAKER)
}

unsafe fn wake(data: *const ()) {
    // The waker's reference goes last: the scheduler lies in the cell, and is still in use when
    // the task that it has just queued is polled, and ends, on another thread.
    // SAFETY: called for a live waker.
    unsafe { wake_by_ref(data) };
    // SAFETY: called once, as this waker is used up.
    unsafe { drop_waker(data) };
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called for a live waker.
    let header = unsafe { header_of(data) };
    // SAFETY: rule 1: the waker's reference.
    match unsafe { header.as_ref() }.state.wake() {
        // SAFETY: the transition has given this thread the right to poll.
        Wake::Schedule => unsafe { schedule(header) },
        // SAFETY: rule 1: the waker's reference.
        Wake::Nothing => unsafe { note_further_wake(header) },
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: called once for a live waker, whose reference goes with this value.
    drop(TaskRef(unsafe { header_of(data) }));
}
