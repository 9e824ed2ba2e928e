//! How one worker waits, and how it is woken from there.
//!
//! ```text
//!             park                    unpark
//!  EMPTY ──────────────► PARKED ─────────────────► NOTIFIED
//!    ▲                                                 │
//!    └──────────── the worker takes it ────────────────┘
//! ```
//!
//! A worker waits in one of two places: in the driver, if nobody else is there, so that it is
//! woken by sockets and timers; or on its own thread's parking place. The word says where, so
//! that whoever wakes it makes the one system call that is needed, and none if it is not waiting.
//! A notification that comes early is kept, so that the next park returns at once.

use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use telemetry_rt_reactor::{self as reactor, Turn};

use crate::sync::{AtomicU64, Ordering, fence};

const EMPTY: u64 = 0;
const NOTIFIED: u64 = 1;
const IN_DRIVER: u64 = 2;
pub(super) const ON_THREAD: u64 = 3;

/// The parking place of one worker. The worker parks, everybody may unpark.
#[derive(Debug)]
pub(crate) struct Parker {
    word: AtomicU64,
    /// The thread that runs the worker: it changes when a worker blocks in place.
    thread: Mutex<Option<Thread>>,
}

/// Where a worker has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Driver,
    Thread,
}

/// The driver, which one worker at a time can wait in.
#[derive(Debug)]
pub(crate) struct SharedDriver {
    driver: Mutex<reactor::Driver>,
    handle: reactor::Handle,
    /// How often somebody looked at it; written by who holds it.
    turns: AtomicU64,
}

impl SharedDriver {
    pub(crate) fn new(driver: reactor::Driver, handle: reactor::Handle) -> SharedDriver {
        SharedDriver {
            driver: Mutex::new(driver),
            handle,
            turns: AtomicU64::new(0),
        }
    }

    pub(crate) fn handle(&self) -> &reactor::Handle {
        &self.handle
    }

    /// Looks for events without waiting, if nobody else is at it.
    pub(crate) fn look(&self) -> Turn {
        match self.driver.try_lock() {
            Some(driver) => self.turn(driver, Some(Duration::ZERO), false),
            None => Turn::default(),
        }
    }

    /// How often somebody has looked at it; a number for comparing.
    pub(crate) fn turns(&self) -> u64 {
        // Relaxed: out of date when it is read.
        self.turns.load(Ordering::Relaxed)
    }

    /// Whether somebody is in it.
    pub(crate) fn is_attended(&self) -> bool {
        self.driver.is_locked()
    }

    fn turn(
        &self,
        mut driver: MutexGuard<'_, reactor::Driver>,
        max_wait: Option<Duration>,
        may_advance: bool,
    ) -> Turn {
        let turn = driver.turn(max_wait, may_advance);
        // Relaxed: as in `turns`. A store, because the driver is held.
        self.turns.store(self.turns() + 1, Ordering::Relaxed);
        turn
    }
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker {
            word: AtomicU64::new(EMPTY),
            thread: Mutex::new(None),
        }
    }

    pub(crate) fn thread_id(&self) -> Option<ThreadId> {
        self.thread.lock().as_ref().map(Thread::id)
    }

    /// The calling thread runs the worker from now on.
    pub(crate) fn move_in(&self) {
        *self.thread.lock() = Some(thread::current());
    }

    /// The calling thread runs the worker no longer.
    pub(crate) fn move_out(&self) {
        *self.thread.lock() = None;
    }

    /// Waits for a notification or for an event, and says where. May return for no reason: the
    /// caller looks around and parks again.
    pub(crate) fn park(&self, driver: &SharedDriver) -> (Place, Turn) {
        let guard = driver.driver.try_lock().or_else(|| {
            // Whoever has left the driver since then may have spared this worker, because it was there
            // itself a moment ago: pairs with the fence in `Idle::someone_must_watch`.
            fence(Ordering::SeqCst);
            driver.driver.try_lock()
        });
        match guard {
            Some(guard) => (Place::Driver, self.park_in_driver(driver, guard)),
            None => (Place::Thread, self.park_on_thread(driver.handle(), None)),
        }
    }

    fn park_in_driver(
        &self,
        driver: &SharedDriver,
        guard: MutexGuard<'_, reactor::Driver>,
    ) -> Turn {
        let turn = if self.announce(IN_DRIVER) {
            // Nothing else is there to do: a paused clock may move to the next timer.
            driver.turn(guard, None, true)
        } else {
            // Notified before it began: the driver is looked at, but not waited in.
            driver.turn(guard, Some(Duration::ZERO), false)
        };
        self.take_notification();
        turn
    }

    /// Waits for a notification, at most for `limit`.
    pub(crate) fn park_on_thread(
        &self,
        reactor: &reactor::Handle,
        limit: Option<Duration>,
    ) -> Turn {
        let mut turn = Turn::default();
        // A timer may be due before whoever is in the driver comes out of it.
        let deadline = reactor.sleeper_deadline();
        if !self.announce(ON_THREAD) {
            return turn;
        }
        let timer = deadline
            .map(|deadline| deadline.saturating_duration_since(telemetry_rt_clock::instant()));
        match timer.into_iter().chain(limit).min() {
            Some(longest) => thread::park_timeout(longest),
            None => thread::park(),
        }
        self.take_notification();
        if deadline.is_some() {
            turn.timers = reactor.fire_due();
        }
        turn
    }

    /// Says where the worker is about to wait. `false`, having taken the notification, if there is
    /// one: then it must not wait.
    pub(super) fn announce(&self, place: u64) -> bool {
        // Acquire: pairs with the Release in `unpark`: the worker sees what it was woken for.
        // Release: whoever unparks sees the place.
        let announced =
            self.word
                .compare_exchange(EMPTY, place, Ordering::AcqRel, Ordering::Acquire);
        if announced.is_err() {
            self.take_notification();
        }
        announced.is_ok()
    }

    pub(super) fn take_notification(&self) {
        // Acquire: as in `announce`.
        self.word.swap(EMPTY, Ordering::Acquire);
    }

    /// Whether the worker waits in the driver; out of date when it is read.
    pub(crate) fn is_in_driver(&self) -> bool {
        // Relaxed: a hint for choosing whom to wake.
        self.word.load(Ordering::Relaxed) == IN_DRIVER
    }

    /// Leaves a notification, and says where the worker waits.
    pub(super) fn notify(&self) -> u64 {
        // Release: the worker sees what it is woken for. Acquire: this sees where it waits.
        self.word.swap(NOTIFIED, Ordering::AcqRel)
    }

    /// Wakes the worker, or makes its next park return at once.
    pub(crate) fn unpark(&self, reactor: &reactor::Handle) {
        match self.notify() {
            IN_DRIVER => reactor.wake(),
            ON_THREAD => {
                let thread = self.thread.lock().clone();
                if let Some(thread) = thread {
                    thread.unpark();
                }
            }
            _ => {}
        }
    }
}
