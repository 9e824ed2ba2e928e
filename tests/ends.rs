//! How does a task end? The product of all that bears on it: the runtime, where it panics, who
//! wants its output, and when it is aborted. Whatever the combination, its future and its output are
//! dropped once, and its handle, its span and its count tell the same.
#![cfg(feature = "telemetry")]

mod observed;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use observed::{Observed, Seen, has_ended, text};
use parking_lot::Mutex;
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, AbortHandle, JoinError, JoinHandle, yield_now};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runtime {
    Current,
    Workers(usize),
}

/// Where the task panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panics {
    Nowhere,
    InPoll,
    InDropOfFuture,
    InPollAndDrop,
    InDropOfOutput,
}

/// What becomes of the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    Awaited,
    /// Polled once before the end, and awaited after it.
    PolledThenAwaited,
    DroppedBefore,
    PolledThenDropped,
    DroppedAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Abort {
    Never,
    BeforeFirstPoll,
    WhileIdle,
    WhileRunning,
    AfterEnd,
}

const PANICS: [Panics; 5] = [
    Panics::Nowhere,
    Panics::InPoll,
    Panics::InDropOfFuture,
    Panics::InPollAndDrop,
    Panics::InDropOfOutput,
];
const INTERESTS: [Interest; 5] = [
    Interest::Awaited,
    Interest::PolledThenAwaited,
    Interest::DroppedBefore,
    Interest::PolledThenDropped,
    Interest::DroppedAfter,
];
const ABORTS: [Abort; 5] = [
    Abort::Never,
    Abort::BeforeFirstPoll,
    Abort::WhileIdle,
    Abort::WhileRunning,
    Abort::AfterEnd,
];

// ----- the task -----

#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    future_drops: AtomicUsize,
    outputs: AtomicUsize,
    output_drops: AtomicUsize,
}

/// Is idle once, and then ready.
struct Probe {
    counts: Arc<Counts>,
    waker: Arc<Mutex<Option<Waker>>>,
    /// Aborts the task from within its last poll.
    aborts: Option<Arc<Mutex<Option<AbortHandle>>>>,
    panics: Panics,
}

struct Output {
    counts: Arc<Counts>,
    panics: bool,
}

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        if self.counts.polls.fetch_add(1, SeqCst) == 0 {
            *self.waker.lock() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(abort) = &self.aborts {
            let abort = abort.lock().take();
            abort.expect("polled once after it was spawned").abort();
        }
        if matches!(self.panics, Panics::InPoll | Panics::InPollAndDrop) {
            panic!("planned");
        }
        self.counts.outputs.fetch_add(1, SeqCst);
        Poll::Ready(Output {
            counts: Arc::clone(&self.counts),
            panics: self.panics == Panics::InDropOfOutput,
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.counts.future_drops.fetch_add(1, SeqCst);
        if matches!(self.panics, Panics::InDropOfFuture | Panics::InPollAndDrop) {
            panic!("planned");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.counts.output_drops.fetch_add(1, SeqCst);
        if self.panics {
            panic!("planned");
        }
    }
}

// ----- what it comes to -----

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Value,
    Cancelled,
    Panicked,
}

fn told(result: Result<Output, JoinError>) -> Told {
    let told = match &result {
        Ok(_) => Told::Value,
        Err(error) if error.is_cancelled() => Told::Cancelled,
        Err(_) => Told::Panicked,
    };
    // The output may panic.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(result)));
    told
}

impl Abort {
    /// Whether it comes in time: after the end there is nothing to abort, and what is ready in the
    /// poll in which it is aborted has its output.
    fn counts(self) -> bool {
        matches!(self, Abort::BeforeFirstPoll | Abort::WhileIdle)
    }

    fn polls(self) -> usize {
        match self {
            Abort::BeforeFirstPoll => 0,
            Abort::WhileIdle => 1,
            _ => 2,
        }
    }
}

fn expected(panics: Panics, abort: Abort) -> Told {
    match (panics, abort.counts()) {
        (Panics::InDropOfFuture | Panics::InPollAndDrop, _) => Told::Panicked,
        (Panics::InPoll, false) => Told::Panicked,
        (_, true) => Told::Cancelled,
        (_, false) => Told::Value,
    }
}

async fn poll_once(join: &mut JoinHandle<Output>) {
    let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *join).poll(cx))).await;
    assert!(polled.is_pending(), "it is ready before its end");
}

/// Runs one task through a combination, on a thread that nobody else needs: that of `block_on`.
async fn run(
    panics: Panics,
    interest: Interest,
    abort: Abort,
    counts: &Arc<Counts>,
) -> Option<Told> {
    let (waker, own) = (Arc::default(), Arc::<Mutex<Option<AbortHandle>>>::default());
    let probe = Probe {
        counts: Arc::clone(counts),
        waker: Arc::clone(&waker),
        aborts: (abort == Abort::WhileRunning).then(|| Arc::clone(&own)),
        panics,
    };
    let mut join = task::Builder::new().name("probe").spawn(probe);
    let handle = join.abort_handle();
    *own.lock() = Some(join.abort_handle());
    if abort == Abort::BeforeFirstPoll {
        handle.abort();
    }
    let mut join = match interest {
        Interest::DroppedBefore => None,
        Interest::PolledThenAwaited | Interest::PolledThenDropped if !handle.is_finished() => {
            // With workers it may have ended meanwhile.
            if abort != Abort::BeforeFirstPoll {
                poll_once(&mut join).await;
            }
            (interest == Interest::PolledThenAwaited).then_some(join)
        }
        _ => Some(join),
    };
    if abort != Abort::BeforeFirstPoll {
        while waker.lock().is_none() {
            yield_now().await;
        }
        match abort {
            Abort::WhileIdle => handle.abort(),
            _ => {
                let waker: Option<Waker> = waker.lock().take();
                waker.expect("it was polled").wake();
            }
        }
    }
    has_ended(&handle).await;
    if abort == Abort::AfterEnd {
        handle.abort();
    }
    if interest == Interest::DroppedAfter {
        let late = join.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(late)));
    }
    match join {
        Some(join) => Some(told(join.await)),
        None => None,
    }
}

#[track_caller]
fn assert_ledger(seen: &Seen, expected: Told, what: &str) {
    let span = seen.named("probe");
    let (state, error) = match expected {
        Told::Value => ("finished", ""),
        Told::Cancelled => ("cancelled", ""),
        Told::Panicked => ("exception", "panic"),
    };
    let found = (text(span, "task.state"), text(span, "error.type"));
    assert_eq!(found, (state.to_owned(), error.to_owned()), "{what}");
    // Checks besides that its metrics say the same, and that there is one of each.
    assert!(seen.end_of("probe").starts_with(state), "{what}");
}

fn check(runtime: Runtime, panics: Panics, interest: Interest, abort: Abort) {
    let what = format!("{runtime:?}, {panics:?}, {interest:?}, {abort:?}");
    let mut builder = match runtime {
        Runtime::Current => Builder::new_current_thread(),
        Runtime::Workers(_) => Builder::new_multi_thread(),
    };
    if let Runtime::Workers(workers) = runtime {
        builder.worker_threads(workers);
    }
    let observed = Observed::new(builder);
    let counts = Arc::<Counts>::default();
    let found = observed
        .runtime
        .block_on(run(panics, interest, abort, &counts));
    let seen = observed.end();
    let polls = counts.polls.load(SeqCst);
    // A worker may have polled it once before it is aborted.
    let at_most = abort.polls().max(usize::from(runtime != Runtime::Current));
    assert!(
        (abort.polls()..=at_most).contains(&polls),
        "{what}: {polls} polls"
    );
    let expected = expected(panics, abort);
    assert!(
        found.is_none_or(|found| found == expected),
        "{what}: {found:?}"
    );
    assert_eq!(counts.future_drops.load(SeqCst), 1, "{what}");
    let outputs = counts.outputs.load(SeqCst);
    assert_eq!(counts.output_drops.load(SeqCst), outputs, "{what}");
    assert_ledger(&seen, expected, &what);
}

fn check_all_on(runtime: Runtime) {
    for panics in PANICS {
        for interest in INTERESTS {
            for abort in ABORTS {
                check(runtime, panics, interest, abort);
            }
        }
    }
}

#[test]
fn every_end_on_one_thread() {
    check_all_on(Runtime::Current);
}

#[test]
fn every_end_on_one_worker() {
    check_all_on(Runtime::Workers(1));
}

#[test]
fn every_end_on_two_workers() {
    check_all_on(Runtime::Workers(2));
}
