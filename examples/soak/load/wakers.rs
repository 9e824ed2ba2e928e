//! Wakers that live longer than what they wake.

use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use telemetry_rt::task::yield_now;

use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

/// As many are kept.
const MOST: usize = 1_000;

/// Tasks give their wakers away and end; somebody else wakes them, clones them and drops them.
pub async fn outlive(world: Arc<World>, mut dice: Dice) {
    let mut tasks = Vec::new();
    for _ in 0..dice.among(1..=10) {
        let shared = Arc::clone(&world);
        let mut polls = dice.among(0..=3);
        tasks.push(world.spawn(Kind::Waiter, async move {
            poll_fn(|cx| {
                keep(&shared, cx.waker().clone());
                if polls == 0 {
                    return Poll::Ready(());
                }
                polls -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }));
    }
    wake_some(&world, &mut dice);
    if dice.one_in(2) {
        yield_now().await;
    }
    for task in tasks {
        if dice.one_in(5) {
            task.abort();
            world.faults.count("abort");
        }
        drop(task.await);
    }
    if dice.one_in(10) {
        // From a thread that knows nothing of the runtime.
        let shared = Arc::clone(&world);
        let mut dice = dice.split();
        drop(thread::spawn(move || wake_some(&shared, &mut dice)));
    }
}

fn keep(world: &World, waker: Waker) {
    let mut wakers = world.wakers.lock().unwrap_or_else(PoisonError::into_inner);
    let dropped = match wakers.len() < MOST {
        true => None,
        false => Some(wakers.swap_remove(0)),
    };
    wakers.push(waker);
    drop(wakers);
    // Without the lock: what a waker's drop drops is not for us to know.
    drop(dropped);
}

fn wake_some(world: &World, dice: &mut Dice) {
    for _ in 0..dice.among(1..=20) {
        let mut wakers = world.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if wakers.is_empty() {
            return;
        }
        let number = dice.among(0..=wakers.len() as u64 - 1) as usize;
        let by_reference = dice.one_in(2);
        let waker = match by_reference {
            true => wakers[number].clone(),
            false => wakers.swap_remove(number),
        };
        drop(wakers);
        waker.wake();
        world.notes.count("wakes of others");
    }
}

/// All that are left, once the runtime is no more. How many there were.
pub fn wake_the_dead(world: &World) -> usize {
    let wakers = std::mem::take(&mut *world.wakers.lock().unwrap_or_else(PoisonError::into_inner));
    let number = wakers.len();
    for waker in wakers {
        waker.wake_by_ref();
        drop(waker.clone());
        waker.wake();
    }
    number
}
