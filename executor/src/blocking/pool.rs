//! The threads on which functions block.
//!
//! # Growth
//!
//! Everything is under one lock, held for the moments between jobs. A job that comes in wakes an
//! idle thread, or starts one if there is none; but only one wake-up or start is under way at a
//! time. A thread that takes a job passes the call on if more jobs wait, so that a burst of short
//! jobs is run by few threads, while jobs that block get one each, up to the limit.
//!
//! The flag that says that a call is under way is cleared by the thread that answers it, before
//! that thread looks at the queue, and both under the lock: a job that is pushed meanwhile is
//! either seen by that look or makes a call of its own.
//!
//! # When the operating system refuses a thread
//!
//! Jobs wait for the threads there are. If there are none the jobs are dropped, and their handles
//! say that they were cancelled: nobody waits for ever.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use telemetry_rt_telemetry::record::Recorder;

use crate::runtime::{Config, Handle, context};
use crate::scheduler::{Core, Shared, WorkerThread};
use crate::task::{Notified, Pen};

/// Something that needs a thread.
enum Job {
    /// A function to call.
    Task(Notified),
    /// A worker whose thread blocks in place.
    Worker(Arc<Shared>, Core),
}

/// See the module.
pub(crate) struct Pool {
    state: Mutex<State>,
    called: Condvar,
    ended: Condvar,
    config: PoolConfig,
}

struct PoolConfig {
    limit: usize,
    keep_alive: Duration,
    runtime: Config,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// An idle thread was woken, or a thread was started, and has not looked at the queue yet.
    called: bool,
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
            config: PoolConfig {
                limit: config.blocking_threads,
                keep_alive: config.keep_alive,
                runtime: config.clone(),
            },
        }
    }

    /// Runs a task that blocks. After the pool was closed the task is dropped at once.
    pub(crate) fn run(self: &Arc<Self>, handle: &Handle, task: Notified) {
        if let Err(Job::Task(task)) = self.push(handle, Job::Task(task)) {
            task.run_cancelled(&Pen::Own(&handle.shared().recorder().other(None)));
        }
    }

    /// Runs a worker whose thread is about to block. Gives the core back when there is no thread
    /// for it.
    pub(crate) fn run_worker(self: &Arc<Self>, handle: &Handle, core: Core) -> Result<(), Core> {
        let job = Job::Worker(Arc::clone(handle.shared()), core);
        match self.push(handle, job) {
            Err(Job::Worker(_, core)) => Err(core),
            Err(Job::Task(_)) | Ok(()) => Ok(()),
        }
    }

    /// Whether no thread works and no job waits.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.idle == state.threads
    }

    fn push(self: &Arc<Self>, handle: &Handle, job: Job) -> Result<(), Job> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(job);
        }
        state.queue.push_back(job);
        let orphans = self.call_a_thread(&mut state, handle);
        drop(state);
        drop_jobs(orphans, handle.shared().recorder());
        Ok(())
    }

    /// Sees to it that somebody looks at the queue. Returns the jobs that nobody ever will.
    fn call_a_thread(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        handle: &Handle,
    ) -> VecDeque<Job> {
        if state.called || state.queue.is_empty() {
            return VecDeque::new();
        }
        if state.idle > 0 {
            state.called = true;
            self.called.notify_one();
        } else if state.threads < self.config.limit && self.start_thread(state, handle).is_ok() {
            state.called = true;
        } else if state.threads == 0 {
            return std::mem::take(&mut state.queue);
        }
        VecDeque::new()
    }

    fn start_thread(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        handle: &Handle,
    ) -> std::io::Result<()> {
        let config = &self.config.runtime;
        let name = format!("{}-blocking-{}", (config.thread_name)(), state.started);
        let (pool, handle) = (Arc::clone(self), handle.clone());
        let thread_name: Arc<str> = name.as_str().into();
        let run = Box::new(move || pool.thread_main(&handle, thread_name));
        // Detached: the pool counts its threads, and waits for the count.
        drop(config.os.spawn(name, config.stack_size, run)?);
        state.threads += 1;
        state.started += 1;
        Ok(())
    }

    fn thread_main(self: Arc<Self>, handle: &Handle, name: Arc<str>) {
        let _ending = Ending(&self);
        let _entered = context::enter(handle);
        let _member = Membership::of(&self);
        let hooks = &self.config.runtime;
        call(&hooks.on_thread_start);
        let scribe = handle.shared().recorder().other(Some(name));
        self.work(handle, &Pen::Own(&scribe));
        call(&hooks.on_thread_stop);
    }

    /// Runs jobs until there are none for the time of keep-alive, or the pool is closed.
    fn work(self: &Arc<Self>, handle: &Handle, pen: &Pen<'_>) {
        let mut state = self.state.lock();
        state.called = false;
        loop {
            while let Some(job) = state.queue.pop_front() {
                let orphans = self.call_a_thread(&mut state, handle);
                debug_assert!(orphans.is_empty(), "this thread is there for them");
                MutexGuard::unlocked(&mut state, || run_job(job, pen));
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            let waited = self.called.wait_for(&mut state, self.config.keep_alive);
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() && !state.called {
                return;
            }
            state.called = false;
        }
    }

    /// Refuses further jobs, and drops those that have not started.
    pub(crate) fn close(&self, recorder: &Recorder) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queue);
        self.called.notify_all();
        drop(state);
        drop_jobs(waiting, recorder);
    }

    /// Waits until all threads have ended, at most until `deadline`; tells whether they have.
    ///
    /// A thread of the pool that waits here, because a function on it drops the runtime, does not
    /// wait for itself.
    pub(crate) fn wait_until_ended(&self, deadline: Option<Instant>) -> bool {
        let own = usize::from(Membership::is_of(self));
        let mut state = self.state.lock();
        while state.threads > own {
            match deadline {
                None => self.ended.wait(&mut state),
                Some(deadline) => {
                    if self.ended.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.threads <= own
    }
}

/// Counts a thread out when it ends, also when a hook of the user panics on it.
struct Ending<'a>(&'a Pool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.state.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

fn run_job(job: Job, pen: &Pen<'_>) {
    match job {
        Job::Task(task) => task.run(pen),
        Job::Worker(shared, core) => run_worker(&shared, core),
    }
}

/// Runs a worker on this thread until it stops or is given away.
///
/// Panics of user code are caught where it is called. One that comes out here is a mistake of the
/// scheduler, whose tasks can no longer be trusted to anybody: the process is aborted.
pub(crate) fn run_worker(shared: &Arc<Shared>, core: Core) {
    let _driving = context::start_driving(context::Driving::MultiThread);
    let abort = AbortOnPanic;
    let ((), core) = WorkerThread::enter(shared, core, WorkerThread::run);
    drop(abort);
    if let Some(core) = core {
        shared.return_core(core);
    }
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "telemetry_rt: a worker panicked outside of any task, which is a bug; aborting"
            );
            std::process::abort();
        }
    }
}

fn drop_jobs(jobs: VecDeque<Job>, recorder: &Recorder) {
    for job in jobs {
        match job {
            Job::Task(task) => task.run_cancelled(&Pen::Own(&recorder.other(None))),
            Job::Worker(shared, core) => shared.return_core(core),
        }
    }
}

fn call(hook: &Option<crate::runtime::Hook>) {
    if let Some(hook) = hook {
        hook();
    }
}

/// Which pool the calling thread belongs to.
struct Membership;

thread_local! {
    static POOL: std::cell::Cell<*const Pool> = const { std::cell::Cell::new(std::ptr::null()) };
}

impl Membership {
    fn of(pool: &Arc<Pool>) -> Membership {
        POOL.set(Arc::as_ptr(pool));
        Membership
    }

    fn is_of(pool: &Pool) -> bool {
        POOL.try_with(|current| std::ptr::eq(current.get(), pool))
            .unwrap_or(false)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        POOL.set(std::ptr::null());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}
