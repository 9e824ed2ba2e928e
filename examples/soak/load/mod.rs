//! What does the load consist of? Some twenty kinds of operations. For each kind there are drivers:
//! tasks that do one operation after the other, each chosen by the driver's own dice.
//!
//! * `tasks`: trees of tasks, aborts at any moment, sets of tasks, panics;
//! * `waits`: timers, channels, semaphores;
//! * `pool`: functions on the blocking pool, and in place;
//! * `local`: sets of local tasks;
//! * `tcp`, `udp`, `files`: the world outside;
//! * `spans`: spans of users;
//! * `wakers`: wakers that outlive their tasks;
//! * `outside`: threads that are none of the runtime's;
//! * `lives`: other runtimes, with pipelines of their own.

mod files;
mod lives;
mod local;
mod outside;
mod pool;
mod spans;
mod tasks;
mod tcp;
mod udp;
mod waits;
mod wakers;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt::task::JoinHandle;
use telemetry_rt::time::{sleep, timeout};

use crate::args::Args;
use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

pub use lives::lead_lives;
pub use outside::call_from_outside;
pub use wakers::wake_the_dead;

type Operation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes one operation.
type Make = fn(Arc<World>, Dice) -> Operation;

/// Each kind of operation, and how many drivers it has.
const OPERATIONS: &[(&str, u64, Make)] = &[
    ("spawn tree", 3, |world, dice| {
        Box::pin(tasks::tree(world, dice))
    }),
    ("abort", 2, |world, dice| {
        Box::pin(tasks::abort(world, dice))
    }),
    ("join set", 2, |world, dice| {
        Box::pin(tasks::join_set(world, dice))
    }),
    ("detach", 1, |world, dice| {
        Box::pin(tasks::detach(world, dice))
    }),
    ("output bomb", 1, |world, dice| {
        Box::pin(tasks::output_bomb(world, dice))
    }),
    ("timers", 2, |world, dice| {
        Box::pin(waits::timers(world, dice))
    }),
    ("interval", 1, |world, dice| {
        Box::pin(waits::ticks(world, dice))
    }),
    ("mpsc", 2, |world, dice| {
        Box::pin(waits::many_to_one(world, dice))
    }),
    ("oneshot", 1, |world, dice| {
        Box::pin(waits::one_to_one(world, dice))
    }),
    ("watch", 1, |world, dice| {
        Box::pin(waits::one_to_many(world, dice))
    }),
    ("semaphore", 1, |world, dice| {
        Box::pin(waits::permits(world, dice))
    }),
    ("blocking burst", 1, |world, dice| {
        Box::pin(pool::burst(world, dice))
    }),
    ("blocking sequence", 1, |world, dice| {
        Box::pin(pool::sequence(world, dice))
    }),
    ("block in place", 1, |world, dice| {
        Box::pin(pool::in_place(world, dice))
    }),
    ("local set", 1, |world, dice| {
        Box::pin(local::set(world, dice))
    }),
    ("tcp", 3, |world, dice| Box::pin(tcp::session(world, dice))),
    ("udp", 1, |world, dice| Box::pin(udp::exchange(world, dice))),
    ("files", 1, |world, dice| Box::pin(files::copy(world, dice))),
    ("user spans", 2, |world, dice| {
        Box::pin(spans::nested(world, dice))
    }),
    ("wakers", 1, |world, dice| {
        Box::pin(wakers::outlive(world, dice))
    }),
];

/// An operation that takes longer than that is stuck: each has an end of its own.
const STUCK: Duration = Duration::from_secs(30);

/// What `--only` knows.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    let operations = OPERATIONS.iter().map(|(name, ..)| *name);
    operations.chain([LIVES, OUTSIDE])
}

/// What has threads of its own instead of drivers.
pub const LIVES: &str = "lives";
pub const OUTSIDE: &str = "outside";

/// Starts all drivers on the current runtime.
pub fn start(args: &Args, world: &Arc<World>, dice: &mut Dice) -> Vec<JoinHandle<()>> {
    let mut drivers = Vec::new();
    let wanted = OPERATIONS.iter().filter(|(name, ..)| args.wants(name));
    for &(name, number, make) in wanted {
        for _ in 0..number {
            let driver = drive(name, make, Arc::clone(world), dice.split());
            drivers.push(world.spawn(Kind::Driver, driver));
        }
    }
    drivers
}

/// Does one operation after the other. Most drivers rest at times, so that the load is not the same
/// all the time, and spans have a chance to leave.
async fn drive(name: &'static str, make: Make, world: Arc<World>, mut dice: Dice) {
    while !world.is_stopping() {
        let operation = make(Arc::clone(&world), dice.split());
        if timeout(STUCK, operation).await.is_err() {
            world.breaks(format!("an operation ({name}) is stuck for {STUCK:?}"));
            return;
        }
        world.done.count(name);
        let rest = match dice.among(0..=9) {
            0..=3 => Duration::ZERO,
            4..=8 => dice.millis(1..=10),
            _ => dice.millis(20..=100),
        };
        sleep(rest).await;
    }
}

/// How a panic of the soak's own is told from any other.
pub const ON_PURPOSE: &str = "injected by the soak";

/// Panics, and counts it as a fault.
pub fn inject_panic(world: &World, name: &'static str) -> ! {
    world.faults.count(name);
    panic!("{ON_PURPOSE}: {name}")
}

/// Whether this is the payload of such a panic.
pub fn is_on_purpose(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>();
    text.is_some_and(|text| text.starts_with(ON_PURPOSE))
}
