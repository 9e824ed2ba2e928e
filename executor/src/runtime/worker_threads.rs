//! The threads that run workers: started with the runtime, and one more whenever a worker has to
//! leave the thread that a task is about to block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle as ThreadHandle;

use parking_lot::Mutex;

use super::config::{Config, Hook};
use super::context::{self, Driving};
use super::handle::Handle;
use crate::quietly::quietly;
use crate::scheduler::{Core, WorkerThread};

/// See the module.
pub(crate) struct WorkerThreads {
    config: Config,
    threads: Mutex<Vec<ThreadHandle<()>>>,
    started: AtomicUsize,
}

/// The operating system refused a thread; here is what it was for.
pub(crate) struct Refused {
    pub(crate) core: Box<Core>,
    pub(crate) error: io::Error,
}

impl WorkerThreads {
    pub(super) fn new(config: Config) -> WorkerThreads {
        WorkerThreads {
            config,
            threads: Mutex::default(),
            started: AtomicUsize::new(0),
        }
    }

    /// Runs a worker on a thread of its own.
    pub(crate) fn start(&self, handle: &Handle, core: Core) -> Result<(), Refused> {
        // Relaxed: a number for a name.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        // The user's; if it panics the worker still has to run.
        let name = catch_unwind(AssertUnwindSafe(|| (self.config.thread_name)()));
        let name = name.unwrap_or_else(|_| String::from("telemetry-rt"));
        let name = format!("{name}-worker-{number}");
        // The core goes through a place that both sides reach, so that it is not lost when the
        // thread cannot be started.
        let place = Arc::new(Mutex::new(Some(core)));
        let run = thread_main(handle.clone(), self.config.clone(), Arc::clone(&place));
        match self.config.os.spawn(name, self.config.stack_size, run) {
            Ok(thread) => {
                self.keep(thread);
                Ok(())
            }
            Err(error) => {
                let core = place.lock().take();
                let core = core.expect("a thread that was not started has not taken the core");
                Err(Refused {
                    core: Box::new(core),
                    error,
                })
            }
        }
    }

    fn keep(&self, thread: ThreadHandle<()>) {
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Waits for threads that have nothing left to do but to end.
    pub(super) fn join(&self) {
        let own = std::thread::current().id();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.thread().id() != own {
                // Nothing there can panic: hooks are caught, and a worker that panics aborts.
                let _ = thread.join();
            }
        }
    }
}

/// What the thread of a worker does.
fn thread_main(
    handle: Handle,
    config: Config,
    place: Arc<Mutex<Option<Core>>>,
) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let _entered = context::enter(&handle);
        // A hook is the user's; whether it panics or not, the worker has to run.
        config.on_thread_start.iter().for_each(call);
        let core = place.lock().take();
        if let Some(core) = core {
            run(&handle, core);
        }
        config.on_thread_stop.iter().for_each(call);
    })
}

fn call(hook: &Hook) {
    quietly(|| hook());
}

/// Runs a worker on this thread until it stops or is given away.
///
/// Panics of user code are caught where it is called. One that comes out here is a mistake of the
/// scheduler, whose tasks can no longer be trusted to anybody: the process is aborted.
fn run(handle: &Handle, core: Core) {
    let _driving = context::start_driving(Driving::MultiThread);
    let abort = AbortOnPanic;
    let ((), core) = WorkerThread::enter(handle, core, WorkerThread::run);
    if let Some(core) = core {
        handle.shared().return_core(core);
    }
    drop(abort);
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
