//! Choosing what a runtime is made of.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt_executor::{Config, Os, RuntimeFlavor};
use telemetry_rt_telemetry::record::Recorder;

use super::Runtime;
#[cfg(feature = "telemetry")]
use crate::otel::{Otel, Pipeline, Share, Watchdog};

/// Builds a [`Runtime`].
///
/// # Example
///
/// ```
/// use telemetry_rt::runtime::Builder;
///
/// let runtime = Builder::new_multi_thread()
///     .worker_threads(2)
///     .enable_all()
///     .build()
///     .unwrap();
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// ```
pub struct Builder {
    config: Config,
    workers: Option<usize>,
    #[cfg(feature = "telemetry")]
    otel: Option<Otel>,
}

/// Says how many workers a multi-thread runtime has, if the program does not.
const WORKERS_VARIABLE: &str = "TELEMETRY_RT_WORKER_THREADS";

impl Builder {
    /// A runtime with a worker thread for each processor, or as many as
    /// [`worker_threads`](Self::worker_threads) or the variable `TELEMETRY_RT_WORKER_THREADS` say.
    pub fn new_multi_thread() -> Builder {
        Builder::new(RuntimeFlavor::MultiThread)
    }

    /// A runtime whose tasks run on the thread that is inside of [`Runtime::block_on`].
    pub fn new_current_thread() -> Builder {
        Builder::new(RuntimeFlavor::CurrentThread)
    }

    fn new(flavor: RuntimeFlavor) -> Builder {
        Builder {
            config: Config::new(flavor, 1),
            workers: None,
            #[cfg(feature = "telemetry")]
            otel: None,
        }
    }

    /// Enables sockets, signals and timers.
    pub fn enable_all(&mut self) -> &mut Builder {
        self.enable_io().enable_time()
    }

    /// Enables sockets and signals.
    pub fn enable_io(&mut self) -> &mut Builder {
        self.config.enable_io = true;
        self
    }

    /// Enables timers.
    pub fn enable_time(&mut self) -> &mut Builder {
        self.config.enable_time = true;
        self
    }

    /// How many workers a multi-thread runtime has. A current-thread runtime has one in any case.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn worker_threads(&mut self, workers: usize) -> &mut Builder {
        assert!(workers > 0, "Worker threads cannot be set to 0");
        self.workers = Some(workers);
        self
    }

    /// How many threads the blocking pool may have. The default is 512.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_blocking_threads(&mut self, threads: usize) -> &mut Builder {
        assert!(threads > 0, "Max blocking threads cannot be set to 0");
        self.config.blocking_threads = threads;
        self
    }

    /// How long a thread of the blocking pool waits for work before it ends. The default is 10 s.
    pub fn thread_keep_alive(&mut self, time: Duration) -> &mut Builder {
        self.config.keep_alive = time;
        self
    }

    /// What the names of threads begin with. The default is `telemetry-rt`.
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Builder {
        let name = name.into();
        self.thread_name_fn(move || name.clone())
    }

    /// As [`thread_name`](Self::thread_name), asked for each thread.
    pub fn thread_name_fn<F>(&mut self, name: F) -> &mut Builder
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.config.thread_name = Arc::new(name);
        self
    }

    /// The size of the threads' stacks in bytes.
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Builder {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Calls `hook` on each thread of the runtime when it starts.
    ///
    /// If it panics, a worker runs all the same; a thread of the blocking pool ends, and what it was
    /// started for is cancelled unless another thread takes it.
    pub fn on_thread_start<F>(&mut self, hook: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` on each thread of the runtime when it ends.
    pub fn on_thread_stop<F>(&mut self, hook: F) -> &mut Builder
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// Whether the clock of timers stands still at the start, as after
    /// [`time::pause`](crate::time::pause). For current-thread runtimes.
    pub fn start_paused(&mut self, paused: bool) -> &mut Builder {
        self.config.start_paused = paused;
        self
    }

    /// After how many polls a worker looks at sockets and timers. The default is 61.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn event_interval(&mut self, polls: u32) -> &mut Builder {
        assert!(polls > 0, "event_interval must be greater than 0");
        self.config.event_interval = polls;
        self
    }

    /// After how many polls a worker looks for tasks that came from outside. The default is 31.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn global_queue_interval(&mut self, polls: u32) -> &mut Builder {
        assert!(polls > 0, "global_queue_interval must be greater than 0");
        self.config.injector_interval = polls;
        self
    }

    /// How many events of sockets one look takes. The default is 1,024.
    pub fn max_io_events_per_tick(&mut self, events: usize) -> &mut Builder {
        self.config.events = events;
        self
    }

    /// Where threads come from; for tests of what happens when there are none to be had.
    #[doc(hidden)]
    pub fn os(&mut self, os: Arc<dyn Os>) -> &mut Builder {
        self.config.os = os;
        self
    }

    /// What is exported, and where to. The default is [`Otel::from_env`].
    #[cfg(feature = "telemetry")]
    pub fn otel(&mut self, otel: Otel) -> &mut Builder {
        self.otel = Some(otel);
        self
    }

    /// Starts the runtime.
    ///
    /// A builder builds one runtime with the [`Otel`] it was given; a second one takes its own
    /// from the environment.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread or what the driver needs; when the variable
    /// `TELEMETRY_RT_WORKER_THREADS` is no number above zero; when a multi-thread runtime is to
    /// start with its clock paused.
    pub fn build(&mut self) -> io::Result<Runtime> {
        let multi_thread = self.config.flavor == RuntimeFlavor::MultiThread;
        if self.config.start_paused && multi_thread {
            return Err(invalid("`start_paused` is for current-thread runtimes"));
        }
        let mut config = self.config.clone();
        config.workers = if multi_thread { self.workers()? } else { 1 };
        self.start(config)
    }

    fn workers(&self) -> io::Result<usize> {
        if let Some(workers) = self.workers {
            return Ok(workers);
        }
        match std::env::var(WORKERS_VARIABLE) {
            Ok(value) => parse_workers(&value),
            Err(_) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    #[cfg(feature = "telemetry")]
    fn start(&mut self, config: Config) -> io::Result<Runtime> {
        let (otel, from_env) = match self.otel.take() {
            Some(otel) => (otel, false),
            None => (Otel::from_env(), true),
        };
        let recorder = Recorder::new(otel.recorder_config(config.workers));
        let watchdog = start_watchdog(&otel, &recorder)?;
        let exporting = match otel.is_exporting() {
            true => {
                let pipeline = Pipeline::start(otel, recorder.clone())?;
                let share = Share::of(&pipeline);
                (Some(pipeline), share)
            }
            false => {
                // Context is passed on though nothing is exported, if the operator says so.
                if from_env && std::env::var_os("OTEL_PROPAGATORS").is_some() {
                    otel.install_propagators();
                }
                (None, Share::without_pipeline(&otel))
            }
        };
        Runtime::start(config, recorder, exporting, watchdog, from_env)
    }

    #[cfg(not(feature = "telemetry"))]
    fn start(&mut self, config: Config) -> io::Result<Runtime> {
        Runtime::start(config, Recorder::new(Default::default()))
    }
}

#[cfg(feature = "telemetry")]
fn start_watchdog(otel: &Otel, recorder: &Recorder) -> io::Result<Option<Watchdog>> {
    let watching = otel.watching();
    watching
        .map(|watching| Watchdog::start(watching, recorder.clone(), &otel.service_name()))
        .transpose()
}

fn parse_workers(value: &str) -> io::Result<usize> {
    match value.trim().parse() {
        Ok(workers) if workers > 0 => Ok(workers),
        _ => Err(invalid(format!(
            "{WORKERS_VARIABLE} is {value:?}, but has to be a number of threads above zero"
        ))),
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_workers_that_is_none_is_an_error_that_names_the_variable() {
        assert_eq!(parse_workers(" 3 ").unwrap(), 3);
        for value in ["0", "-1", "many", ""] {
            let error = parse_workers(value).unwrap_err().to_string();
            assert!(error.contains(WORKERS_VARIABLE), "{error}");
            assert!(error.contains(&format!("{value:?}")), "{error}");
        }
    }

    #[test]
    fn a_paused_clock_is_refused_where_it_cannot_be_had() {
        let error = Builder::new_multi_thread()
            .start_paused(true)
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
