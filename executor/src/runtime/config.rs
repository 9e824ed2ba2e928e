//! How a runtime is set up. A builder fills this; nothing else decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::os::{Os, StdThreads};

/// Which machine a runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// One worker, on the thread that is inside of `block_on`.
    CurrentThread,
    /// Several workers, on threads of their own.
    MultiThread,
}

/// A function that is called on the runtime's own threads.
pub type Hook = Arc<dyn Fn() + Send + Sync>;

/// How threads are named.
pub type ThreadName = Arc<dyn Fn() -> String + Send + Sync>;

/// Everything that can be chosen about a runtime.
#[derive(Clone)]
pub struct Config {
    /// Which machine it is.
    pub flavor: RuntimeFlavor,
    /// How many workers a multi-thread runtime has.
    pub workers: usize,
    /// How many threads the blocking pool may have.
    pub blocking_threads: usize,
    /// How long a thread of the blocking pool waits for work before it ends.
    pub keep_alive: Duration,
    /// The names of threads.
    pub thread_name: ThreadName,
    /// The size of their stacks, if not the standard one.
    pub stack_size: Option<usize>,
    /// Called on each thread when it starts. A worker runs even if it panics; a function that waits
    /// for a new thread of the blocking pool is cancelled then, unless another thread takes it.
    pub on_thread_start: Option<Hook>,
    /// Called on each thread when it ends.
    pub on_thread_stop: Option<Hook>,
    /// Whether sockets work.
    pub enable_io: bool,
    /// Whether timers work.
    pub enable_time: bool,
    /// Whether the clock of timers stands still at the start (current-thread only).
    pub start_paused: bool,
    /// After how many turns a worker looks at the driver; zero is taken for one.
    pub event_interval: u32,
    /// After how many turns a worker looks into the injector; zero is taken for one.
    pub injector_interval: u32,
    /// How many events of the operating system one look at the driver takes.
    pub events: usize,
    /// Creates threads.
    pub os: Arc<dyn Os>,
}

impl Config {
    /// The defaults.
    pub fn new(flavor: RuntimeFlavor, workers: usize) -> Config {
        Config {
            flavor,
            workers,
            blocking_threads: 512,
            keep_alive: Duration::from_secs(10),
            thread_name: Arc::new(|| "telemetry-rt".to_owned()),
            stack_size: None,
            on_thread_start: None,
            on_thread_stop: None,
            enable_io: false,
            enable_time: false,
            start_paused: false,
            event_interval: 61,
            injector_interval: 31,
            events: 1024,
            os: Arc::new(StdThreads),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("flavor", &self.flavor)
            .field("workers", &self.workers)
            .field("blocking_threads", &self.blocking_threads)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
