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

use super::idle::{Idle, Last, Taken, Up};
use crate::sync::model::{Seed, explore, explore_coarsely};
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
    /// A worker that has taken over tasks of another tells nobody.
    Telling,
}

struct World {
    idle: Idle,
    injected: AtomicU64,
    /// The queue of a worker that takes over what waits with another, if that is in the model.
    taken_over: Option<AtomicU64>,
    unparked: [AtomicBool; 2],
    without: Without,
}

impl World {
    fn new(without: Without) -> Arc<World> {
        Arc::new(World::of(without, None))
    }

    fn with_a_busy_worker(without: Without) -> Arc<World> {
        Arc::new(World::of(without, Some(AtomicU64::new(0))))
    }

    fn of(without: Without, taken_over: Option<AtomicU64>) -> World {
        World {
            idle: Idle::new(2, 2),
            injected: AtomicU64::new(0),
            taken_over,
            unparked: [AtomicBool::new(false), AtomicBool::new(false)],
            without,
        }
    }

    fn push(&self) {
        self.injected.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.unpark(self.idle.take_sleeper(|_| false));
    }

    /// A busy worker takes over what waits with another (here: in the injector, which is looked at in the
    /// same way), and is blocked the next moment.
    fn take_over(&self) {
        let into = self.taken_over.as_ref().expect("it is in this model");
        if take_from(&self.injected) {
            into.fetch_add(1, Ordering::Relaxed);
            if self.without != Without::Telling {
                fence(Ordering::SeqCst);
                self.unpark(self.idle.take_sleeper(|_| false));
            }
        }
    }

    /// The queues, in the order in which what is moved meanwhile is the easiest to miss.
    fn queues(&self) -> impl Iterator<Item = &AtomicU64> {
        self.taken_over.iter().chain([&self.injected])
    }

    fn take(&self) -> bool {
        self.queues().any(take_from)
    }

    fn has_work(&self) -> bool {
        self.queues().any(|queue| queue.load(Ordering::Relaxed) > 0)
    }

    fn unpark(&self, taken: Option<Taken>) {
        if let Some(Taken { worker, .. }) = taken {
            self.unparked[worker].swap(true, Ordering::AcqRel);
        }
    }

    fn take_notification(&self, worker: usize) -> bool {
        self.unparked[worker].swap(false, Ordering::AcqRel)
    }
}

fn take_from(queue: &AtomicU64) -> bool {
    let taken = queue.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tasks| {
        tasks.checked_sub(1)
    });
    taken.is_ok()
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
                self.world.unpark(self.world.idle.take_sleeper(|_| false));
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
        self.searching = self.world.idle.get_up(self.index) == Up::Woken;
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

/// What the threads left behind goes on until nothing is left that was unparked.
fn settle(world: &World, left: impl IntoIterator<Item = Left>) {
    let mut parked: Vec<_> = left.into_iter().filter_map(Left::parked).collect();
    while let Some(next) = parked
        .iter()
        .position(|worker| world.unparked[worker.index].load(Ordering::Acquire))
    {
        let mut worker = parked.swap_remove(next);
        let left = match worker.woken() {
            true => worker.run(),
            false => Left::Parked(worker),
        };
        parked.extend(left.parked());
    }
    assert!(!world.has_work(), "tasks nobody found");
}

impl Left {
    fn parked(self) -> Option<Worker> {
        match self {
            Left::Parked(worker) => Some(worker),
            Left::Busy => None,
        }
    }
}

fn start<T: 'static>(f: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(f)
}

fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread that panics ends the model")
}

const HUNGRY: usize = 9;

/// The only worker that is awake finds nothing, while a task is pushed.
fn a_push_meets_a_worker_that_goes_to_sleep(without: Without) {
    let world = World::new(without);
    let worker = Worker::awake(&world, 0, HUNGRY);
    let worker = start(|| worker.run());
    world.push();
    settle(&world, [end(worker)]);
}

/// Two workers find nothing, while a task is pushed.
fn a_push_meets_two_workers_that_go_to_sleep(without: Without) {
    let world = World::new(without);
    let workers = [0, 1].map(|index| {
        let worker = Worker::awake(&world, index, HUNGRY);
        start(|| worker.run())
    });
    world.push();
    let left = workers.map(end);
    settle(&world, left);
}

/// A searcher finds a task that keeps it busy for good, while another one is pushed that relies
/// on the search.
fn a_push_relies_on_a_searcher_that_finds_other_work(without: Without) {
    let world = World::new(without);
    let sleeper = Worker::asleep(&world, 0, HUNGRY);
    let mut searcher = Worker::awake(&world, 1, 1);
    searcher.searching = world.idle.start_search();
    world.injected.fetch_add(1, Ordering::Relaxed);
    let searcher = start(|| searcher.run());
    world.push();
    settle(&world, [Left::Parked(sleeper), end(searcher)]);
}

/// Two threads push while both workers sleep, of which each is kept busy by its first task.
fn two_pushes_meet_two_sleepers(without: Without) {
    let world = World::new(without);
    let sleepers = [0, 1].map(|index| Left::Parked(Worker::asleep(&world, index, 1)));
    let theirs = Arc::clone(&world);
    let pushing = start(move || theirs.push());
    world.push();
    end(pushing);
    settle(&world, sleepers);
}

/// A sleeper gets up for a task of its own, which keeps it busy for good, while it is taken off
/// the list to be woken for a task that is pushed.
fn a_push_wakes_a_sleeper_that_gets_up_for_its_own_task(without: Without) {
    let world = World::new(without);
    let sleeper = Worker::asleep(&world, 0, HUNGRY);
    let riser = Worker::asleep(&world, 1, HUNGRY);
    let rising = start(|| riser.run_own_task());
    world.push();
    end(rising);
    settle(&world, [Left::Parked(sleeper)]);
}

/// A busy worker takes over a task, while another one finds nothing and goes to sleep.
fn a_task_is_taken_over_while_a_worker_goes_to_sleep(without: Without) {
    let world = World::with_a_busy_worker(without);
    world.injected.fetch_add(1, Ordering::Relaxed);
    let sleepy = Worker::awake(&world, 0, HUNGRY);
    let sleepy = start(|| sleepy.run());
    world.take_over();
    settle(&world, [end(sleepy)]);
}

mod hold {
    use super::*;

    fn explore_all(model: impl Fn(Without) + Send + Sync + 'static) {
        explore(None, move || model(Without::Nothing));
    }

    #[test]
    fn a_push_meets_a_worker_that_goes_to_sleep() {
        explore_all(super::a_push_meets_a_worker_that_goes_to_sleep);
    }

    #[test]
    fn a_push_meets_two_workers_that_go_to_sleep() {
        explore_coarsely(None, || {
            super::a_push_meets_two_workers_that_go_to_sleep(Without::Nothing);
        });
    }

    #[test]
    fn a_push_relies_on_a_searcher_that_finds_other_work() {
        explore_all(super::a_push_relies_on_a_searcher_that_finds_other_work);
    }

    #[test]
    fn two_pushes_meet_two_sleepers() {
        explore_all(super::two_pushes_meet_two_sleepers);
    }

    #[test]
    fn a_task_is_taken_over_while_a_worker_goes_to_sleep() {
        explore_all(super::a_task_is_taken_over_while_a_worker_goes_to_sleep);
    }

    #[test]
    fn a_push_wakes_a_sleeper_that_gets_up_for_its_own_task() {
        explore_all(super::a_push_wakes_a_sleeper_that_gets_up_for_its_own_task);
    }
}

/// Each model notices when a step is left out.
mod notice {
    use super::*;

    fn explore_without(step: Without, model: impl Fn(Without) + Send + Sync + 'static) {
        explore(None, move || model(step));
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_worker_that_goes_to_sleep_without_a_second_look() {
        explore_without(
            Without::SecondLook,
            a_push_meets_a_worker_that_goes_to_sleep,
        );
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn two_workers_that_go_to_sleep_without_a_second_look() {
        explore_without(
            Without::SecondLook,
            a_push_meets_two_workers_that_go_to_sleep,
        );
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_sleep_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_push_meets_a_worker_that_goes_to_sleep(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_found_task_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_push_relies_on_a_searcher_that_finds_other_work(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_last_searcher_that_does_not_pass_the_search_on() {
        explore_without(
            Without::PassingOn,
            a_push_relies_on_a_searcher_that_finds_other_work,
        );
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn two_sleepers_of_which_the_first_does_not_wake_the_second() {
        explore_without(Without::PassingOn, two_pushes_meet_two_sleepers);
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_worker_that_runs_its_own_task_while_it_counts_as_searching() {
        explore_without(
            Without::Uncounting,
            a_push_wakes_a_sleeper_that_gets_up_for_its_own_task,
        );
    }

    #[test]
    #[should_panic(expected = "tasks nobody found")]
    fn a_worker_that_takes_over_tasks_and_tells_nobody() {
        explore_without(
            Without::Telling,
            a_task_is_taken_over_while_a_worker_goes_to_sleep,
        );
    }
}
