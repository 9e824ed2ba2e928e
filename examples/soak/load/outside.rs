//! Threads that are none of the runtime's: they spawn on it, block on it, and are measured at that,
//! because nothing that telemetry does may keep them.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt::runtime::Handle;
use telemetry_rt::task::yield_now;
use telemetry_rt::time::sleep;

use crate::dice::Dice;
use crate::ledger::{Kind, State};
use crate::world::World;

const STUCK: Duration = Duration::from_secs(30);

/// Does so until the soak stops.
pub fn call_from_outside(world: &Arc<World>, runtime: &Handle, mut dice: Dice) {
    while !world.is_stopping() {
        match dice.among(0..=3) {
            0 => block(world, runtime, dice.split()),
            _ => spawn_some(world, runtime, &mut dice),
        }
        thread::sleep(dice.micros(100..=10_000));
    }
}

fn spawn_some(world: &Arc<World>, runtime: &Handle, dice: &mut Dice) {
    let (ended, ends) = mpsc::channel();
    let number = dice.among(1..=50);
    for _ in 0..number {
        let (shared, ended) = (Arc::clone(world), ended.clone());
        let start = Instant::now();
        let task = world.spawn_on(runtime, Kind::Outsider, async move {
            shared.stalls.first_poll.note(start.elapsed());
            yield_now().await;
            // Whoever waits may have given up.
            let _ = ended.send(());
        });
        world.stalls.spawn.note(start.elapsed());
        drop(task);
    }
    for _ in 0..number {
        if ends.recv_timeout(STUCK).is_err() {
            world.breaks(format!(
                "a task that was spawned from outside is stuck for {STUCK:?}"
            ));
            return;
        }
    }
    world.done.count("spawns from outside");
}

fn block(world: &Arc<World>, runtime: &Handle, dice: Dice) {
    let mut root = world.ledger.begin(Kind::OutsideRoot);
    runtime.block_on(outside_root(Arc::clone(world), dice));
    root.state(State::Finished);
    world.done.count("block_on from outside");
}

async fn outside_root(world: Arc<World>, mut dice: Dice) {
    let leaf = world.spawn(Kind::Leaf, sleep(dice.micros(0..=2_000)));
    let _outer = world.ledger.span("outer");
    if leaf.await.is_err() {
        world.breaks("a task of a thread from outside did not end".to_owned());
    }
}
