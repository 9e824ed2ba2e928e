//! What every leaf future owes the worker that polls it: it asks the budget before it makes
//! progress, and it says what it waits for when it does not. And what the reactor owes whoever it
//! wakes: it says [what for](waking).
//!
//! All are cells of the polling thread. The executor opens them with [`begin_poll`], runs the
//! task's poll, and reads them with [`end_poll`]; outside of a poll the budget is unlimited and
//! the reason is thrown away. Nothing here knows who the executor is.
//!
//! The budget exists because a future that is always ready (a full socket, a timer of zero)
//! never returns to the scheduler by itself: after [`BUDGET`] operations in one poll a leaf
//! answers `Pending`, having woken its task, so that others have their turn.

use std::cell::Cell;
use std::task::{Context, Poll};

/// How many operations of leaf futures one poll of a task may complete.
pub const BUDGET: u8 = 128;

/// What a task waits for, as the leaf that returned `Pending` last knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Waiting {
    /// A future that is not ours: a channel, a lock, a hand-written future.
    #[default]
    Other = 0,
    /// A socket or a signal.
    Io = 1,
    /// A sleep, a timeout, an interval.
    Timer = 2,
    /// A function on the blocking pool.
    Blocking = 3,
    /// The output of another task.
    Join = 4,
}

/// What the leaves of one poll left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What the task waits for, if it is pending.
    pub waiting: Waiting,
    /// Whether a leaf was refused because the budget was used up.
    pub exhausted: bool,
}

/// One cell for each word, not one for all: a read that is wider than the write before it waits
/// until that has left the processor's store buffer.
struct Cells {
    /// `None`: unlimited.
    budget: Cell<Option<u8>>,
    waiting: Cell<Waiting>,
    exhausted: Cell<bool>,
    waking: Cell<Option<Waiting>>,
}

thread_local! {
    static CELLS: Cells = const {
        Cells {
            budget: Cell::new(None),
            waiting: Cell::new(Waiting::Other),
            exhausted: Cell::new(false),
            waking: Cell::new(None),
        }
    };
}

/// What was in the cells before [`begin_poll`]: polls nest when a task blocks in place or drives
/// a set of local tasks.
#[must_use = "the outer poll's budget is lost unless it is given back to `end_poll`"]
pub struct Outer {
    budget: Option<u8>,
    left: Left,
    waking: Option<Waiting>,
}

/// Opens the cells for one poll of a task.
#[inline]
pub fn begin_poll() -> Outer {
    CELLS.with(|cells| Outer {
        budget: cells.budget.replace(Some(BUDGET)),
        left: Left {
            waiting: cells.waiting.replace(Waiting::Other),
            exhausted: cells.exhausted.replace(false),
        },
        waking: cells.waking.replace(None),
    })
}

/// Reads what the leaves of the poll left, and restores the cells of the outer poll, if any.
#[inline]
pub fn end_poll(outer: Outer) -> Left {
    CELLS.with(|cells| {
        cells.budget.set(outer.budget);
        cells.waking.set(outer.waking);
        Left {
            waiting: cells.waiting.replace(outer.left.waiting),
            exhausted: cells.exhausted.replace(outer.left.exhausted),
        }
    })
}

/// Runs `f` with an unlimited budget: `unconstrained` futures, blocking in place.
pub fn without_budget<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(Option<u8>);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_budget(self.0);
        }
    }
    let _restore = Restore(set_budget(None));
    f()
}

#[inline]
fn set_budget(budget: Option<u8>) -> Option<u8> {
    CELLS.with(|cells| cells.budget.replace(budget))
}

/// Whether the current poll may complete another operation.
#[inline]
pub fn has_budget_remaining() -> bool {
    CELLS.with(|cells| cells.budget.get()) != Some(0)
}

/// Says what the leaf that is about to return `Pending` waits for.
#[inline]
pub fn waiting_for(what: Waiting) {
    CELLS.with(|cells| cells.waiting.set(what));
}

fn waits_for() -> Waiting {
    CELLS.with(|cells| cells.waiting.get())
}

/// Runs a poll within the poll in progress, and tells what it waits for. The cells stay those of
/// the poll in progress: the budget is spent by both, and an inner reason is the outer one, too.
#[inline]
pub fn within_poll<R>(poll: impl FnOnce() -> R) -> (R, Waiting) {
    let before = waits_for();
    waiting_for(Waiting::Other);
    let polled = poll();
    let inner = waits_for();
    if inner == Waiting::Other {
        waiting_for(before);
    }
    (polled, inner)
}

/// Calls wakers for something that they waited for.
pub(crate) fn waking_as<R>(what: Waiting, wake: impl FnOnce() -> R) -> R {
    struct Restore(Option<Waiting>);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_waking(self.0);
        }
    }
    let _restore = Restore(set_waking(Some(what)));
    wake()
}

fn set_waking(waking: Option<Waiting>) -> Option<Waiting> {
    CELLS.with(|cells| cells.waking.replace(waking))
}

/// What the reactor is calling wakers for on this thread, if it is.
#[inline]
pub fn waking() -> Option<Waiting> {
    CELLS.with(|cells| cells.waking.get())
}

/// One unit of budget, taken by [`poll_proceed`]. It goes back to the budget when this is
/// dropped, unless the leaf said that it [made progress](Proceed::made_progress).
#[must_use = "dropped at once, it gives the unit of budget back"]
#[derive(Debug)]
pub struct Proceed {
    restore: Option<u8>,
}

impl Proceed {
    /// The operation completed: its unit of budget is spent.
    #[inline]
    pub fn made_progress(mut self) {
        self.restore = None;
    }
}

impl Drop for Proceed {
    #[inline]
    fn drop(&mut self) {
        if self.restore.is_some() {
            set_budget(self.restore);
        }
    }
}

/// Asks for one unit of budget.
///
/// `Pending` means that the budget of this poll is used up: the task has been woken, and the leaf
/// returns `Pending` in its turn without having looked at its resource.
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<Proceed> {
    let before = CELLS.with(|cells| cells.budget.get());
    match before {
        None => {}
        Some(0) => return refuse(cx),
        Some(units) => {
            set_budget(Some(units - 1));
        }
    }
    Poll::Ready(Proceed { restore: before })
}

#[cold]
fn refuse(cx: &mut Context<'_>) -> Poll<Proceed> {
    CELLS.with(|cells| cells.exhausted.set(true));
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn proceed() -> Poll<Proceed> {
        poll_proceed(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn outside_of_a_poll_the_budget_is_unlimited() {
        for _ in 0..1000 {
            let Poll::Ready(unit) = proceed() else {
                panic!("refused")
            };
            unit.made_progress();
        }
    }

    #[test]
    fn a_poll_completes_as_many_operations_as_the_budget_allows() {
        let outer = begin_poll();
        for _ in 0..BUDGET {
            let Poll::Ready(unit) = proceed() else {
                panic!("refused early")
            };
            unit.made_progress();
        }
        assert!(proceed().is_pending());
        assert!(!has_budget_remaining());
        assert!(end_poll(outer).exhausted);
        assert!(has_budget_remaining());
    }

    #[test]
    fn a_leaf_that_made_no_progress_gives_its_unit_back() {
        let outer = begin_poll();
        for _ in 0..1000 {
            assert!(proceed().is_ready());
        }
        assert!(!end_poll(outer).exhausted);
    }

    #[test]
    fn the_last_reason_is_the_one_that_counts_and_an_inner_poll_does_not_disturb_it() {
        let outer = begin_poll();
        waiting_for(Waiting::Io);
        waiting_for(Waiting::Timer);
        let inner = begin_poll();
        waiting_for(Waiting::Join);
        assert_eq!(end_poll(inner).waiting, Waiting::Join);
        assert_eq!(end_poll(outer).waiting, Waiting::Timer);
    }

    #[test]
    fn a_poll_within_the_poll_says_its_reason_and_spends_the_same_budget() {
        let outer = begin_poll();
        waiting_for(Waiting::Io);
        assert_eq!(within_poll(|| 1), (1, Waiting::Other));
        assert_eq!(waits_for(), Waiting::Io);
        let within = within_poll(|| {
            waiting_for(Waiting::Timer);
            let Poll::Ready(unit) = proceed() else {
                panic!("refused")
            };
            unit.made_progress();
        });
        assert_eq!(within.1, Waiting::Timer);
        assert_eq!(CELLS.with(|cells| cells.budget.get()), Some(BUDGET - 1));
        assert_eq!(end_poll(outer).waiting, Waiting::Timer);
    }

    #[test]
    fn what_wakers_are_called_for_is_known_only_meanwhile() {
        assert_eq!(waking(), None);
        let seen = waking_as(Waiting::Io, || {
            let inner = begin_poll();
            let in_poll = waking();
            let _ = end_poll(inner);
            (waking(), in_poll, waking_as(Waiting::Timer, waking))
        });
        assert_eq!(seen, (Some(Waiting::Io), None, Some(Waiting::Timer)));
        assert_eq!(waking(), None);
    }

    #[test]
    fn without_budget_ends_with_the_closure_even_if_it_panics() {
        let outer = begin_poll();
        let caught = std::panic::catch_unwind(|| without_budget(|| panic!("inside")));
        assert!(caught.is_err());
        for _ in 0..BUDGET {
            let Poll::Ready(unit) = proceed() else {
                panic!("refused early")
            };
            unit.made_progress();
        }
        assert!(proceed().is_pending());
        let _ = end_poll(outer);
    }
}
