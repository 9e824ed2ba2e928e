//! smol, put together from its parts: async-executor on so many threads, async-io, blocking.

use std::cell::RefCell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_executor::{Executor, Task};
use async_io::{Async, Timer};
use futures_lite::{StreamExt, future};
use tokio::sync::watch;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::runtime::{Ledger, Runtime};

thread_local! {
    /// The executor that this thread belongs to: smol itself has one for the process.
    static EXECUTOR: RefCell<Option<Arc<Executor<'static>>>> = const { RefCell::new(None) };
}

pub struct Smol {
    executor: Arc<Executor<'static>>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped to end the threads.
    running: watch::Sender<()>,
}

/// Calls with the executor of this thread.
#[inline]
fn with_executor<T>(call: impl FnOnce(&Executor<'static>) -> T) -> T {
    EXECUTOR.with_borrow(|executor| {
        let executor = executor.as_ref();
        call(executor.expect("the workload calls within the runtime"))
    })
}

fn run_tasks(executor: Arc<Executor<'static>>, mut running: watch::Receiver<()>) {
    EXECUTOR.set(Some(executor.clone()));
    // An error: the sender is gone.
    let ended = async_io::block_on(executor.run(running.changed()));
    assert!(ended.is_err(), "nothing is sent");
    EXECUTOR.set(None);
}

impl Runtime for Smol {
    type Listener = Async<TcpListener>;
    type Stream = Compat<Async<TcpStream>>;

    fn start(workers: usize) -> Self {
        let executor = Arc::new(Executor::new());
        let (running, receiver) = watch::channel(());
        let start = |_| {
            let (executor, receiver) = (executor.clone(), receiver.clone());
            std::thread::spawn(move || run_tasks(executor, receiver))
        };
        Smol {
            threads: (0..workers).map(start).collect(),
            executor,
            running,
        }
    }

    fn workers(&self) -> usize {
        self.threads.len()
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let outer = EXECUTOR.replace(Some(self.executor.clone()));
        let output = async_io::block_on(future);
        EXECUTOR.set(outer);
        output
    }

    fn spawn_outside<F>(&self, future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.executor.spawn(future)
    }

    fn spawn_outside_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.executor.spawn(future).detach();
    }

    #[inline]
    fn spawn<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        with_executor(|executor| executor.spawn(future))
    }

    #[inline]
    fn spawn_detached<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        with_executor(|executor| executor.spawn(future)).detach();
    }

    #[inline]
    fn spawn_blocking<F, T>(function: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let task: Task<T> = blocking::unblock(function);
        task
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    #[inline]
    async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
        let future = pin!(future);
        let in_time = async { Some(future.await) };
        let too_late = async {
            Timer::after(duration).await;
            None
        };
        future::or(in_time, too_late).await
    }

    async fn ticks(period: Duration, count: usize) {
        let mut interval = Timer::interval(period);
        for _ in 0..count {
            interval.next().await;
        }
    }

    async fn listen() -> (Self::Listener, SocketAddr) {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.expect("there is a free port");
        let address = listener.get_ref().local_addr().expect("it is bound");
        (listener, address)
    }

    async fn accept(listener: &Self::Listener) -> Self::Stream {
        let (stream, _) = listener.accept().await.expect("a client connects");
        let set = stream.get_ref().set_nodelay(true);
        set.expect("TCP has this option");
        stream.compat()
    }

    fn finish(self) -> Option<Ledger> {
        drop(self.running);
        for thread in self.threads {
            thread.join().expect("no task of a workload panics");
        }
        None
    }
}
