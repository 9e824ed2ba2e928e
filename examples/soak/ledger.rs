//! How many processes did the soak itself start, and how did they end? It counts them by hand,
//! without asking the runtime, so that what the runtime says can be held against it.
//!
//! Every future and every function that the soak gives to a runtime is wrapped in [`Counted`] or
//! [`Ledger::closure`], which count it when it is made, and once more when it is dropped.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// What the soak gives to a runtime. Each has a name, by which the metrics tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Root,
    Driver,
    Probe,
    Blocker,
    Branch,
    Leaf,
    Victim,
    Bomb,
    Member,
    Detached,
    Sleeper,
    Sender,
    Receiver,
    Holder,
    Function,
    Place,
    Host,
    LocalRoot,
    Local,
    Server,
    Connection,
    Client,
    Outsider,
    OutsideRoot,
    Scoped,
    Waiter,
    Leftover,
}

const KINDS: [(Kind, &str); 27] = [
    (Kind::Root, "soak_root"),
    (Kind::Driver, "driver"),
    (Kind::Probe, "probe"),
    (Kind::Blocker, "blocker"),
    (Kind::Branch, "branch"),
    (Kind::Leaf, "leaf"),
    (Kind::Victim, "victim"),
    (Kind::Bomb, "bomb"),
    (Kind::Member, "member"),
    (Kind::Detached, "detached"),
    (Kind::Sleeper, "sleeper"),
    (Kind::Sender, "sender"),
    (Kind::Receiver, "receiver"),
    (Kind::Holder, "holder"),
    (Kind::Function, "function"),
    (Kind::Place, "place"),
    (Kind::Host, "host"),
    (Kind::LocalRoot, "local_root"),
    (Kind::Local, "local"),
    (Kind::Server, "server"),
    (Kind::Connection, "connection"),
    (Kind::Client, "client"),
    (Kind::Outsider, "outsider"),
    (Kind::OutsideRoot, "outside_root"),
    (Kind::Scoped, "scoped"),
    (Kind::Waiter, "waiter"),
    (Kind::Leftover, "leftover"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS[self as usize].1
    }
}

/// How a process ended, in the words of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Finished,
    Exception,
    Timeout,
    Cancelled,
}

pub const STATES: [(State, &str); 4] = [
    (State::Finished, "finished"),
    (State::Exception, "exception"),
    (State::Timeout, "timeout"),
    (State::Cancelled, "cancelled"),
];

/// What tells by an output how its process ended, as the runtime tells it.
pub trait Ended {
    fn state(&self) -> State;
}

impl Ended for () {
    fn state(&self) -> State {
        State::Finished
    }
}

impl Ended for u64 {
    fn state(&self) -> State {
        State::Finished
    }
}

/// An error that the soak returns on purpose.
#[derive(Debug)]
pub struct Injected;

impl<T, E: Any> Ended for Result<T, E> {
    fn state(&self) -> State {
        match self {
            Ok(_) => State::Finished,
            Err(error) => {
                let error: &dyn Any = error;
                match error.is::<telemetry_rt::time::error::Elapsed>() {
                    true => State::Timeout,
                    false => State::Exception,
                }
            }
        }
    }
}

/// An output whose drop panics: the process has finished by then.
pub struct Fuse<T>(pub T);

impl<T> Ended for Fuse<T> {
    fn state(&self) -> State {
        State::Finished
    }
}

/// The count of one runtime.
#[derive(Default)]
pub struct Ledger {
    begun: [AtomicU64; KINDS.len()],
    ended: [[AtomicU64; STATES.len()]; KINDS.len()],
    /// Spans that the soak opened itself.
    users_spans: AtomicU64,
}

impl Ledger {
    pub fn future<F: Future>(self: &Arc<Self>, kind: Kind, future: F) -> Counted<F> {
        Counted {
            future,
            end: self.begin(kind),
        }
    }

    /// Wraps a function for the blocking pool.
    pub fn closure<R: Ended, F: FnOnce() -> R>(
        self: &Arc<Self>,
        kind: Kind,
        function: F,
    ) -> impl FnOnce() -> R + use<R, F> {
        let mut end = self.begin(kind);
        move || match catch_unwind(AssertUnwindSafe(function)) {
            Ok(output) => {
                end.state(output.state());
                output
            }
            Err(payload) => {
                end.state(State::Exception);
                resume_unwind(payload)
            }
        }
    }

    /// Counts a process; how it ends is counted when the value is dropped.
    pub fn begin(self: &Arc<Self>, kind: Kind) -> End {
        self.begun[kind as usize].fetch_add(1, Relaxed);
        End {
            ledger: Arc::clone(self),
            kind,
            state: State::Cancelled,
        }
    }

    /// A span of the soak's own, counted.
    pub fn span(&self, name: &'static str) -> telemetry_rt::SpanGuard {
        self.users_spans.fetch_add(1, Relaxed);
        telemetry_rt::span(name)
    }

    pub fn processes(&self) -> u64 {
        self.begun.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub fn users_spans(&self) -> u64 {
        self.users_spans.load(Relaxed)
    }

    /// Each kind that began, by name: how many, and how many ended in each state.
    pub fn rows(&self) -> BTreeMap<&'static str, (u64, [u64; STATES.len()])> {
        let row = |&(kind, name): &(Kind, &'static str)| {
            let begun = self.begun[kind as usize].load(Relaxed);
            let ended = self.ended[kind as usize].each_ref();
            (name, (begun, ended.map(|count| count.load(Relaxed))))
        };
        KINDS.iter().map(row).filter(|(_, row)| row.0 > 0).collect()
    }
}

/// A process that has not ended. Dropped with a panic on its way it is an exception, and without
/// word of another end it is cancelled.
pub struct End {
    ledger: Arc<Ledger>,
    kind: Kind,
    state: State,
}

impl End {
    /// How the process has ended, as far as is known.
    pub fn state(&mut self, state: State) {
        self.state = state;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.state == State::Cancelled && std::thread::panicking() {
            self.state = State::Exception;
        }
        self.ledger.ended[self.kind as usize][self.state as usize].fetch_add(1, Relaxed);
    }
}

pin_project! {
    /// A future whose begin and end are counted.
    pub struct Counted<F> {
        #[pin]
        future: F,
        // Dropped last: a panic of the future's drop is on its way by then.
        end: End,
    }
}

impl<F: Future<Output: Ended>> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(cx)));
        match polled {
            Ok(Poll::Ready(output)) => {
                this.end.state(output.state());
                Poll::Ready(output)
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => {
                this.end.state(State::Exception);
                resume_unwind(payload)
            }
        }
    }
}
