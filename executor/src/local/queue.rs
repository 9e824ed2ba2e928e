//! The ready tasks of a set, and which sets are current on a thread.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::Waker;

use parking_lot::Mutex;
use telemetry_rt_telemetry::record::{
    Lineage, Meta, Process, Recorder, Spawning, TaskView, Viewer,
};

use crate::registry::{Live, Registry};
use crate::runtime::Handle;
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

/// The part of a set that only its own thread touches.
#[derive(Default)]
pub(super) struct Local {
    queue: RefCell<VecDeque<Notified>>,
    turns: Cell<u32>,
    recorder: OnceCell<Recorder>,
}

thread_local! {
    /// The sets that this thread is polling or has entered, innermost last.
    static CURRENT: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// A set that is current, for as long as a guard lives.
struct Entry {
    set: Running,
    why: Why,
    guard: u64,
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

impl Live for Shared {
    fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        self.registry.view(viewer, into);
    }
}

impl Local {
    /// The recorder of the set: that of the runtime in which it was first used, for good, because
    /// an account that was begun in one recorder cannot be ended in another. `None` as long as the
    /// set was used in none.
    pub(super) fn recorder(&self, shared: &Arc<Shared>) -> Option<&Recorder> {
        if self.recorder.get().is_none()
            && let Ok(handle) = Handle::try_current()
        {
            // Cannot be set meanwhile: this is its only thread.
            let _ = self.recorder.set(handle.recorder().clone());
            if Recorder::IS_SEEN {
                let live: Weak<Shared> = Arc::downgrade(shared);
                handle.shared().bystanders().add(live);
            }
        }
        self.recorder.get()
    }

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

/// Makes a set the current one of this thread until it is dropped. Guards may be dropped in any
/// order; on a thread that is ending they do nothing.
pub(super) struct CurrentGuard {
    number: u64,
}

impl CurrentGuard {
    pub(super) fn enter(set: &Running, why: Why) -> CurrentGuard {
        let entered = CURRENT.try_with(|all| {
            let mut all = all.borrow_mut();
            let guard = all.iter().map(|entry| entry.guard + 1).max().unwrap_or(0);
            all.push(Entry {
                set: set.clone(),
                why,
                guard,
            });
            guard
        });
        CurrentGuard {
            number: entered.unwrap_or(u64::MAX),
        }
    }
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        let left = CURRENT.try_with(|all| {
            let mut all = all.borrow_mut();
            let own = all.iter().position(|entry| entry.guard == self.number)?;
            Some(all.remove(own))
        });
        // Dropped here, with nothing borrowed.
        drop(left);
    }
}

/// The innermost set of this thread.
pub(super) fn current() -> Option<Running> {
    let found = CURRENT.try_with(|all| all.borrow().last().map(|entry| entry.set.clone()));
    found.ok().flatten()
}

/// The set of `shared`, if it is current on this thread.
fn find(shared: &Arc<Shared>) -> Option<(Rc<Local>, Why)> {
    let found = CURRENT.try_with(|all| {
        let all = all.borrow();
        let entry = all
            .iter()
            .rfind(|entry| Arc::ptr_eq(&entry.set.shared, shared))?;
        Some((Rc::clone(&entry.set.local), entry.why))
    });
    found.ok().flatten()
}

/// What a task of a set holds: the set, and, if it was spawned outside of a runtime, what is to be
/// recorded about it once there is one.
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) unrecorded: Option<Unrecorded>,
}

/// A spawn that no recorder knows of yet.
pub(super) struct Unrecorded {
    pub(super) meta: &'static Meta,
    pub(super) name: Option<Box<str>>,
    pub(super) site: &'static Location<'static>,
    pub(super) lineage: Lineage,
}

impl Running {
    /// Queues a task, on the set's own thread.
    pub(super) fn schedule(&self, task: Notified) {
        schedule(&self.shared, task);
    }
}

fn schedule(shared: &Arc<Shared>, task: Notified) {
    // Only the set's own thread ever has it as a current one.
    match find(shared) {
        None => shared.push_remote(task),
        Some((local, why)) => {
            local.push(task);
            if why == Why::Entered {
                shared.wake();
            }
        }
    }
}

impl Schedule for Member {
    fn schedule(&self, task: Notified) {
        schedule(&self.shared, task);
    }

    fn schedule_again(&self, task: Notified) {
        self.schedule(task);
    }

    fn release(&self, slot: Slot) {
        self.shared.registry.remove(slot);
    }

    fn adopt(&self, process: &mut Process<'_>) {
        if !process.record.is_unrecorded() {
            return;
        }
        let found = find(&self.shared);
        let recorder = found
            .as_ref()
            .and_then(|(local, _)| local.recorder(&self.shared));
        if let (Some(recorder), Some(spawn)) = (recorder, &self.unrecorded) {
            recorder.adopt(
                process,
                Spawning {
                    meta: spawn.meta,
                    name: spawn.name.as_deref(),
                    site: spawn.site,
                    lineage: spawn.lineage,
                },
            );
        }
    }
}
