//! How workers sleep and are woken (`idle.md`), under every order of events: what is pushed into
//! the injector is found, whatever the workers are about to do.
//!
//! The workers here take the steps of `worker.rs`, with a counter for the injector, all of whose
//! operations are Relaxed: the protocol may rely on its own fences only. A worker that parks leaves
//! its thread. When all threads are done, those workers run on that were unparked; when none is
//! left, the injector must be empty.
//!
//! Each model is shown to fail when a step is left out.

use loom::sync::Arc;
use loom::thread;

use super::idle::{Idle, Last};
use crate::sync::model::{Seed, explore};
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A worker does not look again after it listed itself as a sleeper.
    SecondLook,
    /// The last searcher does not pass the search on.
    PassingOn,
    /// A worker with a task of its own runs it while it counts as searching.
    Uncounting,
}

struct World {
    idle: Idle,
    injected: AtomicU64,
    unparked: [AtomicBool; 2],
    without: Without,
}

impl World {
    fn new(without: Without) -> Arc<World> {
        Arc::new(World {
            idle: Idle::new(2),
            injected: AtomicU64::new(0),
            unparked: [AtomicBool::new(false), AtomicBool::new(false)],
            without,
        })
    }

    fn push(&self) {
        self.injected.fetch_add(1, Ordering::Relaxed);
        self.unpark(self.idle.after_push());
    }

    fn take(&self) -> bool {
        let taken = self
            .injected
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tasks| {
                tasks.checked_sub(1)
            });
        taken.is_ok()
    }

    fn has_work(&self) -> bool {
        self.injected.load(Ordering::Relaxed) > 0
    }

    fn unpark(&self, worker: Option<usize>) {
        if let Some(worker) = worker {
            self.unparked[worker].swap(true, Ordering::AcqRel);
        }
    }

    fn take_notification(&self, worker: usize) -> bool {
        self.unparked[worker].swap(false, Ordering::AcqRel)
    }
}

/// A worker, in one of the places where it can leave its thread.
struct Worker {
    world: Arc<World>,
    index: usize,
    searching: bool,
    /// How many tasks it runs before one keeps it busy for good.
    appetite: usize,
}

/// Where a worker left its thread.
#[derive(Debug)]
enum Left {
    Parked(Worker),
    Busy,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "worker {}", self.index)
    }
}

impl Worker {
    fn awake(world: &Arc<World>, index: usize, appetite: usize) -> Worker {
        Worker {
            world: Arc::clone(world),
            index,
            searching: false,
            appetite,
        }
    }

    /// A worker that sleeps since long ago.
    fn asleep(world: &Arc<World>, index: usize, appetite: usize) -> Worker {
        world.idle.sleep(index, false);
        Worker::awake(world, index, appetite)
    }

    fn run(mut self) -> Left {
        loop {
            while self.search() {
                self.appetite -= 1;
                if self.appetite == 0 {
                    return Left::Busy;
                }
            }
            self.lie_down();
            if !self.woken() {
                return Left::Parked(self);
            }
        }
    }

    fn search(&mut self) -> bool {
        if !self.searching {
            self.searching = self.world.idle.start_search();
        }
        let found = self.world.take();
        if found {
            self.stop_searching();
        }
        found
    }

    fn stop_searching(&mut self) {
        if std::mem::take(&mut self.searching)
            && self.world.idle.stop_search() == Last::Searcher
            && self.world.without != Without::PassingOn
        {
            fence(Ordering::SeqCst);
            if self.world.has_work() {
                self.world.unpark(self.world.idle.take_sleeper());
            }
        }
    }

    fn lie_down(&mut self) {
        let searching = std::mem::take(&mut self.searching);
        self.world.idle.sleep(self.index, searching);
        if self.world.without != Without::SecondLook && self.world.has_work() {
            self.get_up();
        }
    }

    fn get_up(&mut self) {
        self.searching = !self.world.idle.get_up(self.index);
    }

    /// Whether a worker that lay down is up again, be it by itself or because it was woken.
    fn woken(&mut self) -> bool {
        while self.world.idle.is_asleep(self.index) {
            if !self.world.take_notification(self.index) {
                return false;
            }
        }
        self.get_up();
        true
    }

    /// The driver has made a task of this sleeper's own ready, which keeps it busy for good.
    fn run_own_task(mut self) {
        self.get_up();
        if self.world.without != Without::Uncounting {
            self.stop_searching();
        }
    }
}
