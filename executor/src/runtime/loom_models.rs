//! The signal of a `block_on` and its use for the next one (`wakes.rs`, `seat.rs`), under every order of
//! events: a wake is seen by the root that it is for and by no other. (What others see of it: `shown.rs`.)
//!
//! The count of references to a signal is the standard library's; here it is a word with the same steps
//! and orderings.
//!
//! Each model is shown to fail when an ordering is too weak or a step is left out.

use loom::sync::Arc;
use loom::thread;

use super::wakes::Wakes;
use crate::sync::model::{Op, Seed, explore};
use crate::sync::{AtomicBool, AtomicU64, Ordering, UnsafeCell, fence};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A signal is used again whoever has it.
    Counting,
}

fn start<T: 'static>(act: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(act)
}

fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread that panics ends the model")
}

// ----- waking -----

struct Blocked {
    wakes: Wakes,
    /// What the root waits for. Relaxed throughout: the wake has to publish it.
    flags: [AtomicBool; 2],
    /// The thread was unparked: its next park returns at once.
    unparked: AtomicBool,
}

impl Blocked {
    fn wake(&self, flag: usize) {
        self.flags[flag].store(true, Ordering::Relaxed);
        if self.wakes.add() {
            self.unparked.swap(true, Ordering::AcqRel);
        }
    }

    /// Polls until the root is ready or has to wait. Whether it is ready.
    fn run(&self) -> bool {
        loop {
            if self.wakes.take() > 0 && self.flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
                return true;
            }
            let parks = !self.wakes.are_any();
            if parks && !self.unparked.swap(false, Ordering::AcqRel) {
                return false;
            }
        }
    }
}

/// Two threads wake a root, each for another reason, while it is polled.
fn two_wakes_meet_a_poll() {
    let blocked = Arc::new(Blocked {
        wakes: Wakes::new(),
        flags: [AtomicBool::new(false), AtomicBool::new(false)],
        unparked: AtomicBool::new(false),
    });
    blocked.wakes.begin();
    assert_eq!(blocked.wakes.take_first(), 1);
    let waking = [0, 1].map(|flag| {
        let theirs = Arc::clone(&blocked);
        start(move || theirs.wake(flag))
    });
    let mut ready = blocked.run();
    waking.into_iter().for_each(end);
    if !ready && blocked.unparked.load(Ordering::Acquire) {
        ready = blocked.run();
    }
    assert!(ready, "a root waits for ever");
}

// ----- using a signal again -----

struct Signal {
    wakes: Wakes,
    /// What a wake writes: the stamp.
    stamp: UnsafeCell<u64>,
    /// As the count of an `Arc`.
    references: AtomicU64,
}

// SAFETY: loom checks who is in the cell.
unsafe impl Sync for Signal {}
// SAFETY: as above.
unsafe impl Send for Signal {}

/// What the seat itself has.
const OWN: u64 = 2;

impl Signal {
    /// Somebody with a waker of the root before uses it up.
    fn wake(&self) {
        self.stamp.with_mut(|_| ());
        self.wakes.add();
        self.references.fetch_sub(1, Ordering::Release);
    }

    /// As `Seat::is_for`.
    fn is_free(&self, without: Without) -> bool {
        if without == Without::Counting {
            return true;
        }
        let is_free = self.references.load(Ordering::Relaxed) == OWN;
        if is_free {
            fence(Ordering::Acquire);
        }
        is_free
    }
}

/// A thread blocks anew, while somebody still has a waker of the root before, and wakes that.
fn a_wake_of_the_root_before_meets_the_next(without: Without) {
    let signal = Arc::new(Signal {
        wakes: Wakes::new(),
        stamp: UnsafeCell::new(0),
        references: AtomicU64::new(OWN + 1),
    });
    let theirs = Arc::clone(&signal);
    let waking = start(move || theirs.wake());
    if signal.is_free(without) {
        signal.wakes.begin();
        signal.stamp.with_mut(|_| ());
        assert_eq!(signal.wakes.take_first(), 1);
        assert_eq!(signal.wakes.take(), 0, "a wake that was not for this root");
    }
    end(waking);
}

mod hold {
    use super::*;

    #[test]
    fn two_wakes_meet_a_poll() {
        explore(None, super::two_wakes_meet_a_poll);
    }

    #[test]
    fn a_wake_of_the_root_before_meets_the_next() {
        explore(None, || {
            super::a_wake_of_the_root_before_meets_the_next(Without::Nothing);
        });
    }
}

/// Each model notices what is made wrong.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "a root waits for ever")]
    fn wakes_of_a_root_that_order_nothing() {
        explore(Some(Seed::Relaxed(Op::Add)), super::two_wakes_meet_a_poll);
    }

    #[test]
    #[should_panic(expected = "a root waits for ever")]
    fn wakes_that_overwrite_what_a_poll_has_taken() {
        explore(Some(Seed::Torn(Op::Add)), super::two_wakes_meet_a_poll);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_signal_that_is_used_again_whoever_has_it() {
        explore(None, || {
            a_wake_of_the_root_before_meets_the_next(Without::Counting);
        });
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_signal_that_is_counted_without_a_fence() {
        explore(Some(Seed::NoFence), || {
            a_wake_of_the_root_before_meets_the_next(Without::Nothing);
        });
    }
}
