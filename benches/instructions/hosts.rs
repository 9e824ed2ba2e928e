//! The runtimes whose instructions are counted: ours, recording more or less, and tokio. Each has
//! one worker, so that who runs what is not decided by the scheduling of threads.

use std::future::Future;
use std::time::Duration;

use telemetry_rt::otel::Otel;
use telemetry_rt::otel::otlp::Discard;

use crate::count::{self, counted_thread};

/// How much is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Spans, metrics, and the pipeline behind them.
    Full,
    /// The same without spans.
    Metrics,
    /// Nothing: the workload runs on tokio.
    Tokio,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Full, Mode::Metrics, Mode::Tokio];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Metrics => "metrics",
            Mode::Tokio => "tokio",
        }
    }

    pub fn named(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// What our runtime exports in this mode.
    ///
    /// Under callgrind all is slow. To note slow polls would be to count what does not happen
    /// otherwise; and the drain may sleep through all of a run, so the ring has room for all spans.
    pub fn otel(self) -> Otel {
        let otel = Otel::builder().exporter(Discard::new());
        let otel = otel
            .slow_poll(crate::LONG)
            .span_ring(2 * count::MOST_OPERATIONS);
        match self {
            Mode::Full => otel.build(),
            Mode::Metrics | Mode::Tokio => otel.without_spans().build(),
        }
    }
}

/// A runtime that workloads run on.
pub trait Host: Sized + 'static {
    fn start(mode: Mode) -> Self;

    fn block_on<F: Future>(&self, future: F) -> F::Output;

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    fn yield_now() -> impl Future<Output = ()> + Send;

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;

    /// `None` when the time was up.
    fn timeout<F>(duration: Duration, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send;

    /// Ends it.
    ///
    /// # Panics
    ///
    /// If something else than what should be counted was counted.
    fn finish(self);
}

pub struct Ours(telemetry_rt::runtime::Runtime);

impl Host for Ours {
    fn start(mode: Mode) -> Ours {
        let mut builder = telemetry_rt::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all();
        builder.on_thread_start(counted_thread).otel(mode.otel());
        Ours(builder.build().expect("the runtime starts"))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = telemetry_rt::spawn(future);
        async { task.await.expect("the task ends") }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        telemetry_rt::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        telemetry_rt::time::sleep(duration)
    }

    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        telemetry_rt::time::timeout(duration, future).await.ok()
    }

    fn finish(self) {
        let report = self.0.shutdown(crate::LONG).expect("it exports");
        assert_eq!(report.spans.dropped.total(), 0, "a dropped span costs less");
    }
}

pub struct Tokio(tokio::runtime::Runtime);

impl Host for Tokio {
    fn start(_: Mode) -> Tokio {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all();
        builder.on_thread_start(counted_thread);
        Tokio(builder.build().expect("the runtime starts"))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = tokio::spawn(future);
        async { task.await.expect("the task ends") }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }

    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        tokio::time::timeout(duration, future).await.ok()
    }

    fn finish(self) {}
}
