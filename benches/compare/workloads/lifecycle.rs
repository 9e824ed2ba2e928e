//! Starting and ending a runtime, and entering it.

use super::{Done, Workload};
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("runtime_start_stop", 20, |_| Box::new(start_stop)),
        Workload::new("block_on", 50_000, |_| Box::new(block_on)),
    ]
}

/// Starts another runtime with as many workers, runs a future that is ready, and ends it.
fn start_stop<R: Runtime>(runtime: &R, size: usize) -> Done {
    let mut answers = 0;
    for _ in 0..size {
        let other = R::start(runtime.workers());
        answers += other.block_on(async { 1 });
        other.finish();
    }
    Done::checked((size, 0), answers, size)
}

/// Runs a future that is ready.
fn block_on<R: Runtime>(runtime: &R, size: usize) -> Done {
    let answers = (0..size).map(|_| runtime.block_on(async { 1 })).sum();
    Done::checked((size, size), answers, size)
}
