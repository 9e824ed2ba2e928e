//! The ready tasks of a set, and which sets are current on a thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::registry::Registry;
use crate::task::{Notified, Schedule, Slot};

/// What the tasks of a set hold of it.
pub(super) struct Shared {
    pub(super) registry: Registry,
    /// Tasks that other threads have woken, and the waker of the set.
    remote: Mutex<Remote>,
}

#[derive(Default)]
struct Remote {
    queue: VecDeque<Notified>,
    waker: Option<Waker>,
}

/// The part of the queue that only the set's own thread touches.
#[derive(Default)]
pub(super) struct Local {
    queue: RefCell<VecDeque<Notified>>,
    turns: Cell<u32>,
}

thread_local! {
    /// The sets that this thread is polling or has entered, innermost last.
    static CURRENT: RefCell<Vec<(Running, Why)>> = const { RefCell::new(Vec::new()) };
}

/// A set, on its own thread.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) local: Rc<Local>,
}

/// Why a set is current on its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is being polled, and looks at its queue before it returns: it need not be woken.
    Polled,
    /// It was entered, and is polled some other time.
    Entered,
}

/// How often the tasks woken by other threads have precedence, in turns.
const REMOTE_FIRST: u32 = 31;

impl Shared {
    pub(super) fn new() -> Shared {
        Shared {
            registry: Registry::new(1),
            remote: Mutex::default(),
        }
    }

    /// Keeps the waker that is to be woken when a task becomes ready.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut remote = self.remote.lock();
        if remote
            .waker
            .as_ref()
            .is_some_and(|kept| kept.will_wake(waker))
        {
            return;
        }
        // A waker is user code: it is cloned and dropped with nothing locked.
        drop(remote);
        let fresh = waker.clone();
        remote = self.remote.lock();
        let old = remote.waker.replace(fresh);
        drop(remote);
        drop(old);
    }

    /// Wakes the set. The waker is used up: the set places it anew when it is polled for this.
    fn wake(&self) {
        let waker = self.remote.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn pop_remote(&self) -> Option<Notified> {
        self.remote.lock().queue.pop_front()
    }

    fn push_remote(&self, task: Notified) {
        self.remote.lock().queue.push_back(task);
        self.wake();
    }
}

impl Local {
    pub(super) fn push(&self, task: Notified) {
        self.queue.borrow_mut().push_back(task);
    }

    /// The next task: mostly of the own queue, now and then of the other one first.
    pub(super) fn pop(&self, shared: &Shared) -> Option<Notified> {
        let turn = self.turns.get().wrapping_add(1);
        self.turns.set(turn);
        let own = || self.queue.borrow_mut().pop_front();
        match turn.is_multiple_of(REMOTE_FIRST) {
            true => shared.pop_remote().or_else(own),
            false => own().or_else(|| shared.pop_remote()),
        }
    }
}

/// Makes a set the current one of this thread until it is dropped.
pub(super) struct CurrentGuard;

impl CurrentGuard {
    pub(super) fn enter(set: &Running, why: Why) -> CurrentGuard {
        CURRENT.with_borrow_mut(|all| all.push((set.clone(), why)));
        CurrentGuard
    }
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        let left = CURRENT.try_with(|all| all.borrow_mut().pop());
        drop(left);
    }
}

/// The innermost set of this thread.
pub(super) fn current() -> Option<Running> {
    let found = CURRENT.try_with(|all| all.borrow().last().map(|(set, _)| set.clone()));
    found.ok().flatten()
}

/// The set of `shared`, if it is current on this thread.
fn find(shared: &Arc<Shared>) -> Option<(Rc<Local>, Why)> {
    let found = CURRENT.try_with(|all| {
        let all = all.borrow();
        let (set, why) = all
            .iter()
            .rfind(|(set, _)| Arc::ptr_eq(&set.shared, shared))?;
        Some((Rc::clone(&set.local), *why))
    });
    found.ok().flatten()
}

impl Schedule for Arc<Shared> {
    fn schedule(&self, task: Notified) {
        // Only the set's own thread ever has it as a current one.
        match find(self) {
            None => self.push_remote(task),
            Some((local, why)) => {
                local.push(task);
                if why == Why::Entered {
                    self.wake();
                }
            }
        }
    }

    fn schedule_again(&self, task: Notified) {
        self.schedule(task);
    }

    fn release(&self, slot: Slot) {
        self.registry.remove(slot);
    }
}
