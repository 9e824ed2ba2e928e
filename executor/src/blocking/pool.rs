//! The threads on which functions block.
//!
//! Who runs a job and when a thread is started is decided at the [desk](super::desk), under one
//! lock that is held for the moments between jobs. What was decided is done here, with nothing
//! locked: a thread that is woken may run at once, and must not meet the lock of its waker.
//!
//! # When the operating system refuses a thread
//!
//! Jobs wait for the threads there are. If there are none the jobs are dropped, and their handles
//! say that they were cancelled: nobody waits for ever.
//!
//! The names and hooks of threads are user code: they are asked for with nothing locked.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use telemetry_rt_reactor::time::InhibitAutoAdvance;
use telemetry_rt_telemetry::record::{Gauges, Recorder, WakeCause};

use super::desk::{Call, Desk, Step};
use super::seat::Seat;
use crate::quietly::quietly;
use crate::registry::Registry;
use crate::runtime::{Config, Handle, context};
use crate::task::{Notified, Pen};

/// A function that waits for a thread.
struct Job {
    task: Notified,
    must_run: bool,
    /// A paused clock does not move by itself before the function has run.
    clock: Option<InhibitAutoAdvance>,
}

/// See the module.
pub(crate) struct Pool {
    desk: Mutex<Desk<Job, Seat>>,
    ended: Condvar,
    keep_alive: Duration,
    config: Config,
    /// Functions that wait or run, for those who ask. It is never closed.
    registry: Arc<Registry>,
}

/// How long a scout lets jobs wait for the threads there are. Of the order of what starting a
/// thread takes: a shorter time would start some in vain, a longer one would be felt.
const PATIENCE: Duration = Duration::from_micros(50);

impl Pool {
    pub(crate) fn new(config: &Config) -> Pool {
        Pool {
            desk: Mutex::new(Desk::new(config.blocking_threads)),
            ended: Condvar::new(),
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
        let desk = self.desk.lock();
        gauges.blocking_threads = desk.threads() as u64;
        gauges.idle_blocking_threads = desk.idle() as u64;
        gauges.blocking_depth = desk.depth() as u64;
    }

    /// Runs a task that blocks. After the pool was closed the task is dropped at once. One that
    /// `must_run`, and comes before that, is run even if the pool is closed before its turn.
    pub(crate) fn run(self: &Arc<Self>, handle: &Handle, task: Notified, must_run: bool) {
        let job = Job {
            task,
            must_run,
            clock: InhibitAutoAdvance::new(handle.reactor()),
        };
        let pushed = self.desk.lock().push(job);
        match pushed {
            Ok(call) => self.make_call(call, handle),
            Err(job) => drop_jobs([job], handle.shared().recorder()),
        }
    }

    // ----- calling threads -----

    fn make_call(self: &Arc<Self>, call: Call<Seat>, handle: &Handle) {
        match call {
            Call::Nobody => {}
            Call::Idle(seat) => seat.call(),
            Call::New(number) => self.start_thread(number, handle),
        }
    }

    #[cold]
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
        // Only hooks of the user can panic there. The standard library aborts the process if nobody
        // takes a payload that panics when it is dropped.
        let run = Box::new(move || quietly(|| newcomer.thread_main(thread_name)));
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
        let seat = Arc::new(Seat::of_this_thread());
        let mut step = self.desk.lock().scout(&seat);
        loop {
            step = match step {
                Step::Run(job, call) => {
                    self.make_call(call, handle);
                    job.task.run(pen);
                    drop(job.clock);
                    self.desk.lock().look(&seat)
                }
                Step::Idle => match seat.wait(self.keep_alive) {
                    true => self.desk.lock().answer(&seat),
                    false => self.desk.lock().grow_old(&seat),
                },
                Step::Watch(times) => {
                    thread::park_timeout(times * PATIENCE);
                    self.desk.lock().scout(&seat)
                }
                Step::Leave => break,
            };
        }
    }

    /// A thread that was counted will not look at the queue. If there is no other, nobody ever
    /// will: the jobs are dropped.
    #[cold]
    fn count_out(&self, recorder: &Recorder) {
        let orphans = self.desk.lock().scout_is_lost();
        drop_jobs(orphans, recorder);
    }

    // ----- the end -----

    /// Refuses further jobs, and drops those that have not started, except for those that must
    /// run: the threads end when these are done.
    pub(crate) fn close(self: &Arc<Self>, handle: &Handle) {
        let (dropped, idle, call) = self.desk.lock().close(|job| job.must_run);
        idle.iter().for_each(|seat| seat.call());
        self.make_call(call, handle);
        drop_jobs(dropped, handle.shared().recorder());
    }

    /// Waits until all threads have ended, at most until `deadline`; tells whether they have.
    ///
    /// A thread of the pool that waits here, because a function on it drops the runtime, does not
    /// wait for itself.
    pub(crate) fn wait_until_ended(&self, deadline: Option<Instant>) -> bool {
        let own = usize::from(Membership::is_of(self));
        let mut desk = self.desk.lock();
        while desk.alive() > own {
            match deadline {
                None => self.ended.wait(&mut desk),
                Some(deadline) => {
                    if self.ended.wait_until(&mut desk, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        desk.alive() <= own
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
        self.pool.desk.lock().ended();
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
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
