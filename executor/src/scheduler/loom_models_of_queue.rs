//! The queue of a worker, under every order of events: whatever is pushed is taken once.
//!
//! Each model is shown to fail when an ordering is too weak, or the step that decides who has a
//! task is none. What the models cannot show is a thief that reads a slot after it was written
//! anew: loom does not let a load take its value from the future. The rings have two slots at
//! first, and then four.

use loom::thread;

use super::queue::{Queue, Stealer};
use crate::sync::model::{Op, Seed, explore, explore_coarsely};

/// A thread that steals once, and empties its own queue.
fn steal(victim: Stealer<usize>) -> thread::JoinHandle<Vec<usize>> {
    thread::spawn(move || {
        let own = Queue::new(true);
        let first = own.steal_from(&victim).map(|(first, _)| first);
        first.into_iter().chain(drain(&own)).collect()
    })
}

fn drain(queue: &Queue<usize>) -> Vec<usize> {
    std::iter::from_fn(|| queue.pop()).collect()
}

/// What the owner does not take in the end, the thieves have, and nobody has what somebody else
/// has.
fn settle(
    queue: &Queue<usize>,
    mut taken: Vec<usize>,
    thieves: Vec<thread::JoinHandle<Vec<usize>>>,
    pushed: usize,
) {
    for thief in thieves {
        taken.extend(thief.join().expect("a thread that panics ends the model"));
    }
    taken.extend(drain(queue));
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(1..=pushed), "taken: {taken:?}");
}

fn queue_of(tasks: usize) -> Queue<usize> {
    let queue = Queue::new(true);
    (1..=tasks).for_each(|task| queue.push(task));
    queue
}

/// The only task is pushed, and popped, while a thief looks.
fn a_push_and_a_pop_meet_a_thief() {
    let queue = queue_of(0);
    let thief = steal(queue.stealer());
    queue.push(1);
    let popped = queue.pop().into_iter().collect();
    settle(&queue, popped, vec![thief], 1);
}

/// The owner and a thief want the same tasks.
fn pops_meet_a_thief() {
    let queue = queue_of(2);
    let thief = steal(queue.stealer());
    let popped = drain(&queue);
    settle(&queue, popped, vec![thief], 2);
}

/// The ring is full, and grows while a thief reads it.
fn growth_meets_a_thief() {
    let queue = queue_of(2);
    let thief = steal(queue.stealer());
    queue.push(3);
    settle(&queue, Vec::new(), vec![thief], 3);
}

/// A slot that a thief has emptied is used again while another one steals.
fn two_thieves_meet_a_push() {
    let queue = queue_of(2);
    let thieves = vec![steal(queue.stealer()), steal(queue.stealer())];
    queue.push(3);
    settle(&queue, Vec::new(), thieves, 3);
}

mod hold {
    use super::*;

    #[test]
    fn a_push_and_a_pop_meet_a_thief() {
        explore(None, super::a_push_and_a_pop_meet_a_thief);
    }

    #[test]
    fn pops_meet_a_thief() {
        explore(None, super::pops_meet_a_thief);
    }

    #[test]
    fn growth_meets_a_thief() {
        explore(None, super::growth_meets_a_thief);
    }

    #[test]
    fn two_thieves_meet_a_push() {
        explore_coarsely(None, super::two_thieves_meet_a_push);
    }
}

/// The models notice what is made wrong.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "taken")]
    fn a_head_that_is_read_and_written_in_two_steps() {
        explore(Some(Seed::Torn(Op::Exchange)), super::pops_meet_a_thief);
    }

    #[test]
    // The thief takes the difference for a very long queue, and looks for its tasks for ever.
    #[should_panic(expected = "exceeded maximum number of branches")]
    fn a_head_that_comes_before_its_tail() {
        explore(
            Some(Seed::Relaxed(Op::Exchange)),
            super::a_push_and_a_pop_meet_a_thief,
        );
    }

    #[test]
    #[should_panic(expected = "taken")]
    fn a_tail_that_comes_before_its_slot() {
        explore(
            Some(Seed::Relaxed(Op::Store)),
            super::a_push_and_a_pop_meet_a_thief,
        );
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_ring_that_comes_before_its_copies() {
        explore(Some(Seed::Relaxed(Op::Swap)), super::growth_meets_a_thief);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_thief_that_looks_without_order() {
        explore(Some(Seed::Relaxed(Op::Load)), super::growth_meets_a_thief);
    }
}
