//! How late is everything? Two probes that only sleep: a thread, which tells what the machine does to
//! everybody, and a task, which tells what the runtime adds.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt::time::sleep;

use crate::world::World;

const NAP: Duration = Duration::from_millis(10);

pub fn watch_the_machine(world: &Arc<World>) {
    while !world.is_stopping() {
        let start = Instant::now();
        thread::sleep(NAP);
        world
            .stalls
            .machine
            .note(start.elapsed().saturating_sub(NAP));
    }
}

pub async fn watch_the_runtime(world: Arc<World>) {
    while !world.is_stopping() {
        let start = Instant::now();
        sleep(NAP).await;
        world.stalls.task.note(start.elapsed().saturating_sub(NAP));
    }
}
