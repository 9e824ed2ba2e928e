//! The runtime: what is built, and how it ends.
//!
//! The end, in this order: refuse new work; stop the workers; drop all tasks, on the thread that
//! stops last, inside the context of the runtime; drop the functions that wait for a thread; wait
//! for those that run; shut the reactor down. A deadline bounds the waiting, not the order.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::thread::JoinHandle as ThreadHandle;
use std::time::Duration;

use parking_lot::Mutex;
use telemetry_rt_reactor as reactor;

use super::block_on;
use super::config::{Config, RuntimeFlavor};
use super::context::{self, Driving, EnterGuard};
use super::handle::{Handle, Lookups};
use crate::blocking::{Pool, run_worker};
use crate::scheduler::{Core, Intervals, Shared};
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
pub struct Runtime {
    handle: Handle,
    threads: Mutex<Vec<ThreadHandle<()>>>,
    shut_down: bool,
}

impl Runtime {
    /// Starts a runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread, or what the driver needs of it.
    pub fn new(config: Config) -> io::Result<Runtime> {
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
            config.recorder.clone(),
            Intervals {
                events: config.event_interval,
                injector: config.injector_interval,
            },
        );
        let pool = Arc::new(Pool::new(&config));
        let handle = Handle::new(shared, pool, config.flavor);
        lookups.attach(&handle);
        let mut runtime = Runtime {
            handle,
            threads: Mutex::default(),
            shut_down: false,
        };
        match runtime.start_workers(&config, cores) {
            Ok(()) => Ok(runtime),
            Err(error) => {
                runtime.shut_down(Some(Duration::ZERO));
                Err(error)
            }
        }
    }

    fn start_workers(&self, config: &Config, cores: Vec<Core>) -> io::Result<()> {
        let shared = self.handle.shared();
        let mut cores = cores.into_iter();
        if config.flavor == RuntimeFlavor::CurrentThread {
            cores.for_each(|core| shared.park_core(core));
            return Ok(());
        }
        let mut started = Ok(());
        for (number, core) in cores.by_ref().enumerate() {
            // The core goes through a place that both sides reach, so that it is not lost when
            // the thread cannot be started.
            let place = Arc::new(Mutex::new(Some(core)));
            let name = format!("{}-worker-{number}", (config.thread_name)());
            let run = worker_main(self.handle.clone(), config.clone(), Arc::clone(&place));
            match config.os.spawn(name, config.stack_size, run) {
                Ok(thread) => self.threads.lock().push(thread),
                Err(error) => {
                    place
                        .lock()
                        .take()
                        .into_iter()
                        .for_each(|core| shared.return_core(core));
                    started = Err(error);
                    break;
                }
            }
        }
        cores.for_each(|core| shared.return_core(core));
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
    /// If the future panics, or if this thread is running asynchronous tasks.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
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

    fn shut_down(&mut self, timeout: Option<Duration>) {
        if std::mem::replace(&mut self.shut_down, true) {
            return;
        }
        let deadline =
            timeout.and_then(|timeout| telemetry_rt_clock::instant().checked_add(timeout));
        let shared = self.handle.shared();
        shared.close();
        {
            // Futures are dropped as they ran: with the runtime current.
            let _entered = context::enter(&self.handle);
            if let Some(core) = shared.take_core() {
                shared.return_core(core);
            }
        }
        let down = shared.wait_until_down(deadline);
        self.handle.blocking().close(shared.recorder());
        self.handle.blocking().wait_until_ended(deadline);
        shared.reactor().shutdown();
        if down {
            self.join_threads();
        }
    }

    /// Waits for worker threads that have nothing left to do but to end.
    fn join_threads(&self) {
        let own = std::thread::current().id();
        for thread in self.threads.lock().drain(..) {
            if thread.thread().id() != own && thread.join().is_err() {
                // Only hooks of the user can panic there, and that was reported by the panic.
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.shut_down {
            return;
        }
        if context::driving() == Driving::Nothing {
            self.shut_down(None);
            return;
        }
        self.shut_down(Some(Duration::ZERO));
        if !std::thread::panicking() {
            self.check_may_wait();
        }
    }
}

/// What the thread of a worker does.
fn worker_main(
    handle: Handle,
    config: Config,
    place: Arc<Mutex<Option<Core>>>,
) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let _entered = context::enter(&handle);
        let starting = Starting {
            handle: &handle,
            place: &place,
        };
        if let Some(hook) = &config.on_thread_start {
            hook();
        }
        let core = place.lock().take();
        drop(starting);
        if let Some(core) = core {
            run_worker(handle.shared(), core);
        }
        if let Some(hook) = &config.on_thread_stop {
            hook();
        }
    })
}

/// Returns the core if the thread ends before it has begun to run it, because a hook panicked: a
/// core that is missing would be waited for at the end.
struct Starting<'a> {
    handle: &'a Handle,
    place: &'a Mutex<Option<Core>>,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let core = self.place.lock().take();
        if let Some(core) = core {
            self.handle.shared().return_core(core);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
