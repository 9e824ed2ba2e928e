//! The turn: waits, hands out what happened, says what it was.

use crate::handle::Handle;
use crate::io::{self, Arrivals};
use crate::signal;
use crossbeam_utils::sync::Parker;
use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// The part of a reactor that waits. There is one per runtime; whichever worker holds it may
/// call [`turn`](Driver::turn). Dropping it [shuts down](Handle::shutdown) what it drove.
pub struct Driver {
    sleeper: Sleeper,
    handle: Handle,
}

/// What happened in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// File descriptors whose readiness changed.
    pub io_events: u32,
    /// Timers that fired.
    pub timers: u32,
    /// Kinds of signals that were handed to receivers.
    pub signals: u32,
    /// Whether [`Handle::wake`] interrupted the wait, or had forbidden it.
    pub woken: bool,
}

impl Driver {
    pub(crate) fn new(sleeper: Sleeper, handle: Handle) -> Driver {
        Driver { sleeper, handle }
    }

    /// Waits until something happens, at most `max_wait` and no longer than the next timer, and
    /// wakes everybody who waited for it.
    ///
    /// `None` waits as long as it takes; `Some(Duration::ZERO)` looks and does not wait. When
    /// there is nothing else to run, `may_advance` lets a paused clock move to the next timer
    /// instead of waiting for it. No waker is called while a lock is held.
    pub fn turn(&mut self, max_wait: Option<Duration>, may_advance: bool) -> Turn {
        let woken = self.wait(max_wait, may_advance);
        let (io_events, signals) = self.sleeper.hand_out(&self.handle);
        Turn {
            io_events,
            timers: self.handle.fire_due(),
            signals,
            woken,
        }
    }

    /// Waits, and says whether somebody woke the driver.
    fn wait(&mut self, max_wait: Option<Duration>, may_advance: bool) -> bool {
        let wait = match self.handle.wheels() {
            Some(wheels) => wheels.begin_wait(max_wait, may_advance),
            None => max_wait,
        };
        // The wheels have published how long the wait is. A timer that is earlier wakes us:
        // before this line, so that `begin` refuses, or after it, so that the alarm rings.
        let arrived = if wait == Some(Duration::ZERO) || !self.handle.wakeup().begin() {
            self.sleeper.sleep(Some(Duration::ZERO))
        } else {
            self.sleeper.sleep(wait)
        };
        let woken = self.handle.wakeup().end();
        if let Some(wheels) = self.handle.wheels() {
            if woken || arrived {
                // There is something to run after all: a paused clock stays where it is, and
                // does not overtake the I/O that is handed out next.
                wheels.forgo_advance();
            }
            wheels.end_wait();
        }
        woken
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// What the driver waits with: the selector, or a plain parker when there is no I/O.
pub(crate) enum Sleeper {
    Select {
        poll: mio::Poll,
        events: mio::Events,
        /// Kept from turn to turn so that a turn does not allocate.
        arrivals: Arrivals,
    },
    Park(Parker),
}

impl Sleeper {
    pub(crate) fn select(poll: mio::Poll, events: usize) -> Sleeper {
        Sleeper::Select {
            poll,
            events: mio::Events::with_capacity(events.max(1)),
            arrivals: Arrivals::default(),
        }
    }

    pub(crate) fn park(parker: Parker) -> Sleeper {
        Sleeper::Park(parker)
    }

    /// Whether I/O or a signal ended it.
    fn sleep(&mut self, wait: Option<Duration>) -> bool {
        match self {
            Sleeper::Select { poll, events, .. } => {
                select(poll, events, wait);
                events.iter().any(|event| event.token() != io::WAKEUP)
            }
            Sleeper::Park(parker) => {
                park(parker, wait);
                false
            }
        }
    }

    /// Tells the slots of the descriptors, and the receivers of signals. Says how many of each.
    fn hand_out(&mut self, handle: &Handle) -> (u32, u32) {
        let (
            Sleeper::Select {
                events, arrivals, ..
            },
            Some(registry),
        ) = (self, handle.registry())
        else {
            return (0, 0);
        };
        let collected = arrivals.collect(registry, events);
        let signals = if collected.signalled {
            signal::deliver(arrivals.wakers())
        } else {
            0
        };
        // Last, when nothing of this turn is left to be told: a waker may panic.
        arrivals.wake();
        (collected.events, signals)
    }
}

fn park(parker: &Parker, wait: Option<Duration>) {
    match wait {
        // An alarm that rang after its wait had ended cuts this one short: harmless.
        Some(wait) => parker.park_timeout(wait),
        None => parker.park(),
    }
}

/// Waits for events; a signal handler that interrupts the wait does not end it.
fn select(poll: &mut mio::Poll, events: &mut mio::Events, wait: Option<Duration>) {
    let deadline = wait
        .filter(|wait| !wait.is_zero())
        .and_then(|wait| telemetry_rt_clock::instant().checked_add(wait));
    let mut left = wait;
    loop {
        match poll.poll(events, left) {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                left = remaining(wait, deadline)
            }
            Err(error) => panic!("the selector of the reactor failed: {error}"),
        }
    }
}

fn remaining(wait: Option<Duration>, deadline: Option<Instant>) -> Option<Duration> {
    match deadline {
        Some(deadline) => Some(deadline.saturating_duration_since(telemetry_rt_clock::instant())),
        None => wait,
    }
}
