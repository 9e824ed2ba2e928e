//! Each model notices what it is there for: the state word with one kind of operation too weak,
//! and a scheduler that breaks its promise.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::bench::*;
use crate::sync::model::{Op, Seed, explore};

#[test]
#[should_panic(expected = "the task is not complete")]
fn polls_that_acquire_nothing() {
    explore(Some(Seed::Relaxed(Op::Load)), super::a_wake_meets_a_poll);
}

#[test]
#[should_panic(expected = "the task is not complete")]
fn wakes_that_release_nothing() {
    explore(Some(Seed::Relaxed(Op::Add)), super::a_wake_meets_a_poll);
}

#[test]
#[should_panic(expected = "the task is not complete")]
fn wakes_that_overwrite_the_end_of_a_poll() {
    explore(Some(Seed::Torn(Op::Add)), super::a_wake_meets_a_poll);
}

#[test]
#[should_panic(expected = "the task is not complete")]
fn one_of_two_wakes_that_releases_nothing() {
    explore(Some(Seed::Relaxed(Op::Add)), super::two_wakers_meet);
}

#[test]
#[should_panic(expected = "drops of the cell")]
fn ends_of_polls_that_overwrite_one_of_two_wakes() {
    explore(Some(Seed::Torn(Op::Sub)), super::two_wakers_meet);
}

#[test]
#[should_panic(expected = "the task is not complete")]
fn ends_of_polls_that_do_not_acquire_the_wakes_they_answer() {
    explore(
        Some(Seed::Relaxed(Op::Sub)),
        super::wakes_that_are_not_counted_meet_a_poll,
    );
}

#[test]
#[should_panic(expected = "the task is not complete")]
fn one_of_many_wakes_that_overwrites_a_poll() {
    explore(
        Some(Seed::Torn(Op::Add)),
        super::wakes_that_are_not_counted_meet_a_poll,
    );
}

#[test]
#[should_panic(expected = "has caught a panic")]
fn a_wake_by_value_whose_release_orders_nothing() {
    explore(
        Some(Seed::Relaxed(Op::Sub)),
        super::a_wake_by_value_starts_the_last_poll,
    );
}

#[test]
#[should_panic(expected = "has caught a panic")]
fn releases_that_order_nothing() {
    explore(
        Some(Seed::Relaxed(Op::Sub)),
        super::the_last_wakers_meet_completion,
    );
}

#[test]
#[should_panic(expected = "drops of the cell")]
fn releases_that_lose_a_reference_at_completion() {
    explore(
        Some(Seed::Torn(Op::Sub)),
        super::the_last_wakers_meet_completion,
    );
}

#[test]
#[should_panic(expected = "drops of the cell")]
fn releases_that_lose_a_reference() {
    explore(
        Some(Seed::Torn(Op::Sub)),
        super::the_last_wakers_meet_after_completion,
    );
}

#[test]
#[should_panic(expected = "the task has not ended")]
fn aborts_that_overwrite_the_state() {
    explore(Some(Seed::Torn(Op::Or)), super::an_abort_meets_a_poll);
}

#[test]
#[should_panic(expected = "the task has not ended")]
fn the_wake_of_an_abort_that_overwrites_completion() {
    explore(Some(Seed::Torn(Op::Add)), super::an_abort_meets_completion);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn completion_that_does_not_release_the_output() {
    explore(Some(Seed::Relaxed(Op::Or)), super::a_join_meets_completion);
}

#[test]
#[should_panic(expected = "the task has not ended")]
fn a_join_waker_that_is_published_over_completion() {
    explore(Some(Seed::Torn(Op::Update)), super::a_join_meets_completion);
}

#[test]
#[should_panic(expected = "wakes of the join waker")]
fn completion_that_overlooks_a_join_waker() {
    explore(Some(Seed::Torn(Op::Or)), super::a_join_meets_completion);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_change_of_the_join_waker_that_orders_nothing() {
    explore(
        Some(Seed::Relaxed(Op::Update)),
        super::a_change_of_the_join_waker_meets_completion,
    );
}

#[test]
#[should_panic(expected = "wakes of the join waker")]
fn completion_that_overlooks_a_changed_join_waker() {
    explore(
        Some(Seed::Torn(Op::Or)),
        super::a_change_of_the_join_waker_meets_completion,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_woken_join_waker_that_is_given_back_without_order() {
    explore(
        Some(Seed::Relaxed(Op::And)),
        super::the_drop_of_a_handle_meets_completion,
    );
}

#[test]
#[should_panic(expected = "a join waker was kept")]
fn a_woken_join_waker_that_nobody_drops() {
    explore(
        Some(Seed::Torn(Op::And)),
        super::the_drop_of_a_handle_meets_completion,
    );
}

#[test]
#[should_panic(expected = "drops of the output")]
fn the_drop_of_a_handle_that_overwrites_completion() {
    explore(
        Some(Seed::Torn(Op::Update)),
        super::the_drop_of_a_handle_meets_completion,
    );
}

#[test]
#[should_panic(expected = "drops of the output")]
fn completion_that_overlooks_the_drop_of_a_handle() {
    explore(
        Some(Seed::Torn(Op::Or)),
        super::a_changed_join_waker_and_the_drop_of_its_handle_meet_completion,
    );
}

#[test]
#[should_panic(expected = "drops of the cell")]
fn a_wake_that_overwrites_a_shutdown() {
    explore(Some(Seed::Torn(Op::Add)), super::a_shutdown_meets_a_wake);
}

#[test]
#[should_panic(expected = "drops of the cell")]
fn a_shutdown_that_overwrites_completion() {
    explore(Some(Seed::Torn(Op::Or)), super::a_shutdown_meets_completion);
}

/// The registry promises that what is found in it is alive. Here a task ends and is not taken out.
fn a_task_ends_and_stays_registered(meanwhile: fn(&World)) {
    let (world, handle) = ending_task(0);
    world.forgetful.store(true, SeqCst);
    drop(handle);
    let theirs = Arc::clone(&world);
    let ending = spawn(move || theirs.run());
    meanwhile(&world);
    join(ending);
}

#[test]
#[should_panic]
fn a_task_that_is_complete_and_still_registered_meets_a_shutdown() {
    explore(None, || a_task_ends_and_stays_registered(World::close));
}

#[test]
#[should_panic]
fn a_task_that_is_complete_and_still_registered_meets_a_look() {
    explore(None, || a_task_ends_and_stays_registered(World::look));
}
