//! How threads of the pool wait and are called ([`desk`](super::desk)), under every order of
//! events: a job is run even if all jobs before it keep their threads for good.
//!
//! The threads here take the steps of `pool.rs`. One that waits leaves its thread of the model.
//! When all threads are done, those go on that were called, those that were sent for come, and time
//! passes for the scout; when nothing is left to happen, all jobs must have been taken.
//!
//! Each model is shown to fail when a step is left out.

mod closing;

use std::sync::Arc;

use loom::thread;

use super::desk::{Call, Desk, Step};
use crate::sync::model::explore;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A thread that was called looks at the queue first and clears the flag then.
    ClearingFirst,
    /// A thread that takes a job makes no call.
    PassingOn,
    /// A scout that is not needed yet looks no second time.
    Watching,
    /// A thread that was called when it wanted to leave is gone.
    Staying,
    /// Who pushes makes no call.
    Calling,
    /// Who closes the pool wakes no idle thread.
    WakingIdle,
    /// A thread that finds no job goes idle a moment later.
    LookingAtOnce,
    /// What is refused is forgotten.
    Refusing,
    /// What waits for a thread that could not be started is forgotten.
    Orphans,
    /// A thread that has ended does not say so.
    Telling,
}

/// A place to wait.
#[derive(Debug, Default)]
struct Seat {
    called: AtomicBool,
}

struct World {
    desk: Mutex<Desk<Kind, Seat>>,
    sent_for: AtomicU64,
    taken: AtomicU64,
    without: Without,
}

/// What a job does to the thread that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Short,
    /// It waits for something for good.
    Keeps,
    /// It is kept when the pool is closed.
    MustRun,
}

/// Where a thread left the model.
#[derive(Debug)]
enum Left {
    Waiting(Arc<Seat>),
    Watching(Arc<Seat>),
    Kept,
    Gone,
}

impl World {
    fn new(limit: usize, without: Without) -> loom::sync::Arc<World> {
        loom::sync::Arc::new(World {
            desk: Mutex::new(Desk::new(limit)),
            sent_for: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            without,
        })
    }

    fn push(&self, job: Kind) {
        let call = self.desk.lock().push(job);
        let call = call.expect("nobody closes the desk");
        if self.without != Without::Calling {
            self.make(call);
        }
    }

    fn make(&self, call: Call<Seat>) {
        match call {
            Call::Nobody => {}
            Call::Idle(seat) => {
                seat.called.swap(true, Ordering::Relaxed);
            }
            Call::New(_) => {
                self.sent_for.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A thread that was sent for comes.
    fn arrive(&self) -> Left {
        let seat = Arc::new(Seat::default());
        let step = self.desk.lock().scout(&seat);
        self.go_on(step, seat)
    }

    fn go_on(&self, mut step: Step<Kind, Seat>, seat: Arc<Seat>) -> Left {
        loop {
            step = match step {
                Step::Run(job, call) => {
                    if self.without != Without::PassingOn {
                        self.make(call);
                    }
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    if job == Kind::Keeps {
                        return Left::Kept;
                    }
                    self.look(&seat)
                }
                Step::Idle if seat.called.swap(false, Ordering::Relaxed) => self.answer(&seat),
                Step::Idle => return Left::Waiting(seat),
                Step::Watch(_) if self.without == Without::Watching => return Left::Kept,
                Step::Watch(_) => return Left::Watching(seat),
                Step::Leave => return Left::Gone,
            }
        }
    }

    fn look(&self, seat: &Arc<Seat>) -> Step<Kind, Seat> {
        if self.without == Without::LookingAtOnce && self.desk.lock().depth() == 0 {
            self.desk.lock().lie_down(seat);
            return Step::Idle;
        }
        self.desk.lock().look(seat)
    }

    fn answer(&self, seat: &Arc<Seat>) -> Step<Kind, Seat> {
        if self.without == Without::ClearingFirst {
            let step = self.desk.lock().look(seat);
            self.desk.lock().clear_late();
            return step;
        }
        self.desk.lock().answer(seat)
    }

    /// Keep-alive is over for a thread that is idle.
    fn grow_old(&self, seat: Arc<Seat>) -> Left {
        let step = self.desk.lock().grow_old(&seat);
        match step {
            Step::Idle if self.without == Without::Staying => Left::Gone,
            step => self.go_on(step, seat),
        }
    }

    /// What the threads left behind goes on until nothing is left to happen. How many threads are kept
    /// by their jobs.
    fn settle(&self, left: Vec<Left>, jobs: u64) -> usize {
        let mut waiting = left;
        loop {
            let next = waiting.iter().position(|left| match left {
                Left::Waiting(seat) => seat.called.load(Ordering::Relaxed),
                Left::Watching(_) => true,
                Left::Kept | Left::Gone => false,
            });
            let left = match next.map(|next| waiting.swap_remove(next)) {
                Some(Left::Waiting(seat)) => self.go_on(Step::Idle, seat),
                Some(Left::Watching(seat)) => {
                    let step = self.desk.lock().scout(&seat);
                    self.go_on(step, seat)
                }
                _ if self.sent_for.load(Ordering::Relaxed) > 0 => {
                    self.sent_for.fetch_sub(1, Ordering::Relaxed);
                    self.arrive()
                }
                _ => break,
            };
            waiting.push(left);
        }
        let taken = self.taken.load(Ordering::Relaxed);
        assert_eq!(taken, jobs, "jobs that nobody ran");
        let kept = |left: &&Left| matches!(left, Left::Kept);
        waiting.iter().filter(kept).count()
    }

    /// A thread that has been idle for long.
    fn idle_thread(&self) -> Arc<Seat> {
        self.push(Kind::Short);
        self.sent_for.fetch_sub(1, Ordering::Relaxed);
        let Left::Waiting(seat) = self.arrive() else {
            panic!("a thread with nothing to do waits");
        };
        self.taken.fetch_sub(1, Ordering::Relaxed);
        seat
    }
}

fn start<T: 'static>(f: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(f)
}

fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread that panics ends the model")
}

/// A thread answers a call, while a job is pushed; both jobs keep their threads.
fn a_push_meets_a_thread_that_answers(without: Without) {
    let world = World::new(2, without);
    let seat = world.idle_thread();
    world.push(Kind::Keeps);
    let theirs = world.clone();
    let answering = start(move || theirs.go_on(Step::Idle, seat));
    world.push(Kind::Keeps);
    world.settle(vec![end(answering)], 2);
}

/// A thread becomes idle after a short job, while another job is pushed.
fn a_push_meets_a_thread_that_becomes_idle(without: Without) {
    let world = World::new(1, without);
    let seat = world.idle_thread();
    world.push(Kind::Short);
    let theirs = world.clone();
    let answering = start(move || theirs.go_on(Step::Idle, seat));
    world.push(Kind::Keeps);
    world.settle(vec![end(answering)], 2);
}

/// Two jobs come at once to a pool without threads, and the first keeps its thread.
fn two_pushes_meet_a_pool_without_threads(without: Without) {
    let world = World::new(2, without);
    let theirs = world.clone();
    let pushing = start(move || theirs.push(Kind::Keeps));
    world.push(Kind::Keeps);
    end(pushing);
    world.settle(Vec::new(), 2);
}

/// A scout looks whether it is needed, while the thread at work takes jobs, the last of which
/// keeps it.
fn a_scout_comes_while_jobs_are_taken(without: Without) {
    let world = World::new(2, without);
    let seat = world.idle_thread();
    world.push(Kind::Short);
    world.push(Kind::Keeps);
    world.push(Kind::Keeps);
    let theirs = world.clone();
    let working = start(move || theirs.go_on(Step::Idle, seat));
    let mut left = Vec::new();
    if world.sent_for.load(Ordering::Relaxed) > 0 {
        world.sent_for.fetch_sub(1, Ordering::Relaxed);
        left.push(world.arrive());
    }
    left.push(end(working));
    world.settle(left, 3);
}

/// A thread has been idle for the time of keep-alive when a job comes.
fn a_push_meets_a_thread_that_leaves(without: Without) {
    let world = World::new(1, without);
    let seat = world.idle_thread();
    let theirs = world.clone();
    let leaving = start(move || theirs.grow_old(seat));
    world.push(Kind::Keeps);
    world.settle(vec![end(leaving)], 1);
}

type Model = fn(Without);

const MODELS: [Model; 5] = [
    a_push_meets_a_thread_that_answers,
    a_push_meets_a_thread_that_becomes_idle,
    two_pushes_meet_a_pool_without_threads,
    a_scout_comes_while_jobs_are_taken,
    a_push_meets_a_thread_that_leaves,
];

mod hold {
    use super::*;

    #[test]
    fn all_jobs_are_run_whatever_those_before_them_wait_for() {
        for model in MODELS {
            explore(None, move || model(Without::Nothing));
        }
    }
}

/// Each step is missed by a model when it is left out.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_flag_that_is_cleared_after_the_look_at_the_queue() {
        explore(None, || {
            a_push_meets_a_thread_that_answers(Without::ClearingFirst);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_thread_that_takes_a_job_and_calls_nobody() {
        explore(None, || {
            a_push_meets_a_thread_that_answers(Without::PassingOn);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_push_that_calls_no_thread() {
        explore(None, || {
            two_pushes_meet_a_pool_without_threads(Without::Calling);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_thread_that_becomes_idle_a_moment_after_its_look() {
        explore(None, || {
            a_push_meets_a_thread_that_becomes_idle(Without::LookingAtOnce);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_scout_that_does_not_look_again() {
        explore(None, || {
            a_scout_comes_while_jobs_are_taken(Without::Watching);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn a_thread_that_leaves_though_it_was_called() {
        explore(None, || {
            a_push_meets_a_thread_that_leaves(Without::Staying);
        });
    }
}
