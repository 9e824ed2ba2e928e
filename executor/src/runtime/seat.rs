//! What a thread in a `block_on` is known by: the signal that its wakers set, kept from one `block_on`
//! to the next, so that most of them allocate nothing and enter themselves in no list.
//!
//! 1. A seat is taken out of the thread-local for as long as a `block_on` lasts, and put back when
//!    that has returned. One that is nested within finds none and makes its own; one that panics
//!    takes its seat along.
//! 2. A seat is used again only in the same runtime and the same role, and only if nobody but the seat
//!    has its signal any more: whoever kept a waker of the `block_on` before sets a signal that nobody
//!    waits for. Nobody can get hold of it meanwhile, for the waker is the seat's own.
//! 3. It keeps nothing of the runtime alive but the memory of what it has a [`Weak`] of.

use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;
use std::thread;

use super::root::{RootSignal, Sleeper};
use crate::scheduler::Shared;
use crate::sync::{Ordering, fence};

thread_local! {
    static KEPT: Cell<Option<Box<Seat>>> = const { Cell::new(None) };
}

/// As what a thread is in a `block_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It polls its own future.
    Onlooker,
    /// It is the worker of a current-thread runtime, too, unless another one is.
    Worker,
}

/// See the module.
pub(super) struct Seat {
    runtime: u64,
    role: Role,
    signal: Arc<RootSignal>,
    waker: Waker,
    /// Where the pen was found last.
    pen: Cell<usize>,
}

/// So many references to its signal a seat has itself: one in its waker.
const OWN: usize = 2;

/// Runs `f` with a seat of this thread.
pub(super) fn with<R>(shared: &Arc<Shared>, role: Role, f: impl FnOnce(&Seat) -> R) -> R {
    let seat = Seat::take(shared, role);
    let output = f(&seat);
    seat.keep();
    output
}

impl Seat {
    fn take(shared: &Arc<Shared>, role: Role) -> Box<Seat> {
        // Gone when the thread is ending: it has to do without.
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        match kept.filter(|seat| seat.is_for(shared, role)) {
            Some(seat) => seat,
            None => Box::new(Seat::new(shared, role)),
        }
    }

    /// Whether it is one for this thread in that role, and free.
    fn is_for(&self, shared: &Shared, role: Role) -> bool {
        let same = self.runtime == shared.number() && self.role == role;
        let is_free = same && Arc::strong_count(&self.signal) == OWN;
        if is_free {
            // Acquire: pairs with the Release by which others have dropped theirs: their last wake is
            // over, and is none of what comes.
            fence(Ordering::Acquire);
        }
        is_free
    }

    #[cold]
    fn new(shared: &Arc<Shared>, role: Role) -> Seat {
        let signal = Arc::new(RootSignal::new(match role {
            Role::Onlooker => Sleeper::Thread(thread::current()),
            Role::Worker => Sleeper::Worker(Arc::downgrade(shared)),
        }));
        signal.list(shared);
        Seat {
            runtime: shared.number(),
            role,
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            pen: Cell::new(0),
        }
    }

    fn keep(self: Box<Seat>) {
        self.signal.end();
        let _ = KEPT.try_with(|kept| kept.set(Some(self)));
    }

    pub(super) fn signal(&self) -> &RootSignal {
        &self.signal
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn pen(&self) -> &Cell<usize> {
        &self.pen
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Whoever has a waker keeps the signal.
        self.signal.end();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Poll;

    use telemetry_rt_telemetry::record::Recorder;

    use crate::runtime::{Config, Runtime, RuntimeFlavor};

    fn runtime(flavor: RuntimeFlavor) -> Runtime {
        let recorder = Recorder::new(telemetry_rt_telemetry::record::Config::default());
        Runtime::new(Config::new(flavor, 1), recorder).unwrap()
    }

    fn on_each(test: impl Fn(Runtime)) {
        for flavor in [RuntimeFlavor::CurrentThread, RuntimeFlavor::MultiThread] {
            test(runtime(flavor));
        }
    }

    fn waker_of(runtime: &Runtime) -> Waker {
        runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())))
    }

    /// Which signal the root of a `block_on` has.
    fn signal_of(runtime: &Runtime) -> usize {
        waker_of(runtime).data().addr()
    }

    #[test]
    fn a_thread_that_blocks_again_has_the_signal_that_it_had_before() {
        on_each(|runtime| {
            let before = signal_of(&runtime);
            assert_eq!(signal_of(&runtime), before);
        });
    }

    #[test]
    fn a_waker_that_is_kept_wakes_nobody_who_blocks_later() {
        on_each(|runtime| {
            let kept = waker_of(&runtime);
            let mut polls = 0;
            runtime.block_on(poll_fn(|cx| {
                assert!(!cx.waker().will_wake(&kept));
                polls += 1;
                kept.wake_by_ref();
                if polls == 1 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            }));
            assert_eq!(polls, 2);
        });
    }

    #[test]
    fn wakes_that_nobody_has_answered_are_none_of_the_next_root() {
        on_each(|runtime| {
            // It wakes itself, and ends in the same poll.
            runtime.block_on(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Ready(())
            }));
            let mut polls = 0;
            let waker = std::cell::RefCell::new(None);
            runtime.block_on(poll_fn(|cx| {
                polls += 1;
                if polls == 1 {
                    waker.replace(Some(cx.waker().clone()));
                    let waker = cx.waker().clone();
                    thread::spawn(move || waker.wake());
                    return Poll::Pending;
                }
                Poll::Ready(())
            }));
            assert_eq!(polls, 2);
        });
    }

    #[test]
    fn a_seat_is_not_kept_from_one_runtime_or_role_to_another() {
        let (first, second) = (
            runtime(RuntimeFlavor::CurrentThread),
            runtime(RuntimeFlavor::CurrentThread),
        );
        let kept = |role, runtime: &Runtime| {
            let seat = KEPT.take().unwrap();
            let is_for = seat.is_for(runtime.handle().shared(), role);
            KEPT.set(Some(seat));
            is_for
        };
        first.block_on(async {});
        assert!(kept(Role::Worker, &first));
        assert!(!kept(Role::Onlooker, &first));
        assert!(!kept(Role::Worker, &second));
        first.handle().block_on(async {});
        assert!(kept(Role::Onlooker, &first));
    }

    #[test]
    fn a_seat_keeps_no_runtime_alive() {
        on_each(|runtime| {
            runtime.block_on(async {});
            let shared = Arc::downgrade(runtime.handle().shared());
            drop(runtime);
            assert!(shared.upgrade().is_none());
        });
    }

    #[test]
    fn a_waker_that_outlives_its_runtime_does_nothing() {
        on_each(|runtime| {
            let kept = waker_of(&runtime);
            drop(runtime);
            kept.wake_by_ref();
            kept.wake();
        });
    }

    #[test]
    fn a_root_that_panics_takes_its_seat_along() {
        on_each(|runtime| {
            let before = waker_of(&runtime);
            let panics = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async { panic!("on purpose") });
            }));
            assert!(panics.is_err());
            assert!(KEPT.take().is_none());
            assert!(!waker_of(&runtime).will_wake(&before));
        });
    }

    #[test]
    fn a_thread_that_is_ending_blocks_all_the_same() {
        struct BlocksWhileEnding(Arc<Runtime>);
        impl Drop for BlocksWhileEnding {
            fn drop(&mut self) {
                assert_eq!(self.0.block_on(async { 3 }), 3);
            }
        }
        thread_local!(static LAST: Cell<Option<BlocksWhileEnding>> = const { Cell::new(None) });
        on_each(|runtime| {
            let runtime = Arc::new(runtime);
            let its = Arc::clone(&runtime);
            let ended = thread::spawn(move || {
                // First used before the seat is: gone after it.
                LAST.set(Some(BlocksWhileEnding(Arc::clone(&its))));
                its.block_on(async {});
            });
            assert!(ended.join().is_ok());
        });
    }
}
