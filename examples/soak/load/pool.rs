//! Functions that block: on the pool, many at once or one after the other, and in place.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use telemetry_rt::task::block_in_place;

use super::{inject_panic, is_on_purpose};
use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

/// Many at once; some panic, some are aborted before their turn.
pub async fn burst(world: Arc<World>, mut dice: Dice) {
    let number = dice.among(1..=300);
    let mut functions = Vec::new();
    for _ in 0..number {
        let (shared, mut dice) = (Arc::clone(&world), dice.split());
        functions.push(world.spawn_blocking(Kind::Function, move || {
            match dice.among(0..=99) {
                0 => inject_panic(&shared, "panic in a blocking function"),
                1..=9 => thread::sleep(dice.micros(0..=1_000)),
                _ => {}
            }
            1_u64
        }));
    }
    let (mut returned, mut panicked, mut cancelled) = (0, 0, 0);
    for function in functions {
        if dice.one_in(50) {
            function.abort();
            world.faults.count("abort");
        }
        match function.await {
            Ok(one) => returned += one,
            Err(error) if error.is_cancelled() => cancelled += 1,
            Err(error) => panicked += u64::from(is_on_purpose(&*error.into_panic())),
        }
    }
    if returned + panicked + cancelled != number {
        world.breaks(format!("of {number} functions some did not end"));
    }
}

pub async fn sequence(world: Arc<World>, mut dice: Dice) {
    for step in 0..dice.among(1..=20) {
        let done = world.spawn_blocking(Kind::Function, move || step).await;
        if done.ok() != Some(step) {
            world.breaks("a function returned what is not its".to_owned());
        }
    }
}

/// Tasks that block the worker they are on, having told it.
pub async fn in_place(world: Arc<World>, mut dice: Dice) {
    let mut tasks = Vec::new();
    for _ in 0..dice.among(1..=4) {
        let length = dice.micros(0..=2_000);
        tasks.push(world.spawn(Kind::Place, async move {
            block_in_place(|| thread::sleep(length));
            1_u64
        }));
    }
    for task in tasks {
        if task.await.ok() != Some(1) {
            world.breaks("a task that blocks in place did not end".to_owned());
        }
    }
    telemetry_rt::time::sleep(Duration::from_millis(2)).await;
}
