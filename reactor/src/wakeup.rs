//! How another thread interrupts a turn of the driver.
//!
//! One word says what the driver does. Only the driver leaves `WOKEN` and enters `WAITING`:
//!
//! ```text
//!          driver: begin            driver: end
//!   IDLE ────────────────► WAITING ─────────────► IDLE
//!     │                       │
//!     │ wake                  │ wake, and ring the alarm
//!     ▼                       ▼
//!   WOKEN ◄───────────────────┘
//!     └─ driver: begin finds it and does not wait; end takes it away
//! ```
//!
//! The system call that interrupts a wait (a write to an eventfd, about a microsecond) is made
//! only when the driver really waits, and once per wait.

use crossbeam_utils::sync::Unparker;
use std::sync::atomic::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const WAITING: u8 = 1;
const WOKEN: u8 = 2;

/// The word above, and the alarm that interrupts a wait.
pub(crate) struct Wakeup {
    state: AtomicU8,
    alarm: Alarm,
}

enum Alarm {
    Selector(mio::Waker),
    Parker(Unparker),
}

impl Wakeup {
    pub(crate) fn of_selector(waker: mio::Waker) -> Wakeup {
        Wakeup::new(Alarm::Selector(waker))
    }

    pub(crate) fn of_parker(unparker: Unparker) -> Wakeup {
        Wakeup::new(Alarm::Parker(unparker))
    }

    fn new(alarm: Alarm) -> Wakeup {
        Wakeup {
            state: AtomicU8::new(IDLE),
            alarm,
        }
    }

    /// Interrupts the wait in progress, or forbids the next one.
    pub(crate) fn wake(&self) {
        // AcqRel: what this thread did before is visible to the driver once its `begin` or `end`
        // finds WOKEN. All changes of the word are read-modify-write, so they have one order:
        // either `begin` came first and we see WAITING and ring, or it finds WOKEN.
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
            self.alarm.ring();
        }
    }

    /// The driver is about to wait. `false`: it has been woken already and must not.
    pub(crate) fn begin(&self) -> bool {
        // Acquire on failure: pairs with the swap in `wake`. Release on success: what the driver
        // published for this wait is visible to whoever finds WAITING.
        self.state
            .compare_exchange(IDLE, WAITING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The driver no longer waits. `true`: somebody woke it since the last `end`.
    pub(crate) fn end(&self) -> bool {
        // AcqRel: pairs with the swap in `wake`, as above.
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }
}

impl Alarm {
    fn ring(&self) {
        match self {
            // An eventfd refuses only when its count is at the maximum (mio resets it then) or
            // when it was closed, which it is not as long as `self` lives.
            Alarm::Selector(waker) => waker.wake().expect("the selector's waker is open"),
            Alarm::Parker(unparker) => unparker.unpark(),
        }
    }
}
