//! What the calling thread knows about runtimes: which one is current, whether it is driving one,
//! and which task it runs.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::MutexGuard;

use telemetry_rt_reactor as reactor;
use telemetry_rt_reactor::Held;

use super::handle::{Handle, TryCurrentError};
use crate::task::Id;

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(Current { handle: None, depth: 0 }) };
    static DRIVING: Cell<Driving> = const { Cell::new(Driving::Nothing) };
    static TASK: Cell<Option<Id>> = const { Cell::new(None) };
}

struct Current {
    handle: Option<Held<Handle>>,
    /// How many guards are alive: they must go in the reverse of the order they came.
    depth: usize,
}

/// Whether the thread drives asynchronous tasks, so that it must not be blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driving {
    /// It does not.
    Nothing,
    /// It polls the future of a `block_on`, or runs a current-thread runtime.
    BlockOn,
    /// It is a worker of a multi-thread runtime, or polls a `block_on` of one.
    MultiThread,
}

// ----- the current runtime -----

pub(crate) fn current() -> Result<Handle, TryCurrentError> {
    CURRENT
        .try_with(|current| current.borrow().handle.as_deref().cloned())
        .map_err(|_| TryCurrentError::thread_local_destroyed())?
        .ok_or_else(TryCurrentError::no_context)
}

/// Shows the current runtime, without a reference of its own. `look` is none of users' code.
#[inline]
pub(crate) fn with_current<R>(look: impl FnOnce(&Handle) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| current.borrow().handle.as_deref().map(look))
        .ok()
        .flatten()
}

/// Keeps a runtime current on the thread; made by `Handle::enter` and `Runtime::enter`.
///
/// Guards must be dropped in the reverse of the order in which they were made.
#[must_use = "the runtime is current only as long as the guard lives"]
pub struct EnterGuard<'a> {
    // The guard itself has no `Drop`, so that it may borrow from a temporary runtime.
    _inner: Entered,
    _handle: PhantomData<&'a Handle>,
}

/// Gives the thread back its former runtime when it is dropped.
pub(crate) struct Entered {
    outer: Option<Held<Handle>>,
    reactor: Option<reactor::context::Previous>,
    depth: usize,
    /// The thread that entered has to leave; the guard may be looked at from others.
    not_send: PhantomData<MutexGuard<'static, ()>>,
}

impl<'a> EnterGuard<'a> {
    pub(super) fn new(handle: &'a Handle) -> EnterGuard<'a> {
        EnterGuard {
            _inner: enter(handle),
            _handle: PhantomData,
        }
    }
}

impl std::fmt::Debug for EnterGuard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnterGuard").finish_non_exhaustive()
    }
}

/// Makes `handle` current. Once a thread's locals are gone there is nothing to enter any more,
/// and the guard does nothing.
pub(crate) fn enter(handle: &Handle) -> Entered {
    let mut entered = Entered::begin(Held::own(handle.clone()));
    let reactor = handle.reactor().clone();
    entered.reactor = Some(reactor::context::enter(Some(reactor), None));
    entered
}

/// Runs `f` with `handle` current, as between [`enter`] and the drop of what it returns. Counts no
/// reference.
#[inline]
pub(crate) fn within<R>(handle: &Handle, f: impl FnOnce() -> R) -> R {
    // SAFETY: a `Handle` is an `Arc`, and is borrowed until this returns; when it does, or when `f` panics,
    // `entered` takes the lent one out of the thread-local. It is not there any more if `f` has entered
    // something else and not left it: whoever did that took a counted one, see `begin`.
    let mut entered = Entered::begin(unsafe { Held::lent(handle) });
    // SAFETY: as above; `entered` restores what was before.
    entered.reactor = Some(unsafe { reactor::context::enter_lent(handle.reactor()) });
    let output = f();
    drop(entered);
    output
}

impl Entered {
    #[inline]
    fn begin(handle: Held<Handle>) -> Entered {
        let entered = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            current.depth += 1;
            (current.handle.replace(handle), current.depth)
        });
        let (outer, depth) = entered.unwrap_or((None, 0));
        Entered {
            // It is put back by whoever has the guard, who knows nothing of the one who lent it.
            outer: outer.map(Held::counted),
            reactor: None,
            depth,
            not_send: PhantomData,
        }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        let outer = self.outer.take();
        let left = CURRENT.try_with(|current| {
            let mut current = current.borrow_mut();
            if current.depth != self.depth {
                return Err(());
            }
            current.depth -= 1;
            Ok(std::mem::replace(&mut current.handle, outer))
        });
        if let Some(reactor) = self.reactor.take() {
            reactor::context::restore(reactor);
        }
        // What was current is dropped here, with nothing borrowed: it may be the last handle.
        if let Ok(Err(())) = left
            && !std::thread::panicking()
        {
            out_of_order();
        }
    }
}

#[cold]
fn out_of_order() {
    panic!(
        "`EnterGuard` values dropped out of order. Guards returned by `Handle::enter()` must be \
         dropped in the reverse order as they were acquired."
    );
}

// ----- driving -----

/// Marks the thread as driving until it is dropped.
pub(crate) struct DrivingGuard {
    outer: Driving,
}

/// Begins to drive on this thread.
///
/// # Panics
///
/// If the thread drives already: blocking it would stop the tasks that it is there for.
#[track_caller]
pub(crate) fn start_driving(what: Driving) -> DrivingGuard {
    assert!(
        driving() == Driving::Nothing,
        "Cannot start a runtime from within a runtime. This thread is running asynchronous tasks, \
         and a function like `block_on` was called that would block it. Await the future instead, \
         or move the call to `spawn_blocking` or `block_in_place`."
    );
    DrivingGuard {
        outer: DRIVING.replace(what),
    }
}

/// Stops driving for a while, to block in place.
pub(crate) fn stop_driving() -> DrivingGuard {
    DrivingGuard {
        outer: DRIVING.replace(Driving::Nothing),
    }
}

pub(crate) fn driving() -> Driving {
    DRIVING.try_with(Cell::get).unwrap_or(Driving::Nothing)
}

impl Drop for DrivingGuard {
    fn drop(&mut self) {
        // Gone only when the thread ends, and then nothing is driven.
        let _ = DRIVING.try_with(|driving| driving.set(self.outer));
    }
}

// ----- the running task -----

pub(crate) fn task_id() -> Option<Id> {
    TASK.try_with(Cell::get).ok().flatten()
}

/// Names the task that this thread runs, and returns the one it ran before.
#[inline]
pub(crate) fn set_task_id(id: Option<Id>) -> Option<Id> {
    TASK.try_with(|task| task.replace(id)).ok().flatten()
}
