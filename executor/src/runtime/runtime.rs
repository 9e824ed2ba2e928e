//! The runtime: what is built, and how it ends.
//!
//! The end, in this order: refuse new work; stop the workers; drop all tasks, on the thread that
//! stops last, inside the context of the runtime; drop the functions that wait for a thread, but
//! for writes of files; wait for those that run; shut the reactor down. A deadline bounds the waiting, not the order.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt_reactor as reactor;
use telemetry_rt_telemetry::record::Recorder;

use super::block_on;
use super::config::{Config, RuntimeFlavor};
use super::context::{self, Driving, EnterGuard};
use super::handle::{Handle, Lookups};
use crate::scheduler::{Core, Intervals, Shared, WorkerThread};
use crate::task::JoinHandle;

/// A runtime: workers, a blocking pool, and a driver of sockets and timers.
///
/// Dropping it drops all tasks and waits for the functions that run on the blocking pool; see
/// [`shutdown_timeout`](Self::shutdown_timeout) for a bound on that.
///
/// # Panics
///
/// Dropping a runtime on a thread that runs asynchronous tasks panics, since waiting there would
/// stop those tasks. The runtime is shut down all the same, in the background.
///
/// # In a forked child
///
/// The threads stay with the parent, and so do the tasks: dropping the runtime drops nothing of it,
/// and waits for nobody; blocking on it panics. A child can start a runtime of its own.
pub struct Runtime {
    handle: Handle,
    shut_down: bool,
    /// Which process has its threads.
    process: u32,
}

// For the same reason as the handle.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl Runtime {
    /// Starts a runtime. What its tasks do is recorded by `recorder`, which must have been made for
    /// as many workers.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread, or what the driver needs of it.
    pub fn new(config: Config, recorder: Recorder) -> io::Result<Runtime> {
        let lookups = Arc::new(Lookups::default());
        let workers = match config.flavor {
            RuntimeFlavor::CurrentThread => 1,
            RuntimeFlavor::MultiThread => config.workers,
        };
        let (driver, reactor) = reactor::build(reactor::Config {
            shards: workers,
            events: config.events,
            enable_io: config.enable_io,
            enable_time: config.enable_time,
            pausable: config.flavor == RuntimeFlavor::CurrentThread,
            start_paused: config.start_paused,
            offload: Arc::clone(&lookups) as Arc<dyn reactor::Offload>,
        })?;
        let (shared, cores) = Shared::new(
            workers,
            driver,
            reactor,
            recorder,
            Intervals {
                events: config.event_interval.max(1),
                injector: config.injector_interval.max(1),
            },
        );
        let flavor = config.flavor;
        let handle = Handle::new(shared, config);
        lookups.attach(&handle);
        let mut runtime = Runtime {
            handle,
            shut_down: false,
            process: std::process::id(),
        };
        let started = match flavor {
            RuntimeFlavor::CurrentThread => {
                let shared = runtime.handle.shared();
                cores.into_iter().for_each(|core| shared.park_core(core));
                Ok(())
            }
            RuntimeFlavor::MultiThread => runtime.start_workers(cores),
        };
        match started {
            Ok(()) => Ok(runtime),
            Err(error) => {
                runtime.shut_down(Some(Duration::ZERO));
                Err(error)
            }
        }
    }

    /// Starts a thread for each core. When one is refused the other cores are returned, so that
    /// the shutdown that follows waits for none of them.
    fn start_workers(&self, cores: Vec<Core>) -> io::Result<()> {
        let mut started = Ok(());
        for core in cores {
            let unstarted = match &started {
                Ok(()) => self.handle.workers().start(&self.handle, core).err(),
                Err(_) => {
                    self.handle.shared().return_core(core);
                    None
                }
            };
            if let Some(refused) = unstarted {
                self.handle.shared().return_core(*refused.core);
                let message = format!(
                    "the thread of a worker could not be started: {}",
                    refused.error
                );
                started = Err(io::Error::new(refused.error.kind(), message));
            }
        }
        started
    }

    /// A handle to the runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this runtime the current one of the thread; see [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Spawns a future; see [`Handle::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a function that blocks; see [`Handle::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, function: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(function)
    }

    /// Runs a future to its end: the way into the runtime.
    ///
    /// The future runs on this thread. On a current-thread runtime so does everything else.
    ///
    /// # Panics
    ///
    /// If the future panics, if this thread is running asynchronous tasks, or in a process that was
    /// forked off the one that built the runtime.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.check_process();
        let site = Location::caller();
        match self.handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => block_on::as_worker(&self.handle, future, site),
            RuntimeFlavor::MultiThread => block_on::on_this_thread(&self.handle, future, site),
        }
    }

    /// Shuts the runtime down, waiting at most `timeout` for polls and blocking functions that
    /// run. What still runs then is left behind: its threads end when it ends.
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        self.check_may_wait();
        self.shut_down(Some(timeout));
    }

    /// Shuts the runtime down without waiting. May be called from within a task.
    pub fn shutdown_background(mut self) {
        self.shut_down(Some(Duration::ZERO));
    }

    #[track_caller]
    fn check_may_wait(&self) {
        assert!(
            context::driving() == Driving::Nothing,
            "Cannot drop a runtime in a context where blocking is not allowed: this thread is \
             running asynchronous tasks, and would wait for others to end. Drop the runtime \
             elsewhere, or use `shutdown_background`."
        );
    }

    /// Whether this thread is in the middle of a poll of one of the runtime's tasks.
    fn is_on_this_stack(&self) -> bool {
        WorkerThread::with_current(|worker| {
            worker.is_some_and(|worker| worker.belongs_to(self.handle.shared()))
        })
    }

    fn shut_down(&mut self, timeout: Option<Duration>) {
        if std::mem::replace(&mut self.shut_down, true) {
            return;
        }
        if std::process::id() != self.process {
            // Sockets are registered with what parent and child share: dropping one here would take
            // it from the parent, too.
            std::mem::forget(self.handle.clone());
            return;
        }
        let deadline =
            timeout.and_then(|timeout| telemetry_rt_clock::instant().checked_add(timeout));
        // Futures and functions are dropped as they would have run: with the runtime current.
        let _entered = context::enter(&self.handle);
        let shared = self.handle.shared();
        shared.close();
        if let Some(core) = shared.take_core() {
            shared.return_core(core);
        }
        let down = shared.wait_until_down(deadline);
        self.handle.blocking().close(&self.handle);
        self.handle.blocking().wait_until_ended(deadline);
        if down {
            self.handle.workers().join();
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.shut_down {
            return;
        }
        if context::driving() != Driving::Nothing {
            self.shut_down(Some(Duration::ZERO));
            if !std::thread::panicking() {
                self.check_may_wait();
            }
        } else if self.is_on_this_stack() {
            // A task that blocks in place drops the runtime it runs on: it cannot be waited for.
            self.shut_down(Some(Duration::ZERO));
        } else {
            self.shut_down(None);
        }
    }
}

impl AsRef<Runtime> for Runtime {
    fn as_ref(&self) -> &Runtime {
        self
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
