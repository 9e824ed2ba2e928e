//! What a runtime has to offer to be a contender: the workloads are written once, against this.
//!
//! Everything but what is asked of `&self` is called on a thread of the runtime, or within its
//! `block_on`, and finds the runtime as a program on it would: by the thread. Channels are
//! `tokio::sync`'s for all, because they belong to no runtime.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// A contender.
pub trait Runtime: Sized + Send + Sync + 'static {
    /// A socket that listens.
    type Listener: Send + Sync + 'static;
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Starts it with so many worker threads.
    fn start(workers: usize) -> Self;

    /// How many it was started with.
    fn workers(&self) -> usize;

    /// Runs a future on this thread.
    fn block_on<F: Future>(&self, future: F) -> F::Output;

    /// Spawns from a thread that is not the runtime's.
    fn spawn_outside<F>(&self, future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// The same, and nobody waits for it.
    fn spawn_outside_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Spawns. If the result is dropped some runtimes cancel the task: see
    /// [`spawn_detached`](Self::spawn_detached).
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Spawns what nobody waits for.
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Runs a function that blocks.
    fn spawn_blocking<F, T>(function: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// Lets others have their turn.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Waits.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Waits for the future, but not for ever; `None` if it took too long.
    fn timeout<F: Future + Send>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + Send;

    /// Waits for so many ticks of an interval.
    fn ticks(period: Duration, count: usize) -> impl Future<Output = ()> + Send + 'static;

    /// Listens on a free port of the loopback interface.
    fn listen() -> impl Future<Output = (Self::Listener, SocketAddr)> + Send;

    /// Accepts a connection, with Nagle's algorithm off.
    fn accept(listener: &Self::Listener) -> impl Future<Output = Self::Stream> + Send;

    /// Waits until what was recorded so far has left by the exporter. Part of what is measured.
    fn settle(&self) {}

    /// Ends the runtime, and says what it has recorded, if it records.
    fn finish(self) -> Option<Ledger>;
}

/// What a contender says that it has recorded between its start and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Tasks, blocking functions and calls of `block_on` that ended, by the metrics. `None` if the
    /// contender has no such metric.
    pub processes: Option<u64>,
    /// Spans that ended, of those that are sampled. `None` if it makes no spans.
    pub spans: Option<u64>,
    /// Spans that the exporter has taken.
    pub exported: u64,
    /// Spans that were lost.
    pub dropped: u64,
}

/// A join handle whose task does not fail.
pub struct Joined<H>(pub H);

impl<H, T, E> Future for Joined<H>
where
    H: Future<Output = Result<T, E>> + Unpin,
    E: std::fmt::Debug,
{
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let joined = Pin::new(&mut self.0).poll(cx);
        joined.map(|result| result.expect("no task of a workload panics or is aborted"))
    }
}
