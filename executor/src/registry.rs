//! All live tasks of a scheduler, so that they can be dropped with it.
//!
//! A task is registered when it is spawned and leaves when it is complete, before the reference
//! of its life is released: what is found here under the lock is alive. The registry is sharded,
//! so that workers that spawn seldom meet; a task stays in the shard of the thread that spawned it.
//! Who looks at all tasks lets go of the lock now and then, since spawners spin for it.

use std::cell::Cell;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use slab::Slab;

use telemetry_rt_telemetry::record::{TaskView, Viewer};

use crate::sync::{Mutex, SpinLock};
use crate::task::{LiveTask, Notified, Slot};

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[CachePadded<SpinLock<Shard>>]>,
}

#[derive(Debug, Default)]
struct Shard {
    closed: bool,
    tasks: Slab<LiveTask>,
}

impl Registry {
    pub(crate) fn new(shards: usize) -> Registry {
        Registry {
            shards: (0..shards.max(1)).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Registers a task that was just made. Gives it back when the scheduler is shutting down.
    pub(crate) fn insert(&self, task: Notified) -> Result<Notified, Notified> {
        let index = thread_number() % self.shards.len();
        let mut shard = self.shards[index].lock();
        if shard.closed {
            return Err(task);
        }
        let key = shard.tasks.insert(task.live());
        task.set_slot(Slot::new(index, key));
        Ok(task)
    }

    /// Removes a task that is complete.
    pub(crate) fn remove(&self, slot: Slot) {
        if slot != Slot::NONE {
            self.shards[slot.shard()].lock().tasks.remove(slot.key());
        }
    }

    /// Refuses further tasks, and asks all that are live to be dropped. Returns those that are
    /// idle, for the caller to run; the others are in a queue, or on their way into one.
    pub(crate) fn close(&self) -> Vec<Notified> {
        let mut idle = Vec::new();
        for shard in &self.shards {
            shard.lock().closed = true;
            visit(shard, |task| {
                // SAFETY: the task is in this registry, whose lock is held.
                idle.extend(unsafe { task.cancel() });
            });
        }
        idle
    }

    /// How many tasks are live.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().tasks.len())
            .sum()
    }

    /// What is to be seen of all of them. Tasks that come or go meanwhile may be left out.
    pub(crate) fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        for shard in &self.shards {
            visit(shard, |task| {
                // SAFETY: the task is in this registry, whose lock is held.
                into.push(unsafe { task.view(viewer) });
            });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards
            .iter()
            .all(|shard| shard.lock().tasks.is_empty())
    }
}

/// So many places of a shard are looked at under one hold of its lock, for which spawners wait.
const AT_ONCE: usize = 32;

/// Shows all tasks that are in the shard from beginning to end. The lock is held during each look.
fn visit(shard: &SpinLock<Shard>, mut look: impl FnMut(&LiveTask)) {
    let mut next = 0;
    loop {
        let shard = shard.lock();
        if next >= shard.tasks.capacity() {
            return;
        }
        let places = next..next + AT_ONCE;
        places
            .filter_map(|key| shard.tasks.get(key))
            .for_each(&mut look);
        next += AT_ONCE;
    }
}

/// Something else that processes live in, and that is asked what they are.
pub(crate) trait Live: Send + Sync {
    fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>);
}

/// Live processes that are not the scheduler's own: those of sets of local tasks, and futures of
/// `block_on`. Each is listed as long as somebody else keeps it.
#[derive(Default)]
pub(crate) struct Bystanders {
    all: Mutex<Vec<Weak<dyn Live>>>,
}

impl Bystanders {
    pub(crate) fn add(&self, live: Weak<dyn Live>) {
        let mut all = self.all.lock();
        // Now and then, so that adding many costs no more than their number.
        if all.len() == all.capacity() {
            all.retain(|live| live.strong_count() > 0);
        }
        all.push(live);
    }

    pub(crate) fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        // Cloned first: the last reference may go away meanwhile, and is dropped with nothing
        // locked.
        let all = self.all.lock().clone();
        for live in all.iter().filter_map(Weak::upgrade) {
            live.view(viewer, into);
        }
    }
}

/// A number that differs between the first threads of a process, to spread them over the shards.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        // Relaxed: any spread will do.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}
