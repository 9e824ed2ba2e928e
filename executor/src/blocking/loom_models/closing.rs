//! The end of the pool, under every order of events: each job is run, or given back to be dropped; what
//! must run and was taken in is run; and all threads end, which whoever waits for it learns.
//!
//! The operating system may refuse a thread.

use super::*;
use crate::sync::Condvar;

/// A pool that may be closed, and what became of its jobs.
struct Closing {
    world: loom::sync::Arc<World>,
    dropped: AtomicU64,
    ended: Condvar,
    /// The operating system refuses threads.
    refuses: bool,
}

impl Closing {
    fn new(limit: usize, without: Without) -> loom::sync::Arc<Closing> {
        Closing::of(limit, without, false)
    }

    fn of(limit: usize, without: Without, refuses: bool) -> loom::sync::Arc<Closing> {
        loom::sync::Arc::new(Closing {
            world: World::new(limit, without),
            dropped: AtomicU64::new(0),
            ended: Condvar::new(),
            refuses,
        })
    }

    fn without(&self, step: Without) -> bool {
        self.world.without == step
    }

    // ----- the steps of `pool.rs` -----

    fn run(&self, job: Kind) {
        let pushed = self.world.desk.lock().push(job);
        match pushed {
            Ok(call) => self.make(call),
            Err(_) if self.without(Without::Refusing) => {}
            Err(_) => self.drop_jobs(1),
        }
    }

    fn make(&self, call: Call<Seat>) {
        match call {
            Call::New(_) if self.refuses => self.count_out(),
            call => self.world.make(call),
        }
    }

    fn count_out(&self) {
        let orphans = self.world.desk.lock().scout_is_lost();
        if !self.without(Without::Orphans) {
            self.drop_jobs(orphans.len());
        }
        self.tell_end();
    }

    fn close(&self) {
        let closed = self.world.desk.lock().close(|&job| job == Kind::MustRun);
        let (dropped, idle, call) = closed;
        if !self.without(Without::WakingIdle) {
            idle.into_iter()
                .for_each(|seat| self.world.make(Call::Idle(seat)));
        }
        self.make(call);
        self.drop_jobs(dropped.len());
    }

    fn tell_end(&self) {
        self.world.desk.lock().ended();
        if !self.without(Without::Telling) {
            self.ended.notify_all();
        }
    }

    fn wait_until_ended(&self) {
        let mut desk = self.world.desk.lock();
        while desk.alive() > 0 {
            self.ended.wait(&mut desk);
        }
    }

    fn drop_jobs(&self, jobs: usize) {
        self.dropped.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    // ----- when all is done -----

    /// As `World::settle`, and all threads that were counted end.
    fn settle(&self, left: Vec<Left>, jobs: u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let kept = self.world.settle(left, jobs - dropped);
        let threads = self.world.desk.lock().threads();
        assert_eq!(threads, kept, "threads that never leave");
    }
}

fn start_at<T: 'static>(
    pool: &loom::sync::Arc<Closing>,
    act: impl FnOnce(&Closing) -> T + 'static,
) -> thread::JoinHandle<T> {
    let theirs = loom::sync::Arc::clone(pool);
    start(move || act(&theirs))
}

/// A job comes to a pool without threads while that is closed.
fn a_push_meets_the_end(without: Without) {
    let pool = Closing::new(1, without);
    let closing = start_at(&pool, Closing::close);
    pool.run(Kind::Short);
    end(closing);
    pool.settle(Vec::new(), 1);
}

/// A thread answers a call, and becomes idle, while the pool is closed.
fn a_thread_that_becomes_idle_meets_the_end(without: Without) {
    let pool = Closing::new(1, without);
    let seat = pool.world.idle_thread();
    pool.run(Kind::Short);
    let working = start_at(&pool, |pool| pool.world.go_on(Step::Idle, seat));
    pool.close();
    let left = end(working);
    pool.settle(vec![left], 1);
}

/// An idle thread has waited for long while the pool is closed.
fn a_thread_that_leaves_meets_the_end(without: Without) {
    let pool = Closing::new(1, without);
    let seat = pool.world.idle_thread();
    let leaving = start_at(&pool, |pool| pool.world.grow_old(seat));
    pool.close();
    let left = end(leaving);
    pool.settle(vec![left], 0);
}

/// Two jobs come, of which the first keeps its thread and the other must run, while a thread answers and
/// the pool is closed.
fn what_must_run_meets_the_end(without: Without) {
    let pool = Closing::new(2, without);
    let seat = pool.world.idle_thread();
    pool.run(Kind::Keeps);
    pool.run(Kind::MustRun);
    let working = start_at(&pool, |pool| pool.world.go_on(Step::Idle, seat));
    pool.close();
    let left = end(working);
    let dropped = pool.dropped.load(Ordering::Relaxed);
    assert!(dropped <= 1, "what must run is dropped");
    pool.settle(vec![left], 2);
}

/// A job relies on a thread that another job has sent for, and that is refused, while the pool is closed.
fn a_thread_that_is_refused_meets_the_end(without: Without) {
    let pool = Closing::of(1, without, true);
    let pushing = start_at(&pool, |pool| pool.run(Kind::MustRun));
    let closing = start_at(&pool, Closing::close);
    pool.run(Kind::Short);
    end(pushing);
    end(closing);
    pool.settle(Vec::new(), 2);
}

/// Somebody waits for the end of a thread that is refused, and of one that leaves.
fn a_wait_meets_threads_that_end(without: Without) {
    let pool = Closing::of(2, without, true);
    let seat = pool.world.idle_thread();
    pool.close();
    let leaving = start_at(&pool, |pool| {
        let left = pool.world.go_on(Step::Idle, seat);
        assert!(matches!(left, Left::Gone));
        pool.tell_end();
    });
    pool.wait_until_ended();
    end(leaving);
}

type Model = fn(Without);

const MODELS: [Model; 6] = [
    a_push_meets_the_end,
    a_thread_that_becomes_idle_meets_the_end,
    a_thread_that_leaves_meets_the_end,
    what_must_run_meets_the_end,
    a_thread_that_is_refused_meets_the_end,
    a_wait_meets_threads_that_end,
];

mod hold {
    use super::*;

    #[test]
    fn no_job_is_lost_and_no_thread_stays_when_the_pool_is_closed() {
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
    fn a_job_that_is_refused_and_forgotten() {
        explore(None, || a_push_meets_the_end(Without::Refusing));
    }

    #[test]
    #[should_panic(expected = "threads that never leave")]
    fn a_thread_that_is_not_told_of_the_end() {
        explore(None, || {
            a_thread_that_becomes_idle_meets_the_end(Without::WakingIdle);
        });
    }

    #[test]
    #[should_panic(expected = "threads that never leave")]
    fn a_thread_that_leaves_without_being_told() {
        explore(None, || {
            a_thread_that_leaves_meets_the_end(Without::Staying);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn what_must_run_and_nobody_is_called_for() {
        explore(None, || {
            what_must_run_meets_the_end(Without::PassingOn);
        });
    }

    #[test]
    #[should_panic(expected = "jobs that nobody ran")]
    fn jobs_that_wait_for_a_thread_that_was_refused() {
        explore(None, || {
            a_thread_that_is_refused_meets_the_end(Without::Orphans);
        });
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_thread_that_ends_without_a_word() {
        explore(None, || a_wait_meets_threads_that_end(Without::Telling));
    }
}
