//! telemetry_rt, recording more or less.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::runtime::Builder;

use crate::runtime::{Joined, Ledger, Runtime};

/// How much it records.
pub trait Recording: Send + Sync + Sized + 'static {
    /// Says to the builder what is recorded, and keeps what is needed to tell later.
    fn start(builder: &mut Builder) -> Self;

    /// See [`Runtime::settle`].
    fn settle(&self, runtime: &telemetry_rt::runtime::Runtime);

    /// See [`Runtime::finish`].
    fn finish(self, runtime: telemetry_rt::runtime::Runtime) -> Option<Ledger>;
}

/// Our multi-thread runtime.
pub struct Ours<R> {
    runtime: telemetry_rt::runtime::Runtime,
    workers: usize,
    recording: R,
}

impl<R: Recording> Runtime for Ours<R> {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn start(workers: usize) -> Self {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).enable_all();
        let recording = R::start(&mut builder);
        Ours {
            runtime: builder.build().expect("telemetry_rt starts"),
            workers,
            recording,
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
        Joined(self.runtime.spawn(future))
    }

    fn spawn_outside_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.runtime.spawn(future));
    }

    #[inline]
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Joined(telemetry_rt::spawn(future))
    }

    #[inline]
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(telemetry_rt::spawn(future));
    }

    #[inline]
    fn spawn_blocking<F, T>(function: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Joined(telemetry_rt::task::spawn_blocking(function))
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        telemetry_rt::task::yield_now()
    }

    #[inline]
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        telemetry_rt::time::sleep(duration)
    }

    #[inline]
    async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
        telemetry_rt::time::timeout(duration, future).await.ok()
    }

    async fn ticks(period: Duration, count: usize) {
        let mut interval = telemetry_rt::time::interval(period);
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
        self.recording.settle(&self.runtime);
    }

    fn finish(self) -> Option<Ledger> {
        self.recording.finish(self.runtime)
    }
}
