//! The state word of a task: one 64-bit number, changed by the transitions of this file only.
//!
//! ```text
//!  63            32 31      28 27        26          25             24        23           0
//! +----------------+----------+-----------+-----------+---------------+----------+-----------+
//! |   references   |  unused  | CANCELLED | JOIN_WAKER| JOIN_INTEREST | COMPLETE |   wakes   |
//! +----------------+----------+-----------+-----------+---------------+----------+-----------+
//! ```
//!
//! # Wakes
//!
//! The low bits count the wakes that no poll has answered yet. They also say who may poll:
//!
//! * `0`: the task is idle. It is in no queue and nobody touches its future.
//! * `> 0`: somebody has the right to poll it. The right came into being with the step from 0 to
//!   1, and belongs to whoever took that step, then to the queue, then to the worker that took
//!   the task out of it.
//!
//! A wake is one addition. A poll notes the count when it starts and subtracts it when it ends;
//! if anything is left, the task was woken meanwhile and the poller keeps the right and queues
//! the task again. No wake can fall between the two, because each is one read-modify-write of the
//! same word.
//!
//! # References
//!
//! The memory lives as long as the count in the high bits is above zero. One reference is that of
//! the life of the task, from spawn to completion: it covers the queues and the registry, so that
//! queueing touches no count. The others belong to wakers, the join handle and abort handles.
//!
//! # Orderings
//!
//! Whatever gives something up (a wake its data, a poller the future, a completion the output, a
//! reference the memory) does so with Release, and whatever takes it with Acquire; as all changes
//! are read-modify-writes they form one release sequence, in which each Acquire sees all that was
//! released before. Taking a further reference is Relaxed: the caller has one already.

use crate::sync::{AtomicU64, Ordering};

const WAKE: u64 = 1;
const WAKES: u64 = (1 << 24) - 1;
const COMPLETE: u64 = 1 << 24;
const JOIN_INTEREST: u64 = 1 << 25;
const JOIN_WAKER: u64 = 1 << 26;
const CANCELLED: u64 = 1 << 27;
const REFERENCE: u64 = 1 << 32;

/// Wakes that are not counted any more: the task is awake, and far from the end of the bits.
const MANY_WAKES: u64 = if cfg!(loom) { 3 } else { WAKES / 2 };
/// A poll that starts with more wakes than this first takes them down to one.
const SOME_WAKES: u64 = if cfg!(loom) { 2 } else { WAKES / 4 };
/// More references than any program holds: beyond, one is leaking and the count would wrap.
const TOO_MANY_REFERENCES: u64 = 1 << 31;

/// See the module.
#[derive(Debug)]
pub(crate) struct State(AtomicU64);

/// What whoever woke a task has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The caller has got the right to poll: it must queue the task.
    Schedule,
    /// Somebody else has it, or there is nothing left to poll.
    Nothing,
}

/// What a poller found when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Polling {
    /// How many wakes this poll answers.
    pub(crate) wakes: u32,
    /// Whether the task is to be dropped instead of polled.
    pub(crate) cancelled: bool,
}

/// What a poller has to do when the task is pending.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing; it has lost the right to touch the task.
    Idle,
    /// It was woken during the poll: the poller must queue it again.
    Again,
}

/// What a poller finds when it has published that the task is complete.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// Whether anybody will read the output; if not the poller must drop it.
    pub(crate) join_interest: bool,
    /// Whether a waker is to be woken.
    pub(crate) join_waker: bool,
}

/// What the join handle that is being dropped must drop with it.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JoinDropped {
    /// The output, which nobody else will read.
    pub(crate) output: bool,
    /// The waker, which nobody else will wake.
    pub(crate) waker: bool,
}

/// The task was complete already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AlreadyComplete;

#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    #[inline]
    fn wakes(self) -> u64 {
        self.0 & WAKES
    }

    #[inline]
    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    fn references(self) -> u64 {
        self.0 / REFERENCE
    }

    /// Whether a wake of a task in this state need not be counted.
    #[inline]
    fn needs_no_wake(self) -> bool {
        self.has(COMPLETE) || self.wakes() >= MANY_WAKES
    }

    /// What the thread has to do whose wake was added to this word.
    #[inline]
    fn after_wake(self) -> Wake {
        // A wake that slipped through as the task completed stays counted: it means nothing any
        // more.
        match self.wakes() {
            0 if !self.has(COMPLETE) => Wake::Schedule,
            _ => Wake::Nothing,
        }
    }
}

impl State {
    /// A task that was just spawned: woken once, with a join handle.
    #[inline]
    pub(crate) fn new() -> State {
        const LIFE_AND_JOIN_HANDLE: u64 = 2 * REFERENCE;
        State(AtomicU64::new(LIFE_AND_JOIN_HANDLE | JOIN_INTEREST | WAKE))
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> Word {
        Word(self.0.load(ordering))
    }

    // ----- waking -----

    /// Wakes the task by a reference that stays with the caller.
    ///
    /// A wake is never taken back: between the two the count would say something that is not so,
    /// and a poller that trusts it would end with the wrong count. So a wake that must not be
    /// counted is recognised before it is added; the few that slip through are harmless, being no
    /// more than there are threads.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        // Relaxed: only decides which way to go.
        let seen = self.load(Ordering::Relaxed);
        if seen.needs_no_wake() {
            return self.wake_uncounted(seen);
        }
        let before = Word(self.0.fetch_add(WAKE, Ordering::AcqRel));
        before.after_wake()
    }

    /// A wake that changes nothing: the task is complete, or has been woken so often that one more
    /// is neither here nor there. It is a read-modify-write all the same, so that the poll that
    /// answers the counted ones sees what this waker did before.
    #[cold]
    fn wake_uncounted(&self, mut seen: Word) -> Wake {
        while seen.needs_no_wake() {
            let exchanged =
                self.0
                    .compare_exchange_weak(seen.0, seen.0, Ordering::AcqRel, Ordering::Relaxed);
            match exchanged {
                Ok(_) => return Wake::Nothing,
                Err(now) => seen = Word(now),
            }
        }
        self.wake()
    }

    /// Asks for the task to be dropped. The caller has to queue it if it was idle.
    pub(crate) fn cancel(&self) -> Wake {
        // Release: the wake that follows publishes it in any case; Acquire is not needed.
        self.0.fetch_or(CANCELLED, Ordering::Release);
        self.wake()
    }

    /// Whether the task was woken and no poll has answered yet. Out of date when it is read.
    #[inline]
    pub(crate) fn is_awake(&self) -> bool {
        // Relaxed: told to people only.
        self.load(Ordering::Relaxed).wakes() > 0
    }

    // ----- polling -----

    /// The caller, who has the right to poll, begins.
    #[inline]
    pub(crate) fn start_poll(&self) -> Polling {
        let mut seen = self.load(Ordering::Acquire);
        debug_assert!(seen.wakes() > 0, "a task is polled that nobody woke");
        let wakes = seen.wakes();
        if wakes > SOME_WAKES {
            seen = self.forget_all_wakes_but_one(wakes);
        }
        Polling {
            wakes: wakes as u32,
            cancelled: seen.has(CANCELLED),
        }
    }

    /// Makes room for wakes during the poll that is about to start.
    #[cold]
    fn forget_all_wakes_but_one(&self, wakes: u64) -> Word {
        Word(self.0.fetch_sub(wakes - 1, Ordering::AcqRel))
    }

    /// The poll that began with `polling` found the task pending.
    #[inline]
    pub(crate) fn end_poll(&self, polling: Polling) -> Pending {
        let mut answered = u64::from(polling.wakes);
        if answered > SOME_WAKES {
            answered = 1;
        }
        let before = Word(self.0.fetch_sub(answered, Ordering::AcqRel));
        if before.wakes() == answered {
            Pending::Idle
        } else {
            Pending::Again
        }
    }

    /// Publishes that the output is in its place.
    #[inline]
    pub(crate) fn complete(&self) -> Completed {
        let before = Word(self.0.fetch_or(COMPLETE, Ordering::AcqRel));
        debug_assert!(!before.has(COMPLETE));
        Completed {
            join_interest: before.has(JOIN_INTEREST),
            join_waker: before.has(JOIN_WAKER),
        }
    }

    /// The join waker has been woken by the completing thread. Returns whether the join handle is
    /// gone, so that this thread must drop the waker.
    #[inline]
    pub(crate) fn join_waker_woken(&self) -> bool {
        let before = Word(self.0.fetch_and(!JOIN_WAKER, Ordering::AcqRel));
        debug_assert!(before.has(COMPLETE) && before.has(JOIN_WAKER));
        !before.has(JOIN_INTEREST)
    }

    // ----- joining -----

    /// Whether the output is in its place. Acquire: if so, it is seen.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.load(Ordering::Acquire).has(COMPLETE)
    }

    /// Whether the join waker is in its place, as the join handle left it.
    #[inline]
    pub(crate) fn has_join_waker(&self) -> bool {
        // Acquire: pairs with `complete`; only the caller sets the flag.
        self.load(Ordering::Acquire).has(JOIN_WAKER)
    }

    /// The join handle has written its waker. Fails when the task is complete, then the waker
    /// still belongs to the join handle.
    #[inline]
    pub(crate) fn publish_join_waker(&self) -> Result<(), AlreadyComplete> {
        self.change_unless_complete(|word| word | JOIN_WAKER)
    }

    /// The join handle takes its waker back to replace it. Fails when the task is complete, then
    /// the completing thread may be waking it.
    #[inline]
    pub(crate) fn take_back_join_waker(&self) -> Result<(), AlreadyComplete> {
        self.change_unless_complete(|word| word & !JOIN_WAKER)
    }

    #[inline]
    fn change_unless_complete(&self, change: impl Fn(u64) -> u64) -> Result<(), AlreadyComplete> {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (word & COMPLETE == 0).then(|| change(word))
            })
            .map(drop)
            .map_err(|_| AlreadyComplete)
    }

    /// The join handle is being dropped. Its reference is still to be released.
    #[inline]
    pub(crate) fn drop_join_handle(&self) -> JoinDropped {
        let change = |word: u64| {
            let without_interest = word & !JOIN_INTEREST;
            // While the task runs the waker is the join handle's to take back; once it is
            // complete the completing thread may be waking it.
            match word & COMPLETE {
                0 => without_interest & !JOIN_WAKER,
                _ => without_interest,
            }
        };
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                Some(change(word))
            })
            .unwrap_or_else(|word| word);
        JoinDropped {
            output: before & COMPLETE != 0,
            waker: change(before) & JOIN_WAKER == 0,
        }
    }

    // ----- memory -----

    /// Takes one more reference.
    #[inline]
    pub(crate) fn retain(&self) {
        let before = Word(self.0.fetch_add(REFERENCE, Ordering::Relaxed));
        if before.references() > TOO_MANY_REFERENCES {
            // As `Arc` does: going on would wrap the count and free memory in use.
            std::process::abort();
        }
    }

    /// Gives a reference up; `true` if it was the last and the caller must free.
    #[inline]
    pub(crate) fn release(&self) -> bool {
        Word(self.0.fetch_sub(REFERENCE, Ordering::AcqRel)).references() == 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn idle() -> State {
        let state = State::new();
        let polling = state.start_poll();
        assert_eq!(state.end_poll(polling), Pending::Idle);
        state
    }

    #[test]
    fn only_the_first_of_several_wakes_schedules() {
        let state = idle();
        assert_eq!(state.wake(), Wake::Schedule);
        assert_eq!(state.wake(), Wake::Nothing);
        assert_eq!(state.start_poll().wakes, 2);
    }

    #[test]
    fn a_wake_during_the_poll_makes_another_poll() {
        let state = State::new();
        let polling = state.start_poll();
        assert_eq!(state.wake(), Wake::Nothing);
        assert_eq!(state.end_poll(polling), Pending::Again);
        let polling = state.start_poll();
        assert_eq!(polling.wakes, 1);
        assert_eq!(state.end_poll(polling), Pending::Idle);
    }

    #[test]
    fn a_cancelled_idle_task_is_scheduled_to_be_dropped() {
        let state = idle();
        assert_eq!(state.cancel(), Wake::Schedule);
        assert!(state.start_poll().cancelled);
    }

    #[test]
    fn a_complete_task_is_not_woken() {
        let state = State::new();
        state.retain();
        assert!(state.complete().join_interest);
        assert_eq!(state.wake(), Wake::Nothing);
        assert!(!state.release());
        assert!(!state.release());
        assert_eq!(state.wake(), Wake::Nothing);
        assert!(state.release());
    }

    #[test]
    fn two_threads_that_wake_without_end_never_give_the_right_to_poll_twice() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
        let state = Arc::new(idle());
        let pollers = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let run = |state: &State, pollers: &AtomicUsize| {
            assert_eq!(pollers.fetch_add(1, SeqCst), 0, "polled by two threads");
            loop {
                let polling = state.start_poll();
                // Long enough for the others to fill the count, now and then.
                for _ in 0..200_000 {
                    std::hint::spin_loop();
                }
                pollers.store(0, SeqCst);
                match state.end_poll(polling) {
                    Pending::Idle => return,
                    Pending::Again => pollers.store(1, SeqCst),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        if state.wake() == Wake::Schedule {
                            run(&state, &pollers);
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
            stop.store(true, SeqCst);
        });
    }

    // With chaos this takes minutes, and there is one thread only.
    #[cfg(not(chaos))]
    #[test]
    fn millions_of_wakes_neither_overflow_nor_lose_one() {
        let state = idle();
        assert_eq!(state.wake(), Wake::Schedule);
        for _ in 0..2 * MANY_WAKES {
            assert_eq!(state.wake(), Wake::Nothing);
        }
        let polling = state.start_poll();
        assert!(u64::from(polling.wakes) >= MANY_WAKES);
        for _ in 0..2 * MANY_WAKES {
            assert_eq!(state.wake(), Wake::Nothing);
        }
        assert_eq!(state.end_poll(polling), Pending::Again);
        let polling = state.start_poll();
        assert_eq!(state.end_poll(polling), Pending::Idle);
    }

    #[test]
    fn a_join_waker_can_be_placed_until_the_task_is_complete() {
        let state = State::new();
        assert_eq!(state.publish_join_waker(), Ok(()));
        assert_eq!(state.take_back_join_waker(), Ok(()));
        assert_eq!(state.publish_join_waker(), Ok(()));
        assert!(state.complete().join_waker);
        assert_eq!(state.take_back_join_waker(), Err(AlreadyComplete));
        assert!(!state.join_waker_woken());
    }

    #[test]
    fn a_join_handle_that_goes_early_leaves_output_and_waker_to_the_task() {
        let state = State::new();
        assert_eq!(state.publish_join_waker(), Ok(()));
        let dropped = state.drop_join_handle();
        assert!(!dropped.output && dropped.waker);
        let completed = state.complete();
        assert!(!completed.join_interest && !completed.join_waker);
    }

    #[test]
    fn a_join_handle_that_goes_while_its_waker_is_woken_leaves_the_waker() {
        let state = State::new();
        assert_eq!(state.publish_join_waker(), Ok(()));
        assert!(state.complete().join_waker);
        let dropped = state.drop_join_handle();
        assert!(dropped.output && !dropped.waker);
        assert!(state.join_waker_woken());
    }
}
