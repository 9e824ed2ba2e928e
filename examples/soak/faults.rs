//! What goes wrong around the runtime? The collector's moods, workers that are blocked, descriptors
//! that run out. What goes wrong within tasks, the load does by itself.

use std::fs::{self, File};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt::runtime::Handle;

use crate::collector::{Collector, Mood};
use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

/// How long a task blocks the worker it is on.
const BLOCK: Duration = Duration::from_millis(200);
/// As many descriptors are held at most, if the limit does not come first.
const MOST_HELD: usize = 32_768;
const LOOK: Duration = Duration::from_millis(20);

/// Injects faults until the soak stops. Then all is well again.
pub fn inject(
    world: &Arc<World>,
    collector: &Collector,
    runtime: &Handle,
    mut dice: Dice,
    length: Duration,
) {
    // Nobody is at home at the start.
    world.faults.count("collector: down at the start");
    let mut mood_until = Instant::now() + (length / 20).min(Duration::from_secs(5));
    let mut next_fault = Instant::now() + dice.millis(500..=2_000);
    while !world.is_stopping() {
        thread::sleep(LOOK);
        if Instant::now() >= mood_until {
            let mood = Mood::any(&mut dice);
            collector.set_mood(mood);
            if let Some(fault) = mood.name() {
                world.faults.count(fault);
            }
            mood_until = Instant::now() + mood.length(&mut dice);
        }
        if Instant::now() >= next_fault {
            match dice.among(0..=2) {
                0 => run_out_of_descriptors(world, &mut dice),
                _ => block_a_worker(world, runtime),
            }
            next_fault = Instant::now() + dice.millis(500..=4_000);
        }
    }
    collector.set_mood(Mood::Well);
}

fn block_a_worker(world: &World, runtime: &Handle) {
    world.faults.count("worker blocked for 200 ms");
    let blocker = world.spawn_on(runtime, Kind::Blocker, async {
        thread::sleep(BLOCK);
    });
    drop(blocker);
}

/// Holds descriptors until there are none, or enough, for a moment.
fn run_out_of_descriptors(world: &World, dice: &mut Dice) {
    let mut held = Vec::new();
    while held.len() < MOST_HELD {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(_) => {
                let left = dice.among(0..=16) as usize;
                held.truncate(held.len().saturating_sub(left));
                world.faults.count("descriptors: none, or few");
                break;
            }
        }
    }
    if held.len() == MOST_HELD {
        world.faults.count("descriptors: many held");
    }
    thread::sleep(dice.millis(50..=400));
}

/// What the system allows, to be told at the start.
pub fn most_descriptors() -> Option<String> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}
