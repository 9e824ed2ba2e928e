//! How does a scheduler end?
//!
//! 1. It is said that it ends ([`begin`](Ending::begin)), and the workers are unparked. Each ends its
//!    poll and stops.
//! 2. The worker that stops last ([`is_last`](Ending::is_last)) drops all tasks ([`drop_all`]): as long
//!    as another one polls, its task may begin to wait, and must be dropped afterwards.
//! 3. Who waits for the end learns of it ([`is_over`](Ending::is_over)).
//!
//! *No task is left.* A spawn registers its task, or is refused, under the lock of the registry. What is
//! registered is idle when the registry is closed, then it is dropped at once; or somebody has the right
//! to poll it, who is no worker: it is in the injector, or comes there. So the injector is emptied until
//! the registry is empty.

use std::time::{Duration, Instant};

use super::injector::Injector;
use crate::registry::Registry;
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};
use crate::task::{Notified, Pen};

/// See the module.
#[derive(Default)]
pub(super) struct Ending {
    begun: AtomicBool,
    stopped: Mutex<Stopped>,
    over: Condvar,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Stopped {
    workers: usize,
    over: bool,
}

impl Ending {
    pub(super) fn begin(&self) {
        // Release: pairs with `has_begun`.
        self.begun.store(true, Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        // Acquire: pairs with `begin`.
        self.begun.load(Ordering::Acquire)
    }

    /// One of so many workers has stopped. Whether all have.
    pub(super) fn is_last(&self, workers: usize) -> bool {
        let mut stopped = self.stopped.lock();
        stopped.workers += 1;
        stopped.workers == workers
    }

    /// All tasks have been dropped.
    pub(super) fn is_over(&self) {
        self.stopped.lock().over = true;
        self.over.notify_all();
    }

    /// Waits until all tasks have been dropped, at most until `deadline`; tells whether they have.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut stopped = self.stopped.lock();
        while !stopped.over {
            match deadline {
                None => self.over.wait(&mut stopped),
                Some(deadline) => {
                    if self.over.wait_until(&mut stopped, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        stopped.over
    }
}

/// Drops all tasks, when no worker runs any more, and returns when the last has been dropped. `tell`
/// is called as soon as nothing is idle.
///
/// Two kinds of threads are waited for, because they have the right to poll a task: one that has just
/// woken it and is about to push it into the injector, and one on which it blocks in place.
pub(super) fn drop_all(
    registry: &Registry,
    injector: &Injector<Notified>,
    pen: &Pen<'_>,
    tell: impl FnOnce(),
) {
    drop_idle(registry, pen);
    tell();
    let mut pause = Duration::from_micros(10);
    loop {
        drop_injected(injector, pen);
        if registry.is_empty() {
            return;
        }
        rest(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

pub(super) fn drop_idle(registry: &Registry, pen: &Pen<'_>) {
    for task in registry.close() {
        task.run_cancelled(pen);
    }
}

pub(super) fn drop_injected(injector: &Injector<Notified>, pen: &Pen<'_>) {
    while let Some(task) = injector.pop() {
        task.run_cancelled(pen);
    }
}

/// How long the thread that drops all tasks sleeps between two looks, at the most.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

fn rest(pause: Duration) {
    #[cfg(not(loom))]
    std::thread::sleep(pause);
    #[cfg(loom)]
    {
        let _ = pause;
        loom::thread::yield_now();
    }
}
