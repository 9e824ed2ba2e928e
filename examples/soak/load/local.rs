//! Sets of local tasks, each on a thread of the blocking pool, with the runtime's timers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use telemetry_rt::runtime::Handle;
use telemetry_rt::task::{LocalSet, yield_now};
use telemetry_rt::time::sleep;

use super::inject_panic;
use crate::dice::Dice;
use crate::ledger::{Kind, State};
use crate::world::World;

pub async fn set(world: Arc<World>, dice: Dice) {
    let (shared, handle) = (Arc::clone(&world), Handle::current());
    let host = world.spawn_blocking(Kind::Host, move || {
        let mut root = shared.ledger.begin(Kind::LocalRoot);
        let set = LocalSet::new();
        handle.block_on(set.run_until(local_root(Arc::clone(&shared), dice)));
        root.state(State::Finished);
    });
    if host.await.is_err() {
        world.breaks("a set of local tasks panicked".to_owned());
    }
}

/// Some are left to the drop of the set.
async fn local_root(world: Arc<World>, mut dice: Dice) {
    let here = thread::current().id();
    let ended = Rc::new(Cell::new(0_u64));
    let mut tasks = Vec::new();
    for _ in 0..dice.among(1..=20) {
        let (ended, mut dice, shared) = (Rc::clone(&ended), dice.split(), Arc::clone(&world));
        tasks.push(world.spawn_local(Kind::Local, async move {
            match dice.among(0..=29) {
                0 => inject_panic(&shared, "panic in a local task"),
                1..=9 => sleep(dice.micros(0..=2_000)).await,
                _ => yield_now().await,
            }
            if thread::current().id() != here {
                shared.breaks("a local task has moved".to_owned());
            }
            ended.set(ended.get() + 1);
        }));
    }
    let (mut joined, enough) = (0, dice.among(0..=tasks.len() as u64));
    for task in tasks.into_iter().take(enough as usize) {
        joined += u64::from(task.await.is_ok());
    }
    if ended.get() < joined {
        world.breaks("a local task was joined that had not ended".to_owned());
    }
}
