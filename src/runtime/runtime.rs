//! The executor's runtime, with the pipeline that exports what it records.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

#[cfg(feature = "telemetry")]
use telemetry_rt_clock::instant;
use telemetry_rt_executor as executor;
use telemetry_rt_telemetry::record::Recorder;

use super::{Builder, EnterGuard, Handle};
#[cfg(feature = "telemetry")]
use crate::otel::{Closing, Pipeline, Report, Share, Watchdog, attach, install_globals};
use crate::task::JoinHandle;

/// A runtime, and the pipeline that exports what it records.
///
/// Dropping it drops all tasks, waits for the functions that run on the blocking pool, and exports
/// what was recorded, for at most the time that [`Otel`](crate::otel::Otel) allows.
///
/// # Panics
///
/// Dropping a runtime on a thread that runs asynchronous tasks panics; see
/// [`shutdown_background`](Self::shutdown_background).
pub struct Runtime {
    // In this order: what the last tasks do is recorded before the pipeline ends.
    executor: executor::Runtime,
    #[cfg(feature = "telemetry")]
    pipeline: Option<Pipeline>,
    // Last: what it may still have to write must not take the time that exporting has.
    #[cfg(feature = "telemetry")]
    watchdog: Option<Watchdog>,
    // After all that may ask for metrics.
    #[cfg(feature = "telemetry")]
    closing: Closing,
}

// As the executor's runtime; no user code runs while anything of the pipeline is locked either.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl Runtime {
    /// A multi-thread runtime with everything enabled.
    ///
    /// # Errors
    ///
    /// See [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new_multi_thread().enable_all().build()
    }

    #[cfg(feature = "telemetry")]
    pub(super) fn start(
        config: executor::Config,
        recorder: Recorder,
        (pipeline, share): (Option<Pipeline>, Share),
        watchdog: Option<Watchdog>,
        globals: bool,
    ) -> io::Result<Runtime> {
        attach(&recorder, share.clone());
        if let Some(pipeline) = pipeline.as_ref().filter(|_| globals) {
            install_globals(pipeline);
        }
        let executor = executor::Runtime::new(config, recorder)?;
        Ok(Runtime {
            executor,
            watchdog,
            pipeline,
            closing: Closing(share),
        })
    }

    #[cfg(not(feature = "telemetry"))]
    pub(super) fn start(config: executor::Config, recorder: Recorder) -> io::Result<Runtime> {
        let executor = executor::Runtime::new(config, recorder)?;
        Ok(Runtime { executor })
    }

    /// A handle to the runtime, usable from any thread.
    pub fn handle(&self) -> &Handle {
        self.executor.handle()
    }

    /// Makes this runtime the current one of the thread; see [`Handle::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.executor.enter()
    }

    /// Spawns a future; see [`Handle::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.executor.spawn(future)
    }

    /// Runs a function that blocks; see [`Handle::spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, function: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.executor.spawn_blocking(function)
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
        self.executor.block_on(future)
    }

    /// Exports what was recorded so far, waiting at most `timeout`. `None` if nothing is exported.
    ///
    /// Blocks the thread: not for use inside of a task.
    #[cfg(feature = "telemetry")]
    pub fn flush(&self, timeout: Duration) -> Option<Report> {
        self.pipeline
            .as_ref()
            .map(|pipeline| pipeline.force_flush(timeout))
    }

    /// Shuts the runtime down, exports what was recorded, and tells what became of it: all within
    /// `timeout`. `None` if nothing is exported.
    ///
    /// Polls and blocking functions that run are waited for during three quarters of the time at
    /// most: one that is stuck must not cost what was recorded. What is left of the time is the
    /// exporters'.
    ///
    /// # Panics
    ///
    /// On a thread that runs asynchronous tasks.
    #[cfg(feature = "telemetry")]
    pub fn shutdown(self, timeout: Duration) -> Option<Report> {
        let start = instant();
        self.executor.shutdown_timeout(timeout - timeout / 4);
        let left = || timeout.saturating_sub(instant().saturating_duration_since(start));
        if let Some(watchdog) = &self.watchdog {
            watchdog.ask_to_end();
        }
        let report = self.pipeline.map(|pipeline| pipeline.shutdown(left()));
        if let Some(watchdog) = self.watchdog {
            watchdog.end(left());
        }
        report
    }

    /// Shuts the runtime down, waiting at most `timeout` for polls and blocking functions that
    /// run; then exports what was recorded.
    ///
    /// # Panics
    ///
    /// On a thread that runs asynchronous tasks.
    pub fn shutdown_timeout(self, timeout: Duration) {
        self.executor.shutdown_timeout(timeout);
    }

    /// Shuts the runtime down without waiting. May be called from within a task.
    ///
    /// What was recorded is exported by a thread in the background, unless the process ends first.
    pub fn shutdown_background(self) {
        self.executor.shutdown_background();
        #[cfg(feature = "telemetry")]
        if self.pipeline.is_some() || self.watchdog.is_some() {
            // Without a thread for them they are dropped here, which is late but not lost.
            let (pipeline, watchdog, closing) = (self.pipeline, self.watchdog, self.closing);
            let _ = std::thread::Builder::new()
                .name("rt-shutdown".to_owned())
                .spawn(move || drop((pipeline, watchdog, closing)));
        }
    }
}

impl AsRef<executor::Runtime> for Runtime {
    fn as_ref(&self) -> &executor::Runtime {
        &self.executor
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", self.handle())
            .finish_non_exhaustive()
    }
}
