//! What a piece of asynchronous code records, as values and as text: for tests.
//!
//! [`capture`] runs a future on a runtime of its own, which records into memory, and gives back the
//! future's output, and all spans and metrics. They can be asked for one by one, and compared as a
//! whole: [`Captured::tree`] and [`Captured::metrics_table`] hold no times and no ids, so that they
//! are the same whenever the program does the same.
//!
//! ```
//! use telemetry_rt::testing::capture;
//!
//! async fn reserve() {}
//!
//! async fn pay() -> Result<(), String> {
//!     Err("declined".to_owned())
//! }
//!
//! async fn checkout() {
//!     let reserved = telemetry_rt::spawn(reserve());
//!     let paid = telemetry_rt::spawn(pay());
//!     reserved.await.unwrap();
//!     assert!(paid.await.unwrap().is_err());
//! }
//!
//! let captured = capture(checkout());
//! assert_eq!(
//!     captured.tree(),
//!     "\
//! checkout
//!   reserve
//!   pay ! returned Err(alloc::string::String)
//! "
//! );
//! assert_eq!(captured.count("reserve", "finished"), 1);
//! assert_eq!(captured.count("pay", "exception"), 1);
//! ```
//!
//! # What is captured
//!
//! * Every process of the runtime: the future itself, which is the root of the tree, tasks, functions
//!   on the blocking pool, and what they spawn. What still runs when the future ends is cancelled, as
//!   at the end of any runtime, and shown as `[cancelled]`; functions on the blocking pool that have
//!   started are waited for, those that have not are cancelled, too. A test that wants to know which
//!   of both awaits them.
//! * Spans that [`telemetry_rt::span`](fn@crate::span), [`span_builder`](crate::span_builder) and
//!   `#[telemetry_rt::span]` make in these processes.
//! * Not spans that are made by `opentelemetry::global`: those go to whatever provider the test
//!   program has made global. Nothing that is global is touched, so that tests which capture at the
//!   same time, on different threads, do not see one another.
//!
//! The environment has no part in it: all spans are sampled, whatever `OTEL_TRACES_SAMPLER` says, and
//! so forth. What would depend on the speed of the machine is off: no poll is slow, none is a
//! stall, and no parent is so old that its children begin traces of their own. [`Capture::otel`]
//! can change all of that.
//!
//! # Within a runtime
//!
//! A capture blocks its thread, so it panics within a task, as `block_on` does. Make the test a plain
//! `#[test]`; or, where the test is a `#[telemetry_rt::test]`, capture on another thread:
//!
//! ```
//! # #[telemetry_rt::main]
//! # async fn main() {
//! use telemetry_rt::task::spawn_blocking;
//! use telemetry_rt::testing::capture;
//!
//! let captured = spawn_blocking(|| capture(async { 7 })).await.unwrap();
//! assert_eq!(captured.output, 7);
//! # }
//! ```

mod captured;
mod order;

pub use captured::Captured;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use opentelemetry_sdk::trace::SpanLimits;

use self::order::InOrder;
use crate::otel::render::{Siblings, Snapshot};
use crate::otel::{InMemory, NameList, Otel, OtelBuilder, PollDetail, Report};
use crate::runtime::{Builder, Runtime};
use crate::time::Duration;

/// Runs `future` to its end on a runtime of its own, and gives back all that was recorded; see the
/// [module](self).
///
/// The runtime has one thread: this one. [`Capture`] makes others.
///
/// Cost: a runtime and two threads, started and ended: some 100 µs.
///
/// # Panics
///
/// If the future does, after what was captured until then has been written to standard error;
/// [`Capture::try_run`] does not. Within a task. If a function on the blocking pool does not end
/// within 30 s of the future's end.
#[track_caller]
pub fn capture<F: Future>(future: F) -> Captured<F::Output> {
    Capture::new().run(future)
}

/// How a future is run and captured, and what is shown of it.
///
/// ```
/// use telemetry_rt::testing::Capture;
/// use telemetry_rt::time::{Duration, sleep};
///
/// async fn nap(hours: u64) {
///     sleep(Duration::from_secs(hours * 3600)).await;
/// }
///
/// let captured = Capture::new()
///     .paused(true)
///     .with_attributes(["task.type"])
///     .run(async { telemetry_rt::spawn(nap(8)).await.unwrap() });
/// assert_eq!(captured.tree(), "main {task.type=future}\n  nap {task.type=task}\n");
/// ```
#[must_use = "nothing is captured until it is `run`"]
pub struct Capture {
    workers: Option<usize>,
    paused: bool,
    otel: OtelBuilder,
    shown: Snapshot,
}

impl Default for Capture {
    fn default() -> Capture {
        Capture::new()
    }
}

impl Capture {
    /// On this thread, with a clock that goes, and with all spans sampled.
    pub fn new() -> Capture {
        Capture {
            workers: None,
            paused: false,
            otel: independent(),
            shown: Snapshot::default(),
        }
    }

    /// On a multi-thread runtime with so many workers.
    pub fn workers(mut self, workers: usize) -> Capture {
        self.workers = Some(workers);
        self
    }

    /// Whether the clock of timers stands still, and jumps to the next timer when there is nothing
    /// else to do. Not with [`workers`](Self::workers).
    pub fn paused(mut self, paused: bool) -> Capture {
        self.paused = paused;
        self
    }

    /// Shows the attributes with these keys in the tree, on the spans, events and links that have
    /// them, in this order.
    pub fn with_attributes<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Capture {
        let keys = keys.into_iter().map(Into::into);
        self.shown.attributes.extend(keys);
        self
    }

    /// Shows events in the tree, with the attributes that are asked for.
    pub fn with_events(mut self) -> Capture {
        self.shown.events = true;
        self
    }

    /// Shows in the tree which spans are linked to, by name.
    pub fn with_links(mut self) -> Capture {
        self.shown.links = true;
        self
    }

    /// Sorts spans with the same parent by what is shown of them, and not by when they started: for
    /// tests in which that is up to the scheduler.
    pub fn sorted_by_text(mut self) -> Capture {
        self.shown.siblings = Siblings::Text;
        self
    }

    /// Changes how it is recorded: future tracing, lists of names, a sampler. Exporters that are
    /// added get what is captured, too.
    ///
    /// With another sampler, or a tracer provider, the order of processes and other spans below the
    /// same parent is that of their dates, which is not exact.
    pub fn otel(mut self, change: impl FnOnce(OtelBuilder) -> OtelBuilder) -> Capture {
        self.otel = change(self.otel);
        self
    }

    /// Runs `future` to its end, and gives back all that was recorded.
    ///
    /// # Panics
    ///
    /// As [`capture`]; and when the runtime cannot be built, which is so with a paused clock and
    /// workers.
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> Captured<F::Output> {
        let stage = self.stage();
        let output = stage.runtime().block_on(future);
        stage.end(output)
    }

    /// As [`run`](Self::run), but a panic of the future is an `Err` in the output, and what was
    /// recorded of it is there to be looked at.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), but for panics of the future.
    ///
    /// ```
    /// use telemetry_rt::testing::Capture;
    ///
    /// let captured = Capture::new().try_run(async { panic!("no") });
    /// assert!(captured.output.is_err());
    /// assert_eq!(captured.tree(), "main ! panicked: no\n");
    /// ```
    pub fn try_run<F: Future>(self, future: F) -> Captured<thread::Result<F::Output>> {
        let stage = self.stage();
        let output = catch_unwind(AssertUnwindSafe(|| stage.runtime().block_on(future)));
        stage.end(output)
    }

    #[track_caller]
    fn stage(self) -> Stage {
        let mut builder = match self.workers {
            None => Builder::new_current_thread(),
            Some(_) => Builder::new_multi_thread(),
        };
        if let Some(workers) = self.workers {
            builder.worker_threads(workers);
        }
        let memory = InMemory::new();
        let runtime = builder
            .enable_all()
            .start_paused(self.paused)
            .otel(self.otel.exporter(memory.clone()).build())
            .build();
        let runtime = runtime.unwrap_or_else(|error| panic!("nothing can be captured: {error}"));
        Stage {
            runtime: Some(runtime),
            memory,
            shown: self.shown,
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("workers", &self.workers)
            .field("paused", &self.paused)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Recording that depends neither on the environment nor on the speed of the machine.
fn independent() -> OtelBuilder {
    Otel::builder()
        .sampler(InOrder::new())
        .span_limits(SpanLimits::default())
        .value_length(usize::MAX)
        .task_names(NameList::all())
        .blocking_names(NameList::all())
        .poll_detail(PollDetail::Off)
        .trace_futures(false)
        .slow_poll(NEVER)
        .stall(None)
        .most_children(128)
        .longest_parent(NEVER)
        .queue_size(1 << 16)
        .batch_size(512)
        .schedule_delay(NEVER)
        .metric_interval(NEVER)
}

/// How long what still runs at the end is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime that is captured, until its end.
struct Stage {
    runtime: Option<Runtime>,
    memory: InMemory,
    shown: Snapshot,
}

impl Stage {
    fn runtime(&self) -> &Runtime {
        let runtime = self.runtime.as_ref();
        runtime.expect("it is there until the end")
    }

    #[track_caller]
    fn end<T>(mut self, output: T) -> Captured<T> {
        let runtime = self.runtime.take();
        let report = runtime.and_then(|runtime| runtime.shutdown(PATIENCE));
        assert_whole(report);
        let (spans, metrics) = (self.memory.spans(), self.memory.metrics());
        let shown = std::mem::take(&mut self.shown);
        Captured::new(output, spans, metrics, shown)
    }
}

impl Drop for Stage {
    /// Only when the future panicked is there still a runtime. The tree tells how far it came.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            drop(runtime);
            let shown = std::mem::take(&mut self.shown);
            let captured = Captured::new((), self.memory.spans(), Vec::new(), shown);
            if !captured.spans().is_empty() {
                eprintln!("captured before the panic:\n{captured}");
            }
        }
    }
}

/// A part of what was recorded must not pass for the whole.
#[track_caller]
fn assert_whole(report: Option<Report>) {
    let report = report.expect(
        "nothing can be captured: `OTEL_SDK_DISABLED` is set in the environment, which turns all \
         recording off",
    );
    let lost = report.spans.dropped;
    assert!(
        report.completed && lost.total() == 0,
        "not all could be captured within {PATIENCE:?}: a function on the blocking pool or an \
         exporter may not have ended; spans lost: {lost:?}"
    );
}
