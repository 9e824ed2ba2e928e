//! Spans of users: nested, held across waiting, around futures, and ended by aborts.

use std::sync::Arc;

use telemetry_rt::task::yield_now;
use telemetry_rt::time::sleep;

use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

pub async fn nested(world: Arc<World>, mut dice: Dice) {
    let mut tasks = Vec::new();
    for _ in 0..dice.among(1..=10) {
        let (shared, dice) = (Arc::clone(&world), dice.split());
        tasks.push(world.spawn(Kind::Scoped, scoped(shared, dice)));
    }
    for task in tasks {
        if dice.one_in(6) {
            task.abort();
            world.faults.count("abort");
        }
        drop(task.await);
    }
}

async fn scoped(world: Arc<World>, mut dice: Dice) {
    let outer = world.ledger.span("outer");
    outer.set_attribute("soak.number", dice.throw() as i64);
    for _ in 0..dice.among(0..=5) {
        let _inner = world.ledger.span("inner");
        match dice.among(0..=2) {
            0 => yield_now().await,
            1 => sleep(dice.micros(0..=1_000)).await,
            _ => drop(world.spawn(Kind::Leaf, async {}).await),
        }
    }
    let last = world.ledger.span("last");
    // The other way round than they were opened.
    drop(outer);
    yield_now().await;
    drop(last);
}
