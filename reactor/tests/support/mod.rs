//! A small executor for tests: polls one future whenever it was woken, turns the driver between.

#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use telemetry_rt_reactor::{Config, Driver, Handle, Job, Offload, Refused, Turn, build, context};

/// How long a test may take before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Threads;

impl Offload for Threads {
    fn offload(&self, _name: &'static str, job: Job) -> Result<(), Refused> {
        std::thread::spawn(job);
        Ok(())
    }
}

pub struct DropsJobs;

impl Offload for DropsJobs {
    fn offload(&self, _name: &'static str, job: Job) -> Result<(), Refused> {
        drop(job);
        Ok(())
    }
}

pub fn config() -> Config {
    Config {
        shards: 1,
        events: 1024,
        enable_io: true,
        enable_time: true,
        pausable: false,
        start_paused: false,
        offload: Arc::new(Threads),
    }
}

/// A runtime of one thread. It is entered as long as it lives.
pub struct Runtime {
    pub driver: Driver,
    pub handle: Handle,
    previous: Option<context::Previous>,
}

impl Runtime {
    pub fn new() -> Runtime {
        Runtime::with(config())
    }

    pub fn with(config: Config) -> Runtime {
        let (driver, handle) = build(config).expect("file descriptors are left");
        let previous = Some(context::enter(Some(handle.clone()), None));
        Runtime {
            driver,
            handle,
            previous,
        }
    }

    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let started = Instant::now();
        let flag = Arc::new(Woken::new(&self.handle));
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            if flag.take() {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
            } else {
                self.driver.turn(Some(Duration::from_millis(100)), false);
            }
            assert!(started.elapsed() < PATIENCE, "the future hangs");
        }
    }

    /// Looks for what has happened, and does not wait.
    pub fn look(&mut self) -> Turn {
        self.driver.turn(Some(Duration::ZERO), false)
    }

    /// Turns until something was handed out.
    pub fn until_event(&mut self) -> Turn {
        let started = Instant::now();
        loop {
            let turn = self.driver.turn(Some(Duration::from_millis(100)), false);
            if turn.io_events + turn.signals > 0 {
                return turn;
            }
            assert!(started.elapsed() < PATIENCE, "no event arrives");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        context::restore(self.previous.take().unwrap_or_default());
    }
}

struct Woken {
    flag: AtomicBool,
    handle: Handle,
}

impl Woken {
    fn new(handle: &Handle) -> Woken {
        Woken {
            flag: AtomicBool::new(true),
            handle: handle.clone(),
        }
    }

    fn take(&self) -> bool {
        self.flag.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.handle.wake();
    }
}

/// A waker that counts.
#[derive(Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    pub fn new() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        (counter, waker)
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A waker that panics.
pub struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

/// Polls once with a waker that does nothing.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs both to their end.
pub async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(|cx| {
        poll_into(a.as_mut(), &mut a_done, cx);
        poll_into(b.as_mut(), &mut b_done, cx);
        if a_done.is_some() && b_done.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    (a_done.expect("done"), b_done.expect("done"))
}

fn poll_into<F: Future>(future: Pin<&mut F>, done: &mut Option<F::Output>, cx: &mut Context<'_>) {
    if done.is_none()
        && let Poll::Ready(output) = future.poll(cx)
    {
        *done = Some(output);
    }
}
