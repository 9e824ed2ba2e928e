//! Which worker the calling thread runs.
//!
//! A pointer in a thread-local that needs no destructor: it can be read at any time in the life of
//! a thread, and costs one load. The worker is a value on the stack of the thread:
//!
//! 1. the pointer is set by [`enter`] for as long as that call takes, during which the worker is
//!    borrowed;
//! 2. what [`with`] hands out ends before [`with`] returns, so before the call of [`enter`] that
//!    it is nested in does.

use std::cell::Cell;
use std::ptr;

use super::worker::WorkerThread;

thread_local! {
    static CURRENT: Cell<*const WorkerThread> = const { Cell::new(ptr::null()) };
}

/// Makes `worker` the one that this thread runs while it is in `f`.
pub(super) fn enter<R>(worker: &WorkerThread, f: impl FnOnce() -> R) -> R {
    struct Leave(*const WorkerThread);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _leave = Leave(CURRENT.replace(worker));
    f()
}

/// Shows `f` the worker that this thread runs, if any.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(Option<&WorkerThread>) -> R) -> R {
    // SAFETY: rules 1 and 2: it is null, or what it points to is borrowed for longer than this.
    f(unsafe { CURRENT.get().as_ref() })
}
