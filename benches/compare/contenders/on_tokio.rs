//! tokio, as it is and with what people wrap around its tasks to see them.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use crate::runtime::{Joined, Ledger, Runtime};

/// What is done around each task.
pub trait Instrument: Sized + Send + Sync + 'static {
    /// Starts tokio, and what records.
    fn start(builder: Builder) -> (tokio::runtime::Runtime, Self);

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    #[inline]
    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(Self::wrap(future))
    }

    fn spawn_on<F>(runtime: &tokio::runtime::Runtime, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        runtime.spawn(Self::wrap(future))
    }

    /// See [`Runtime::settle`].
    fn settle(&self) {}

    /// See [`Runtime::finish`]; tokio has ended.
    fn finish(self) -> Option<Ledger> {
        None
    }
}

/// Starts tokio as the builder says.
pub fn build(mut builder: Builder) -> tokio::runtime::Runtime {
    builder.build().expect("tokio starts")
}

/// tokio with nothing around it.
pub struct Plain;

impl Instrument for Plain {
    fn start(builder: Builder) -> (tokio::runtime::Runtime, Plain) {
        (build(builder), Plain)
    }

    #[inline]
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        future
    }
}

/// tokio's multi-thread runtime, each task wrapped by `I`.
pub struct OnTokio<I> {
    runtime: tokio::runtime::Runtime,
    workers: usize,
    instrument: I,
}

impl<I: Instrument> Runtime for OnTokio<I> {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn start(workers: usize) -> Self {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).enable_all();
        let (runtime, instrument) = I::start(builder);
        OnTokio {
            runtime,
            workers,
            instrument,
        }
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn spawn_outside<F>(&self, future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Joined(I::spawn_on(&self.runtime, future))
    }

    fn spawn_outside_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(I::spawn_on(&self.runtime, future));
    }

    #[inline]
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Joined(I::spawn(future))
    }

    #[inline]
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(I::spawn(future));
    }

    #[inline]
    fn spawn_blocking<F, T>(function: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Joined(tokio::task::spawn_blocking(function))
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }

    #[inline]
    async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(duration, future).await.ok()
    }

    async fn ticks(period: Duration, count: usize) {
        let mut interval = tokio::time::interval(period);
        for _ in 0..count {
            interval.tick().await;
        }
    }

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        let (stream, _) = listener.accept().await.expect("a client connects");
        stream.set_nodelay(true).expect("TCP has this option");
        stream
    }

    fn settle(&self) {
        self.instrument.settle();
    }

    fn finish(self) -> Option<Ledger> {
        drop(self.runtime);
        self.instrument.finish()
    }
}
