//! The smallest executor that can run timers: one task, polled until it is ready, with a turn of
//! the driver whenever it is not.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use telemetry_rt_reactor::{Config, Driver, Handle, Job, Offload, Refused, build, context};

pub const MS: Duration = Duration::from_millis(1);

struct RefusesAll;

impl Offload for RefusesAll {
    fn offload(&self, _name: &'static str, _job: Job) -> Result<(), Refused> {
        Err(Refused::new())
    }
}

pub fn config() -> Config {
    Config {
        shards: 1,
        events: 64,
        enable_io: true,
        enable_time: true,
        pausable: true,
        start_paused: false,
        offload: Arc::new(RefusesAll),
    }
}

/// Whether a task was woken; wakes the driver too, which may wait on another thread.
pub struct Woken {
    flag: AtomicBool,
    driver: Handle,
}

impl Woken {
    pub fn new(driver: &Handle) -> Arc<Woken> {
        Arc::new(Woken {
            flag: AtomicBool::new(true),
            driver: driver.clone(),
        })
    }

    pub fn take(&self) -> bool {
        self.flag.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.driver.wake();
    }
}

pub struct Runtime {
    pub driver: Driver,
    pub handle: Handle,
}

impl Runtime {
    pub fn new(config: Config) -> Runtime {
        let (driver, handle) = build(config).expect("a selector can be had");
        Runtime { driver, handle }
    }

    /// Runs `future` as the only worker of this runtime.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let entered = context::enter(Some(self.handle.clone()), Some(0));
        let woken = Woken::new(&self.handle);
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        let output = loop {
            if woken.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                break output;
            }
            // A task that is ready to run must not see time move on.
            let ready = woken.flag.load(Ordering::Acquire);
            self.driver.turn(ready.then_some(Duration::ZERO), !ready);
        };
        context::restore(entered);
        output
    }
}
