//! What may be done to one task at the same time, in all pairs and in threes, under every order of
//! events: two or three threads meet at a task, each of which does one thing.
//!
//! Not in here are pairs that cannot meet: two polls (the right to poll is one value), two of the things
//! that are done with the join handle (there is one), two shutdowns. In all meetings the same is asked
//! for: what was woken, aborted or shut down comes to its end, its joiner is told once, and all parts of
//! it are dropped once.
//!
//! Each line of the table at the end names what is sown to show that its model notices, and how it
//! tells. Left out is what a shutdown of a task that sleeps does beside a join: there the shutdown is the
//! last poll, which has lines of its own.

use self::Deed::*;
use self::Start::*;
use super::*;
use crate::sync::model::Op;
use crate::sync::model::Seed::Torn;
use crate::sync::model::explore_coarsely;

/// How the task is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Nobody has woken it.
    Asleep,
    /// It is in the queue, and is pending when it is polled, unless it is woken in time.
    Awake,
    /// It is in the queue, and its next poll is the last.
    Ending,
    /// It has ended.
    Ended,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Poll,
    /// Sets what the task waits for, and wakes it by a waker of its own.
    Wake,
    Abort,
    /// Polls the handle for the first time.
    Join,
    /// Polls the handle with another waker than before.
    Rejoin,
    /// Drops the handle, which has waited.
    Detach,
    /// Drops a waker.
    Forget,
    Shutdown,
}

/// Lets two or three deeds meet. The last is done by the thread that has made the task.
fn meet(start: Start, deeds: &[Deed]) {
    let mut task = Met::new(start, deeds);
    let (last, others) = deeds.split_last().expect("somebody does something");
    let acts: Vec<_> = others.iter().map(|&deed| task.act(deed)).collect();
    let act = task.act(*last);
    let threads: Vec<_> = acts.into_iter().map(thread::spawn).collect();
    let mut joined = act();
    for thread in threads {
        let theirs = thread.join().expect("a thread that panics ends the model");
        joined = joined.or(theirs);
    }
    task.settle(joined);
}

/// A handle that was pending, and its waker.
type Joined = Option<(JoinHandle<Output>, Arc<Told>)>;

type Act = Box<dyn FnOnce() -> Joined>;

/// The task that is met.
struct Met {
    world: Arc<World>,
    handle: Option<JoinHandle<Output>>,
    /// Of a handle that has waited.
    before: Option<Arc<Told>>,
    wakes: usize,
    /// There is a waker left, because nothing that is done brings the task to its end.
    left_over: bool,
}

impl Met {
    fn new(start: Start, deeds: &[Deed]) -> Met {
        let number = |asked| deeds.iter().filter(|&&deed| deed == asked).count();
        let ends = matches!(start, Ending | Ended)
            || deeds
                .iter()
                .any(|deed| matches!(deed, Wake | Abort | Shutdown));
        let (wakes, left_over) = (number(Wake), !ends);
        let flags = if start == Ended { 1 } else { wakes.max(1) };
        let starts = usize::from(start != Asleep);
        let wakers = wakes + number(Forget) + usize::from(left_over) + starts;
        let (world, mut handle) = idle_task(flags, wakers);
        let before = Arc::<Told>::default();
        let waits = number(Rejoin) + number(Detach) > 0 && start != Ended;
        if waits {
            assert!(before.poll(&mut handle).is_pending());
        }
        if matches!(start, Ending | Ended) {
            (0..flags).for_each(|flag| world.set(flag));
        }
        if start != Asleep {
            world.waker().wake();
        }
        if start == Ended {
            world.run();
        }
        Met {
            world,
            handle: Some(handle),
            before: waits.then_some(before),
            wakes: 0,
            left_over,
        }
    }

    /// What a thread will do. What it needs is made before the threads start.
    fn act(&mut self, deed: Deed) -> Act {
        let world = Arc::clone(&self.world);
        match deed {
            Poll => act(move || world.run()),
            Wake => {
                let (flag, waker) = (self.wakes, world.waker());
                self.wakes += 1;
                act(move || {
                    world.set(flag);
                    waker.wake();
                })
            }
            Abort => {
                let handle = self.handle.as_ref().expect("who aborts comes first");
                let abort = handle.abort_handle();
                act(move || abort.abort())
            }
            Join | Rejoin => {
                let mut handle = self.handle.take().expect("there is one handle");
                Box::new(move || {
                    let told = Arc::<Told>::default();
                    let pending = told.poll(&mut handle).is_pending();
                    pending.then_some((handle, told))
                })
            }
            Detach => {
                let handle = self.handle.take();
                act(move || drop(handle))
            }
            Forget => {
                let waker = world.waker();
                act(move || drop(waker))
            }
            Shutdown => act(move || world.close()),
        }
    }

    fn settle(self, joined: Joined) {
        drop(self.handle);
        self.world.run();
        if self.left_over {
            self.world.set(0);
            self.world.waker().wake();
            self.world.run();
        }
        assert!(self.world.is_over(), "the task is not complete");
        if let Some((handle, told)) = joined {
            let _ = ended(handle);
            assert_eq!(told.wakes(), 1, "wakes of the join waker");
        }
        if let Some(before) = self.before {
            before.wakes();
        }
        assert_all_gone(&self.world);
    }
}

fn act(f: impl FnOnce() + 'static) -> Act {
    Box::new(move || {
        f();
        None
    })
}

/// Each line becomes a model that holds, and one that notices what is sown.
macro_rules! meetings {
    ($($name:ident: $start:ident, [$($deed:ident),+], $seed:expr => $expected:literal;)+) => {
        mod hold {
            use super::*;
            $(
                #[test]
                fn $name() {
                    explore_coarsely(None, || meet($start, &[$($deed),+]));
                }
            )+
        }

        /// Each model notices what is sown.
        mod notice {
            use super::*;
            $(
                #[test]
                #[should_panic(expected = $expected)]
                fn $name() {
                    explore_coarsely(Some($seed), || meet($start, &[$($deed),+]));
                }
            )+
        }
    };
}

meetings! {
    a_wake_meets_a_poll:
        Awake, [Poll, Wake], Torn(Op::Add) => "the task is not complete";
    an_abort_meets_a_poll:
        Awake, [Poll, Abort], Torn(Op::Or) => "drops of the cell";
    a_join_meets_a_poll:
        Awake, [Poll, Join], Torn(Op::Update) => "the task is not complete";
    a_change_of_waker_meets_a_poll:
        Awake, [Poll, Rejoin], Torn(Op::Update) => "the task is not complete";
    a_detach_meets_a_poll:
        Awake, [Poll, Detach], Torn(Op::Update) => "the task is not complete";
    a_waker_that_is_dropped_meets_a_poll:
        Awake, [Poll, Forget], Torn(Op::Sub) => "drops of the cell";
    a_shutdown_meets_a_poll:
        Awake, [Poll, Shutdown], Torn(Op::Or) => "the task is not complete";
    two_wakes_meet_a_poll:
        Awake, [Poll, Wake, Wake], Torn(Op::Add) => "the task is not complete";
    a_wake_and_an_abort_meet_a_poll:
        Awake, [Poll, Wake, Abort], Torn(Op::Or) => "drops of the cell";
    a_wake_and_a_join_meet_a_poll:
        Awake, [Poll, Wake, Join], Torn(Op::Update) => "the task is not complete";
    a_wake_and_a_change_of_waker_meet_a_poll:
        Awake, [Poll, Wake, Rejoin], Torn(Op::Update) => "the task is not complete";
    a_wake_and_a_detach_meet_a_poll:
        Awake, [Poll, Wake, Detach], Torn(Op::Update) => "the task is not complete";
    a_wake_and_a_waker_that_is_dropped_meet_a_poll:
        Awake, [Poll, Wake, Forget], Torn(Op::Add) => "the task is not complete";
    a_wake_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Wake, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_aborts_meet_a_poll:
        Awake, [Poll, Abort, Abort], Torn(Op::Or) => "drops of the cell";
    an_abort_and_a_join_meet_a_poll:
        Awake, [Poll, Abort, Join], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_change_of_waker_meet_a_poll:
        Awake, [Poll, Abort, Rejoin], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_detach_meet_a_poll:
        Awake, [Poll, Abort, Detach], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_waker_that_is_dropped_meet_a_poll:
        Awake, [Poll, Abort, Forget], Torn(Op::Or) => "the task is not complete";
    an_abort_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Abort, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_join_and_a_waker_that_is_dropped_meet_a_poll:
        Awake, [Poll, Join, Forget], Torn(Op::Update) => "the task is not complete";
    a_join_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Join, Shutdown], Torn(Op::Update) => "the task has not ended";
    a_change_of_waker_and_a_waker_that_is_dropped_meet_a_poll:
        Awake, [Poll, Rejoin, Forget], Torn(Op::Update) => "the task is not complete";
    a_change_of_waker_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Rejoin, Shutdown], Torn(Op::Update) => "the task has not ended";
    a_detach_and_a_waker_that_is_dropped_meet_a_poll:
        Awake, [Poll, Detach, Forget], Torn(Op::Update) => "the task is not complete";
    a_detach_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Detach, Shutdown], Torn(Op::Update) => "drops of the cell";
    two_wakers_that_are_dropped_meet_a_poll:
        Awake, [Poll, Forget, Forget], Torn(Op::Sub) => "the task is not complete";
    a_waker_that_is_dropped_and_a_shutdown_meet_a_poll:
        Awake, [Poll, Forget, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_wake_meets_the_last_poll:
        Ending, [Poll, Wake], Torn(Op::Add) => "drops of the output";
    an_abort_meets_the_last_poll:
        Ending, [Poll, Abort], Torn(Op::Or) => "drops of the cell";
    a_join_meets_the_last_poll:
        Ending, [Poll, Join], Torn(Op::Update) => "the task has not ended";
    a_change_of_waker_meets_the_last_poll:
        Ending, [Poll, Rejoin], Torn(Op::Update) => "the task has not ended";
    a_detach_meets_the_last_poll:
        Ending, [Poll, Detach], Torn(Op::Update) => "drops of the output";
    a_waker_that_is_dropped_meets_the_last_poll:
        Ending, [Poll, Forget], Torn(Op::Sub) => "drops of the output";
    two_wakes_meet_the_last_poll:
        Ending, [Poll, Wake, Wake], Torn(Op::Add) => "drops of the output";
    a_wake_and_an_abort_meet_the_last_poll:
        Ending, [Poll, Wake, Abort], Torn(Op::Or) => "drops of the cell";
    a_wake_and_a_join_meet_the_last_poll:
        Ending, [Poll, Wake, Join], Torn(Op::Update) => "the task has not ended";
    a_wake_and_a_change_of_waker_meet_the_last_poll:
        Ending, [Poll, Wake, Rejoin], Torn(Op::Update) => "the task has not ended";
    a_wake_and_a_detach_meet_the_last_poll:
        Ending, [Poll, Wake, Detach], Torn(Op::Update) => "drops of the output";
    a_wake_and_a_waker_that_is_dropped_meet_the_last_poll:
        Ending, [Poll, Wake, Forget], Torn(Op::Add) => "drops of the output";
    a_wake_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Wake, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_aborts_meet_the_last_poll:
        Ending, [Poll, Abort, Abort], Torn(Op::Or) => "drops of the cell";
    an_abort_and_a_join_meet_the_last_poll:
        Ending, [Poll, Abort, Join], Torn(Op::Update) => "the task has not ended";
    an_abort_and_a_change_of_waker_meet_the_last_poll:
        Ending, [Poll, Abort, Rejoin], Torn(Op::Update) => "the task has not ended";
    an_abort_and_a_detach_meet_the_last_poll:
        Ending, [Poll, Abort, Detach], Torn(Op::Update) => "drops of the output";
    an_abort_and_a_waker_that_is_dropped_meet_the_last_poll:
        Ending, [Poll, Abort, Forget], Torn(Op::Or) => "drops of the output";
    an_abort_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Abort, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_join_and_a_waker_that_is_dropped_meet_the_last_poll:
        Ending, [Poll, Join, Forget], Torn(Op::Update) => "drops of the cell";
    a_join_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Join, Shutdown], Torn(Op::Update) => "drops of the cell";
    a_change_of_waker_and_a_waker_that_is_dropped_meet_the_last_poll:
        Ending, [Poll, Rejoin, Forget], Torn(Op::Update) => "the task has not ended";
    a_change_of_waker_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Rejoin, Shutdown], Torn(Op::Update) => "the task has not ended";
    a_detach_and_a_waker_that_is_dropped_meet_the_last_poll:
        Ending, [Poll, Detach, Forget], Torn(Op::Update) => "drops of the output";
    a_detach_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Detach, Shutdown], Torn(Op::Update) => "drops of the cell";
    two_wakers_that_are_dropped_meet_the_last_poll:
        Ending, [Poll, Forget, Forget], Torn(Op::Sub) => "drops of the output";
    a_waker_that_is_dropped_and_a_shutdown_meet_the_last_poll:
        Ending, [Poll, Forget, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_wakes_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake], Torn(Op::Add) => "invalid key";
    a_wake_and_an_abort_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort], Torn(Op::Or) => "invalid key";
    a_wake_and_a_join_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Join], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_change_of_waker_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Rejoin], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_detach_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Detach], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Forget], Torn(Op::Add) => "drops of the cell";
    a_wake_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_aborts_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort], Torn(Op::Or) => "invalid key";
    an_abort_and_a_join_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Join], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_change_of_waker_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Rejoin], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_detach_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Detach], Torn(Op::Update) => "the task is not complete";
    an_abort_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Forget], Torn(Op::Or) => "drops of the cell";
    an_abort_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_join_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Join, Forget], Torn(Op::Update) => "drops of the cell";
    a_join_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Join, Shutdown], Torn(Op::Update) => "the task has not ended";
    a_change_of_waker_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Rejoin, Forget], Torn(Op::Update) => "drops of the cell";
    a_change_of_waker_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Rejoin, Shutdown], Torn(Op::Update) => "a join waker was kept";
    a_detach_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Detach, Forget], Torn(Op::Update) => "drops of the cell";
    a_detach_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Detach, Shutdown], Torn(Op::Update) => "a join waker was kept";
    two_wakers_that_are_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Forget, Forget], Torn(Op::Sub) => "drops of the cell";
    a_waker_that_is_dropped_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Forget, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_wakes_and_an_abort_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Abort], Torn(Op::Or) => "invalid key";
    two_wakes_and_a_join_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Join], Torn(Op::Update) => "invalid key";
    two_wakes_and_a_change_of_waker_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Rejoin], Torn(Op::Update) => "invalid key";
    two_wakes_and_a_detach_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Detach], Torn(Op::Update) => "invalid key";
    two_wakes_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Forget], Torn(Op::Add) => "drops of the cell";
    two_wakes_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Wake, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_wake_and_two_aborts_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Abort], Torn(Op::Or) => "drops of the cell";
    a_wake_and_an_abort_and_a_join_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Join], Torn(Op::Update) => "invalid key";
    a_wake_and_an_abort_and_a_change_of_waker_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Rejoin], Torn(Op::Update) => "invalid key";
    a_wake_and_an_abort_and_a_detach_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Detach], Torn(Op::Update) => "invalid key";
    a_wake_and_an_abort_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Forget], Torn(Op::Or) => "invalid key";
    a_wake_and_an_abort_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Abort, Shutdown], Torn(Op::Or) => "drops of the cell";
    a_wake_and_a_detach_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Detach, Shutdown], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_waker_that_is_dropped_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Wake, Forget, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_aborts_and_an_abort_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Abort], Torn(Op::Or) => "drops of the cell";
    two_aborts_and_a_join_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Join], Torn(Op::Update) => "invalid key";
    two_aborts_and_a_change_of_waker_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Rejoin], Torn(Op::Update) => "invalid key";
    two_aborts_and_a_detach_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Detach], Torn(Op::Update) => "invalid key";
    two_aborts_and_a_waker_that_is_dropped_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Forget], Torn(Op::Or) => "drops of the cell";
    two_aborts_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Abort, Shutdown], Torn(Op::Or) => "drops of the cell";
    an_abort_and_a_detach_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Detach, Shutdown], Torn(Op::Update) => "drops of the cell";
    an_abort_and_a_waker_that_is_dropped_and_a_shutdown_meet_at_a_task_that_sleeps:
        Asleep, [Abort, Forget, Shutdown], Torn(Op::Or) => "drops of the cell";
    two_wakes_meet_at_a_task_that_has_ended:
        Ended, [Wake, Wake], Torn(Op::Sub) => "drops of the cell";
    a_wake_and_an_abort_meet_at_a_task_that_has_ended:
        Ended, [Wake, Abort], Torn(Op::Or) => "drops of the cell";
    a_wake_and_a_join_meet_at_a_task_that_has_ended:
        Ended, [Wake, Join], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_detach_meet_at_a_task_that_has_ended:
        Ended, [Wake, Detach], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_waker_that_is_dropped_meet_at_a_task_that_has_ended:
        Ended, [Wake, Forget], Torn(Op::Sub) => "drops of the cell";
    an_abort_and_a_join_meet_at_a_task_that_has_ended:
        Ended, [Abort, Join], Torn(Op::Update) => "drops of the cell";
    an_abort_and_a_detach_meet_at_a_task_that_has_ended:
        Ended, [Abort, Detach], Torn(Op::Update) => "drops of the cell";
    an_abort_and_a_waker_that_is_dropped_meet_at_a_task_that_has_ended:
        Ended, [Abort, Forget], Torn(Op::Or) => "drops of the cell";
    a_join_and_a_waker_that_is_dropped_meet_at_a_task_that_has_ended:
        Ended, [Join, Forget], Torn(Op::Update) => "drops of the cell";
    a_detach_and_a_waker_that_is_dropped_meet_at_a_task_that_has_ended:
        Ended, [Detach, Forget], Torn(Op::Update) => "drops of the cell";
    two_wakers_that_are_dropped_meet_at_a_task_that_has_ended:
        Ended, [Forget, Forget], Torn(Op::Sub) => "drops of the cell";
    a_detach_and_two_wakers_that_are_dropped_meet_at_a_task_that_has_ended:
        Ended, [Detach, Forget, Forget], Torn(Op::Update) => "drops of the cell";
    a_wake_and_a_detach_and_a_waker_that_is_dropped_meet_at_a_task_that_has_ended:
        Ended, [Wake, Detach, Forget], Torn(Op::Update) => "drops of the cell";
}
