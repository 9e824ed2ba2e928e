//! The handle of whoever spawned a task.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};

use telemetry_rt_reactor::leaf;

use super::raw::TaskRef;
use super::{AbortHandle, Id, JoinError};

/// Owns the permission to wait for a task and to take its output.
///
/// A task runs whether its handle is awaited or not. Dropping the handle *detaches* the task: it
/// goes on, and its output is dropped when it is done. Dropping does not abort; see
/// [`abort`](Self::abort).
///
/// # Errors
///
/// Awaiting gives a [`JoinError`] when the task panicked, was aborted, or was dropped with its
/// runtime.
///
/// # Cancel safety
///
/// A `&mut JoinHandle` may be awaited in a `select!` and awaited again: nothing is lost.
pub struct JoinHandle<T> {
    task: TaskRef,
    output: PhantomData<T>,
}

// SAFETY: the handle can move the output, a `T`, to its thread; everything else is a `TaskRef`.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: `&JoinHandle` gives no access to the output.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    #[inline]
    pub(super) fn new(task: TaskRef) -> JoinHandle<T> {
        JoinHandle {
            task,
            output: PhantomData,
        }
    }

    /// Aborts the task: its future is dropped at its next turn, on a thread of the runtime.
    ///
    /// Awaiting the handle then gives a [`JoinError`] that [is
    /// cancelled](JoinError::is_cancelled), unless the task was done before. A function on the
    /// blocking pool can be aborted only before it has started.
    pub fn abort(&self) {
        self.task.cancel();
    }

    /// Whether the task is done, so that awaiting it will not wait.
    pub fn is_finished(&self) -> bool {
        self.task.state().is_complete()
    }

    /// A handle that can only abort the task.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(self.task.clone())
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.task.id()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(unit) = leaf::poll_proceed(cx) else {
            return Poll::Pending;
        };
        let mut output = Poll::Pending;
        let header = self.task.pointer();
        // SAFETY: rule 1: this handle owns a reference.
        let read = unsafe { header.as_ref() }.vtable.try_read_output;
        // SAFETY: this is the join handle, and the output is of the task's type `T`, which only
        // `Task::into_cell` chooses.
        unsafe { read(header, (&raw mut output).cast(), cx.waker()) };
        match output.is_ready() {
            true => unit.made_progress(),
            false => leaf::waiting_for(self.task.awaited_as()),
        }
        output
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        let header = self.task.pointer();
        // SAFETY: rule 1: this handle owns a reference.
        let drop_join_handle = unsafe { header.as_ref() }.vtable.drop_join_handle;
        // SAFETY: this is the join handle, and it goes away; its reference goes after this.
        unsafe { drop_join_handle(header) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .finish()
    }
}
