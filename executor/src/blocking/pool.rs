//! The threads on which functions block.
//!
//! # Growth
//!
//! The state is under one lock, held for the moments between jobs. A job that comes in wakes an
//! idle thread, or starts one if there is none; but only one wake-up or start is under way at a
//! time. A thread that takes a job passes the call on if more jobs wait, so that a burst of short
//! jobs is run by few threads, while jobs that block get one each, up to the limit.
//!
//! The flag that says that a call is under way is cleared by the thread that answers it, before
//! that thread looks at the queue, and both under the lock: a job that is pushed meanwhile is
//! either seen by that look or makes a call of its own. A thread stops being counted in the
//! same critical section in which it finds that there is nothing to do and decides to leave, so
//! that nobody relies on it from then on.
//!
//! # When the operating system refuses a thread
//!
//! Jobs wait for the threads there are. If there are none the jobs are dropped, and their handles
//! say that they were cancelled: nobody waits for ever.
//!
//! The names and hooks of threads are user code: they are asked for with nothing locked.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use telemetry_rt_reactor::time::InhibitAutoAdvance;
use telemetry_rt_telemetry::record::{Gauges, Recorder, WakeCause};

use crate::registry::Registry;
use crate::runtime::{Config, Handle, context};
use crate::task::{Notified, Pen};

/// A function that waits for a thread.
struct Job {
    task: Notified,
    must_run: bool,
    /// A paused clock does not move by itself before the function has run.
    _clock: Option<InhibitAutoAdvance>,
}

/// Who is called to look at the queue.
enum Call {
    /// Somebody will look, or nobody can be called.
    Nobody,
    /// A thread that waits for work.
    Idle,
    /// A new thread, which is counted already.
    New { number: usize },
}

/// See the module.
pub(crate) struct Pool {
    state: Mutex<State>,
    called: Condvar,
    ended: Condvar,
    limit: usize,
    keep_alive: Duration,
    config: Config,
    /// Functions that wait or run, for those who ask. It is never closed.
    registry: Arc<Registry>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that look at the queue, or will.
    threads: usize,
    /// Those among them that wait for a call.
    idle: usize,
    /// An idle thread was woken, or a thread was started, and has not looked at the queue yet.
    called: bool,
    /// Threads that have not ended: those above, and some that are on their way out.
    alive: usize,
    /// How many threads were ever started: their numbers.
    started: usize,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(config: &Config) -> Pool {
        Pool {
            state: Mutex::default(),
            called: Condvar::new(),
            ended: Condvar::new(),
            limit: config.blocking_threads,
            keep_alive: config.keep_alive,
            config: config.clone(),
            registry: Arc::new(Registry::new(1)),
        }
    }

    /// Lists a function for those who ask what there is.
    pub(crate) fn list(&self, task: Notified) -> Notified {
        let listed = self.registry.insert(task);
        listed.expect("the registry of the pool is never closed")
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Adds the numbers of the moment.
    pub(crate) fn gauge(&self, gauges: &mut Gauges) {
        let state = self.state.lock();
        gauges.blocking_threads = state.threads as u64;
        gauges.idle_blocking_threads = state.idle as u64;
        gauges.blocking_depth = state.queue.len() as u64;
    }

    /// Runs a task that blocks. After the pool was closed the task is dropped at once. One that
    /// `must_run`, and comes before that, is run even if the pool is closed before its turn.
    pub(crate) fn run(self: &Arc<Self>, handle: &Handle, task: Notified, must_run: bool) {
        let job = Job {
            task,
            must_run,
            _clock: InhibitAutoAdvance::new(handle.reactor()),
        };
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop_jobs([job], handle.shared().recorder());
            return;
        }
        state.queue.push_back(job);
        let call = self.choose_call(&mut state);
        drop(state);
        self.make_call(call, handle);
    }

    // ----- calling threads -----

    /// Chooses how somebody is called to look at the queue. The call is made without the lock.
    fn choose_call(&self, state: &mut State) -> Call {
        if state.called || state.queue.is_empty() {
            return Call::Nobody;
        }
        if state.idle > 0 {
            state.called = true;
            return Call::Idle;
        }
        if state.threads < self.limit {
            state.called = true;
            state.threads += 1;
            state.alive += 1;
            state.started += 1;
            return Call::New {
                number: state.started - 1,
            };
        }
        Call::Nobody
    }

    fn make_call(self: &Arc<Self>, call: Call, handle: &Handle) {
        match call {
            Call::Nobody => {}
            Call::Idle => {
                self.called.notify_one();
            }
            Call::New { number } => self.start_thread(number, handle),
        }
    }

    fn start_thread(self: &Arc<Self>, number: usize, handle: &Handle) {
        // Counts the thread out again if it does not come to work, because there is none to be had
        // or because user code panics before.
        let newcomer = Newcomer {
            pool: Arc::clone(self),
            handle: handle.clone(),
            at_work: false,
        };
        let name = format!("{}-blocking-{number}", self.thread_name());
        let thread_name: Arc<str> = name.as_str().into();
        let run = Box::new(move || newcomer.thread_main(thread_name));
        // Detached: the pool counts its threads, and waits for the count.
        drop(self.config.os.spawn(name, self.config.stack_size, run));
    }

    /// Asks the user for a name. A panic there must not harm the job that is about to be run on
    /// the calling thread.
    fn thread_name(&self) -> String {
        let name = AssertUnwindSafe(|| (self.config.thread_name)());
        catch_unwind(name).unwrap_or_else(|_| "telemetry-rt".to_owned())
    }

    // ----- the life of a thread -----

    /// Runs jobs until there are none for the time of keep-alive, or the pool is closed.
    fn work(self: &Arc<Self>, handle: &Handle, pen: &Pen<'_>) {
        let mut state = self.state.lock();
        state.called = false;
        loop {
            while let Some(job) = state.queue.pop_front() {
                let call = self.choose_call(&mut state);
                MutexGuard::unlocked(&mut state, || {
                    self.make_call(call, handle);
                    job.task.run(pen);
                });
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.called.wait_for(&mut state, self.keep_alive);
            state.idle -= 1;
            if waited.timed_out() && !state.called && state.queue.is_empty() {
                break;
            }
            state.called = false;
        }
        state.threads -= 1;
    }

    /// A thread that was counted will not look at the queue. If there is no other, nobody ever
    /// will: the jobs are dropped.
    #[cold]
    fn count_out(&self, recorder: &Recorder) {
        let mut state = self.state.lock();
        state.called = false;
        state.threads -= 1;
        let orphans = match state.threads {
            0 => std::mem::take(&mut state.queue),
            _ => VecDeque::new(),
        };
        drop(state);
        drop_jobs(orphans, recorder);
    }

    // ----- the end -----

    /// Refuses further jobs, and drops those that have not started, except for those that must
    /// run: the threads end when these are done.
    pub(crate) fn close(self: &Arc<Self>, handle: &Handle) {
        let mut state = self.state.lock();
        state.closed = true;
        let (kept, dropped) = state.queue.drain(..).partition(|job| job.must_run);
        state.queue = kept;
        let call = self.choose_call(&mut state);
        self.called.notify_all();
        drop(state);
        self.make_call(call, handle);
        drop_jobs::<VecDeque<Job>>(dropped, handle.shared().recorder());
    }

    /// Waits until all threads have ended, at most until `deadline`; tells whether they have.
    ///
    /// A thread of the pool that waits here, because a function on it drops the runtime, does not
    /// wait for itself.
    pub(crate) fn wait_until_ended(&self, deadline: Option<Instant>) -> bool {
        let own = usize::from(Membership::is_of(self));
        let mut state = self.state.lock();
        while state.alive > own {
            match deadline {
                None => self.ended.wait(&mut state),
                Some(deadline) => {
                    if self.ended.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.alive <= own
    }
}

fn drop_jobs<J: IntoIterator<Item = Job>>(jobs: J, recorder: &Recorder) {
    for job in jobs {
        job.task.run_cancelled(&Pen::Own(&recorder.other()));
    }
}

/// A thread of the pool, from the moment it is counted.
struct Newcomer {
    pool: Arc<Pool>,
    handle: Handle,
    at_work: bool,
}

impl Newcomer {
    fn thread_main(mut self, name: Arc<str>) {
        let (pool, handle) = (Arc::clone(&self.pool), self.handle.clone());
        let _entered = context::enter(&handle);
        let _member = Membership::of(&pool);
        if let Some(hook) = &pool.config.on_thread_start {
            hook();
        }
        self.at_work = true;
        let scribe = handle.shared().recorder().blocking(name);
        let _at_work = scribe.at_work(WakeCause::Blocking);
        pool.work(&handle, &Pen::Own(&scribe));
        if let Some(hook) = &pool.config.on_thread_stop {
            hook();
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if !self.at_work {
            self.pool.count_out(self.handle.shared().recorder());
        }
        self.pool.state.lock().alive -= 1;
        self.pool.ended.notify_all();
    }
}

/// Which pool the calling thread belongs to.
struct Membership;

thread_local! {
    static POOL: Cell<*const Pool> = const { Cell::new(ptr::null()) };
}

impl Membership {
    fn of(pool: &Arc<Pool>) -> Membership {
        POOL.set(Arc::as_ptr(pool));
        Membership
    }

    fn is_of(pool: &Pool) -> bool {
        POOL.try_with(|current| ptr::eq(current.get(), pool))
            .unwrap_or(false)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        POOL.set(ptr::null());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
