//! How the driver is watched (`idle.md`), under every order of events: when all threads are done,
//! and one worker is busy for good outside of the driver, somebody who sleeps is in the driver,
//! watches, or has been unparked and will look around.
//!
//! And how the watcher is relied on: work for which nobody is woken, because as many workers are
//! awake as can run, is seen by it.
//!
//! The workers here take the steps of `worker.rs`. The lock of the driver is a word whose
//! operations are no stronger than those of a lock.

use loom::sync::Arc;
use loom::thread;

use super::idle::{Idle, Up};
use crate::sync::model::{Seed, explore};
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who leaves the driver does not see to it.
    Handover,
    /// A watcher that gets up does not see to the driver.
    Relief,
    /// Who stops watching does not try the driver again, or does not look for work again.
    SecondTry,
}

struct World {
    idle: Idle,
    occupied: AtomicU64,
    queued: AtomicU64,
    unparked: [AtomicBool; 3],
    without: Without,
}

impl World {
    fn new(without: Without, processors: usize) -> Arc<World> {
        Arc::new(World {
            idle: Idle::new(3, processors),
            occupied: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            unparked: [(); 3].map(|()| AtomicBool::new(false)),
            without,
        })
    }

    fn enter_driver(&self) -> bool {
        self.occupied
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn leave_driver(&self) {
        self.occupied.store(0, Ordering::Release);
        if self.without != Without::Handover {
            self.see_to_the_driver();
        }
    }

    fn see_to_the_driver(&self) {
        let left = || self.occupied.load(Ordering::Relaxed) == 0;
        if let Some(worker) = self.idle.someone_must_watch(left, |_| false) {
            self.unparked[worker].swap(true, Ordering::AcqRel);
        }
    }

    /// A worker that sleeps parks: in the driver, or else on its thread.
    fn park(&self) {
        let _in_driver = self.enter_driver();
    }

    fn get_up(&self, worker: usize) {
        let up = self.idle.get_up(worker);
        if up == Up::ByItselfAsWatcher && self.without != Without::Relief {
            self.see_to_the_driver();
        }
    }

    fn stop_watching(&self, worker: usize) {
        self.idle.stop_watching(worker);
        if self.without != Without::SecondTry {
            self.park();
        }
    }

    /// Who watches no driver stops.
    fn stop_watching_for_work(&self, worker: usize) {
        self.idle.stop_watching(worker);
        if self.without != Without::SecondTry && self.has_work() {
            self.appoint();
        }
    }

    fn push(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        assert!(self.idle.is_crowded(), "one worker is busy");
        self.appoint();
    }

    fn appoint(&self) {
        if let Some(worker) = self.idle.someone_must_watch(|| true, |_| false) {
            self.unparked[worker].swap(true, Ordering::AcqRel);
        }
    }

    fn has_work(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > 0
    }

    fn assert_watched(&self) {
        let somebody = (0..3).any(|worker| {
            self.idle.is_watcher(worker)
                || self.idle.is_asleep(worker) && self.unparked[worker].load(Ordering::Acquire)
        });
        let attended = self.occupied.load(Ordering::Acquire) == 1;
        assert!(somebody || attended, "nobody looks at the driver");
    }
}

fn start(f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(f)
}

fn end(thread: thread::JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the model")
}

/// A worker goes to sleep while another one leaves the driver for good.
fn a_worker_goes_to_sleep_while_the_driver_is_left(without: Without) {
    let world = World::new(without, 3);
    assert!(world.enter_driver());
    let theirs = Arc::clone(&world);
    let sleeper = start(move || {
        theirs.idle.sleep(1, false);
        theirs.park();
    });
    world.leave_driver();
    end(sleeper);
    world.assert_watched();
}

/// A watcher finds that somebody waits in the driver, who leaves it just then for good.
fn a_watch_ends_while_the_driver_is_left(without: Without) {
    let world = World::new(without, 3);
    world.idle.sleep(1, false);
    world.see_to_the_driver();
    world.unparked[1].swap(false, Ordering::AcqRel);
    assert!(world.idle.is_watcher(1) && world.enter_driver());
    let theirs = Arc::clone(&world);
    let watcher = start(move || theirs.stop_watching(1));
    world.leave_driver();
    end(watcher);
    world.assert_watched();
}

/// A watcher gets up for good, while another worker goes to sleep that saw somebody look at the
/// driver.
fn a_watcher_gets_up_while_another_worker_goes_to_sleep(without: Without) {
    let world = World::new(without, 3);
    world.idle.sleep(1, false);
    world.see_to_the_driver();
    world.idle.sleep(2, false);
    assert!(world.idle.is_watcher(1) && world.enter_driver());
    let theirs = Arc::clone(&world);
    let watcher = start(move || theirs.get_up(1));
    world.park();
    world.leave_driver();
    end(watcher);
    world.assert_watched();
}

/// A watcher stops, while a task is pushed for which nobody else is woken.
fn a_watch_ends_while_a_push_relies_on_it(without: Without) {
    let world = World::new(without, 1);
    world.idle.sleep(1, false);
    world.idle.sleep(2, false);
    world.see_to_the_driver();
    assert!(world.idle.is_watcher(2));
    world.unparked[2].swap(false, Ordering::AcqRel);
    let theirs = Arc::clone(&world);
    let watcher = start(move || theirs.stop_watching_for_work(2));
    world.push();
    end(watcher);
    let watched = (0..3).any(|worker| world.idle.is_watcher(worker));
    assert!(watched, "nobody looks at the queues");
}

mod hold {
    use super::*;

    #[test]
    fn a_watch_ends_while_a_push_relies_on_it() {
        explore(None, || {
            super::a_watch_ends_while_a_push_relies_on_it(Without::Nothing);
        });
    }

    #[test]
    fn a_worker_goes_to_sleep_while_the_driver_is_left() {
        explore(None, || {
            super::a_worker_goes_to_sleep_while_the_driver_is_left(Without::Nothing);
        });
    }

    #[test]
    fn a_watch_ends_while_the_driver_is_left() {
        explore(None, || {
            super::a_watch_ends_while_the_driver_is_left(Without::Nothing);
        });
    }

    #[test]
    fn a_watcher_gets_up_while_another_worker_goes_to_sleep() {
        explore(None, || {
            super::a_watcher_gets_up_while_another_worker_goes_to_sleep(Without::Nothing);
        });
    }
}

/// Each model notices when a step is left out.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "nobody looks at the queues")]
    fn a_watch_that_ends_without_a_second_look() {
        explore(None, || {
            a_watch_ends_while_a_push_relies_on_it(Without::SecondTry);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the queues")]
    fn a_push_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_watch_ends_while_a_push_relies_on_it(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the driver")]
    fn a_driver_that_is_left_without_a_word() {
        explore(None, || {
            a_worker_goes_to_sleep_while_the_driver_is_left(Without::Handover);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the driver")]
    fn a_driver_that_is_left_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_worker_goes_to_sleep_while_the_driver_is_left(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the driver")]
    fn a_watch_that_ends_without_a_second_try() {
        explore(None, || {
            a_watch_ends_while_the_driver_is_left(Without::SecondTry);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the driver")]
    fn a_watch_that_ends_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_watch_ends_while_the_driver_is_left(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "nobody looks at the driver")]
    fn a_watcher_that_gets_up_without_being_relieved() {
        explore(None, || {
            a_watcher_gets_up_while_another_worker_goes_to_sleep(Without::Relief);
        });
    }
}
