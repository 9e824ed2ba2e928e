//! The protocol of the task cell under every order of events: two or three threads that do to one
//! task what may be done at the same time.
//!
//! The scheduler is a queue that the threads of a model run by hand. A model ends when all threads
//! are done and the queue is empty; then the task must have come to its end, and future, output,
//! join wakers and cell must each have been dropped once. Loom itself reports whoever touches the
//! future, the output, the join waker or the ledger without the right to, and, by way of the
//! state word, whoever touches the cell after it was freed.
//!
//! Each model is shown to fail when one kind of operation of the state word is made too weak.

mod bench;
mod meetings;
mod notice;

use std::sync::Arc;
use std::task::Poll;

use loom::thread;

use self::bench::*;
use super::JoinHandle;
use crate::sync::model::explore;

// ----- waking -----

/// A thread polls a task, while another one sets what it waits for and wakes it.
fn a_wake_meets_a_poll() {
    let (world, handle) = woken_task(1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake_by_ref();
    });
    world.run();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

/// Two threads wake an idle task, each for another reason, while a third one polls it.
fn two_wakers_meet() {
    let (world, handle) = idle_task(2, 2);
    drop(handle);
    let waking = [0, 1].map(|flag| {
        let theirs = Arc::clone(&world);
        spawn(move || {
            let waker = theirs.waker();
            theirs.set(flag);
            waker.wake();
        })
    });
    world.run();
    waking.into_iter().for_each(join);
    world.run();
    assert_all_gone(&world);
}

/// As many wakes as are not counted any more, while the task is polled.
fn wakes_that_are_not_counted_meet_a_poll() {
    let (world, handle) = idle_task(2, 3);
    drop(handle);
    let awake = world.waker();
    (0..3).for_each(|_| awake.wake_by_ref());
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let (by_ref, by_value) = (theirs.waker(), theirs.waker());
        theirs.set(0);
        by_ref.wake_by_ref();
        theirs.set(1);
        by_value.wake();
    });
    world.run();
    join(waking);
    world.run();
    drop(awake);
    assert_all_gone(&world);
}

/// A wake gives up the last handle beside the life of the task, whose end it brings about: the
/// scheduler is still in use by the waking thread when the task is done.
fn a_wake_by_value_starts_the_last_poll() {
    let (world, handle) = idle_task(1, 1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake();
    });
    world.run();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

// ----- the end of the memory -----

/// A task ends while a waker is used up and another one dropped.
fn the_last_wakers_meet_completion() {
    let (world, handle) = ending_task(2);
    drop(handle);
    let used = Arc::clone(&world);
    let using = spawn(move || used.waker().wake());
    let dropped = Arc::clone(&world);
    let dropping = spawn(move || drop(dropped.waker()));
    world.run();
    join(using);
    join(dropping);
    assert_all_gone(&world);
}

/// The last two wakers of a task that has ended are dropped at the same time, one by a wake.
fn the_last_wakers_meet_after_completion() {
    let (world, handle) = ending_task(2);
    drop(handle);
    world.run();
    let theirs = Arc::clone(&world);
    let waking = spawn(move || theirs.waker().wake());
    drop(world.waker());
    join(waking);
    assert_all_gone(&world);
}

// ----- aborting -----

/// A task that would wait for ever is aborted while it is polled.
fn an_abort_meets_a_poll() {
    let (world, handle) = woken_task(0);
    let abort = handle.abort_handle();
    let aborting = spawn(move || abort.abort());
    world.run();
    join(aborting);
    world.run();
    assert_eq!(ended(handle), Err(true));
    assert_all_gone(&world);
}

/// A task is aborted while it ends: it may end either way.
fn an_abort_meets_completion() {
    let (world, handle) = ending_task(0);
    let abort = handle.abort_handle();
    let aborting = spawn(move || abort.abort());
    world.run();
    join(aborting);
    world.run();
    let ended = ended(handle);
    assert!(matches!(ended, Ok(()) | Err(true)), "{ended:?}");
    assert_all_gone(&world);
}

/// How a task ended that has ended; if badly, whether it was cancelled.
fn ended(mut handle: JoinHandle<Output>) -> Result<(), bool> {
    match Arc::<Told>::default().poll(&mut handle) {
        Poll::Pending => panic!("the task has not ended"),
        Poll::Ready(result) => result.map(drop).map_err(|error| error.is_cancelled()),
    }
}

// ----- joining -----

/// A handle is polled for the first time while the task ends.
fn a_join_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let ending = run_elsewhere(&world);
    let told = Arc::<Told>::default();
    let ready = told.poll(&mut handle).is_ready();
    join(ending);
    assert_joined_or_told(ready, handle, told);
    assert_all_gone(&world);
}

/// A handle is polled with another waker than before while the task ends.
fn a_change_of_the_join_waker_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let (first, second) = (Arc::<Told>::default(), Arc::<Told>::default());
    assert!(first.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    let ready = second.poll(&mut handle).is_ready();
    join(ending);
    assert_joined_or_told(ready, handle, second);
    first.wakes();
    assert_all_gone(&world);
}

/// A handle that waits is dropped while the task ends.
fn the_drop_of_a_handle_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let told = Arc::<Told>::default();
    assert!(told.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    drop(handle);
    join(ending);
    told.wakes();
    assert_all_gone(&world);
}

/// A handle that was polled with two wakers is dropped while the task ends.
fn a_changed_join_waker_and_the_drop_of_its_handle_meet_completion() {
    let (world, mut handle) = ending_task(0);
    let (first, second) = (Arc::<Told>::default(), Arc::<Told>::default());
    assert!(first.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    drop(second.poll(&mut handle));
    drop(handle);
    join(ending);
    first.wakes();
    second.wakes();
    assert_all_gone(&world);
}

fn run_elsewhere(world: &Arc<World>) -> thread::JoinHandle<()> {
    let theirs = Arc::clone(world);
    spawn(move || theirs.run())
}

/// A handle that was pending, of a task that has ended since, was woken once and is ready now.
fn assert_joined_or_told(ready: bool, handle: JoinHandle<Output>, told: Arc<Told>) {
    if ready {
        drop(handle);
        return;
    }
    assert_eq!(ended(handle), Ok(()));
    assert_eq!(told.wakes(), 1, "wakes of the join waker");
}

// ----- shutting down -----

/// The scheduler is shut down while a thread wakes the task, whose next poll is the last.
fn a_shutdown_meets_a_wake() {
    let (world, handle) = idle_task(1, 1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake();
        theirs.run();
    });
    world.close();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

/// The scheduler is shut down while the task ends elsewhere, and a waker of it is dropped.
fn a_shutdown_meets_completion() {
    let (world, handle) = ending_task(1);
    drop(handle);
    let ending = run_elsewhere(&world);
    let theirs = Arc::clone(&world);
    let dropping = spawn(move || drop(theirs.waker()));
    world.close();
    join(ending);
    join(dropping);
    world.run();
    assert_all_gone(&world);
}

/// Somebody looks at all tasks while one ends, and a waker of it is dropped.
fn a_look_meets_completion() {
    let (world, handle) = ending_task(1);
    drop(handle);
    let ending = run_elsewhere(&world);
    let theirs = Arc::clone(&world);
    let dropping = spawn(move || drop(theirs.waker()));
    world.look();
    join(ending);
    join(dropping);
    assert_all_gone(&world);
}

mod hold {
    use super::*;

    #[test]
    fn a_look_meets_completion() {
        explore(None, super::a_look_meets_completion);
    }

    #[test]
    fn a_wake_meets_a_poll() {
        explore(None, super::a_wake_meets_a_poll);
    }

    #[test]
    fn two_wakers_meet() {
        explore(None, super::two_wakers_meet);
    }

    #[test]
    fn wakes_that_are_not_counted_meet_a_poll() {
        explore(None, super::wakes_that_are_not_counted_meet_a_poll);
    }

    #[test]
    fn a_wake_by_value_starts_the_last_poll() {
        explore(None, super::a_wake_by_value_starts_the_last_poll);
    }

    #[test]
    fn the_last_wakers_meet_completion() {
        explore(None, super::the_last_wakers_meet_completion);
    }

    #[test]
    fn the_last_wakers_meet_after_completion() {
        explore(None, super::the_last_wakers_meet_after_completion);
    }

    #[test]
    fn an_abort_meets_a_poll() {
        explore(None, super::an_abort_meets_a_poll);
    }

    #[test]
    fn an_abort_meets_completion() {
        explore(None, super::an_abort_meets_completion);
    }

    #[test]
    fn a_join_meets_completion() {
        explore(None, super::a_join_meets_completion);
    }

    #[test]
    fn a_change_of_the_join_waker_meets_completion() {
        explore(None, super::a_change_of_the_join_waker_meets_completion);
    }

    #[test]
    fn the_drop_of_a_handle_meets_completion() {
        explore(None, super::the_drop_of_a_handle_meets_completion);
    }

    #[test]
    fn a_changed_join_waker_and_the_drop_of_its_handle_meet_completion() {
        explore(
            None,
            super::a_changed_join_waker_and_the_drop_of_its_handle_meet_completion,
        );
    }

    #[test]
    fn a_shutdown_meets_a_wake() {
        explore(None, super::a_shutdown_meets_a_wake);
    }

    #[test]
    fn a_shutdown_meets_completion() {
        explore(None, super::a_shutdown_meets_completion);
    }
}
