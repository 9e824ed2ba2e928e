//! How a worker waits and is woken from there (`park.rs`), under every order of events: a worker that
//! waits, and that nobody is about to wake, has seen all that it was unparked for. The first of what it
//! is unparked for is the end of the scheduler (`ending.rs`).
//!
//! The worker takes the steps of `worker.rs`. Where it would wait it leaves its thread; when all threads
//! are done it goes on if an unpark has found it waiting.
//!
//! Each model is shown to fail when an ordering is too weak or a step is left out.

use loom::sync::Arc;
use loom::thread;

use super::ending::Ending;
use super::park::{ON_THREAD, Parker};
use crate::sync::model::{Op, Seed, explore};
use crate::sync::{AtomicU64, Ordering};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who finds a notification in place does not look again.
    LookingAgain,
    /// Who ends the scheduler does so after having unparked the worker.
    BeginningFirst,
}

struct World {
    parker: Parker,
    ending: Ending,
    /// Work, all of whose operations are Relaxed: the parker has to pass it on.
    work: AtomicU64,
    without: Without,
}

/// How a worker left its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Waiting,
    Done,
}

impl World {
    fn new(without: Without) -> Arc<World> {
        Arc::new(World {
            parker: Parker::new(),
            ending: Ending::default(),
            work: AtomicU64::new(0),
            without,
        })
    }

    /// Works until it has taken `tasks` or the scheduler ends.
    fn run(&self, tasks: u64) -> Left {
        while !self.is_done(tasks) {
            if self.parker.announce(ON_THREAD) || self.without == Without::LookingAgain {
                return Left::Waiting;
            }
        }
        Left::Done
    }

    fn is_done(&self, tasks: u64) -> bool {
        self.ending.has_begun() || self.work.load(Ordering::Relaxed) >= tasks
    }

    /// Says whether it found the worker waiting.
    fn push(&self) -> bool {
        self.work.fetch_add(1, Ordering::Relaxed);
        self.parker.notify() == ON_THREAD
    }

    fn close(&self) -> bool {
        if self.without == Without::BeginningFirst {
            let found = self.parker.notify() == ON_THREAD;
            self.ending.begin();
            return found;
        }
        self.ending.begin();
        self.parker.notify() == ON_THREAD
    }

    /// The worker goes on, if it was found waiting.
    fn settle(&self, mut left: Left, unparked: bool, tasks: u64) {
        if left == Left::Waiting && unparked {
            self.parker.take_notification();
            left = self.run(tasks);
        }
        assert_eq!(left, Left::Done, "a worker waits for ever");
    }
}

fn start<T: 'static>(
    world: &Arc<World>,
    act: impl FnOnce(&World) -> T + 'static,
) -> thread::JoinHandle<T> {
    let theirs = Arc::clone(world);
    thread::spawn(move || act(&theirs))
}

fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread that panics ends the model")
}

const NEVER: u64 = u64::MAX;

/// The scheduler ends while its worker is about to wait.
fn an_end_meets_a_worker_that_parks(without: Without) {
    let world = World::new(without);
    let worker = start(&world, |world| world.run(NEVER));
    let unparked = world.close();
    world.settle(end(worker), unparked, NEVER);
}

/// Two threads unpark a worker that is about to wait, and has to see what both have done.
fn two_unparks_meet_a_worker_that_parks(without: Without) {
    let world = World::new(without);
    let worker = start(&world, |world| world.run(2));
    let other = start(&world, World::push);
    let unparked = world.push() | end(other);
    world.settle(end(worker), unparked, 2);
}

/// A worker has waited, and comes out for another reason while it is unparked.
fn an_unpark_meets_a_worker_that_comes_out(without: Without) {
    let world = World::new(without);
    assert!(world.parker.announce(ON_THREAD), "nobody unparks it yet");
    let worker = start(&world, |world| {
        world.parker.take_notification();
        world.run(1)
    });
    let unparked = world.push();
    world.settle(end(worker), unparked, 1);
}

mod hold {
    use super::*;

    #[test]
    fn an_end_meets_a_worker_that_parks() {
        explore(None, || {
            super::an_end_meets_a_worker_that_parks(Without::Nothing);
        });
    }

    #[test]
    fn two_unparks_meet_a_worker_that_parks() {
        explore(None, || {
            super::two_unparks_meet_a_worker_that_parks(Without::Nothing);
        });
    }

    #[test]
    fn an_unpark_meets_a_worker_that_comes_out() {
        explore(None, || {
            super::an_unpark_meets_a_worker_that_comes_out(Without::Nothing);
        });
    }
}

/// Each model notices what is made wrong.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "a worker waits for ever")]
    fn a_scheduler_that_ends_after_it_has_unparked() {
        explore(None, || {
            an_end_meets_a_worker_that_parks(Without::BeginningFirst);
        });
    }

    #[test]
    #[should_panic(expected = "a worker waits for ever")]
    fn a_notification_that_is_taken_without_another_look() {
        explore(None, || {
            an_end_meets_a_worker_that_parks(Without::LookingAgain);
        });
    }

    #[test]
    #[should_panic(expected = "a worker waits for ever")]
    fn a_worker_that_comes_out_and_parks_without_another_look() {
        explore(None, || {
            an_unpark_meets_a_worker_that_comes_out(Without::LookingAgain);
        });
    }

    #[test]
    #[should_panic(expected = "a worker waits for ever")]
    fn a_place_that_is_written_over_a_notification() {
        explore(Some(Seed::Torn(Op::Exchange)), || {
            two_unparks_meet_a_worker_that_parks(Without::Nothing);
        });
    }

    #[test]
    #[should_panic(expected = "a worker waits for ever")]
    fn unparks_that_order_nothing() {
        explore(Some(Seed::Relaxed(Op::Swap)), || {
            two_unparks_meet_a_worker_that_parks(Without::Nothing);
        });
    }
}
