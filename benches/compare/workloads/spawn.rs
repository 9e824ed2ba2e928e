//! Spawning tasks that do nothing, and learning of their end in several ways.

use std::sync::mpsc;

use super::{Done, Workload, sum_below};
use crate::runtime::Runtime;

/// Tasks that live at once in [`spawn_join`] and [`spawn_block_on`], and the length of a chain.
const BATCH: usize = 1000;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("spawn_join", 10_000, |_| Box::new(spawn_join)),
        Workload::new("spawn_block_on", 10_000, |_| Box::new(spawn_block_on)),
        Workload::new("chained_spawn", 20_000, |_| Box::new(chained_spawn)),
        Workload::new("spawn_await", 10_000, |_| Box::new(spawn_await)),
    ]
}

fn batches(size: usize) -> usize {
    (size / BATCH).max(1)
}

/// Spawns a thousand, then joins them in the order of spawning; over and over.
async fn spawn_and_join<R: Runtime>(batches: usize) -> usize {
    let mut sum = 0;
    let mut handles = Vec::with_capacity(BATCH);
    for _ in 0..batches {
        handles.extend((0..BATCH).map(|index| R::spawn(async move { index })));
        for handle in handles.drain(..) {
            sum += handle.await;
        }
    }
    sum
}

fn spawn_join<R: Runtime>(runtime: &R, size: usize) -> Done {
    let batches = batches(size);
    let sum = runtime.block_on(async { R::spawn(spawn_and_join::<R>(batches)).await });
    let tasks = batches * BATCH;
    Done::checked((tasks, tasks + 2), sum, batches * sum_below(BATCH))
}

/// The same from the thread that is in `block_on`, which is none of the workers.
fn spawn_block_on<R: Runtime>(runtime: &R, size: usize) -> Done {
    let batches = batches(size);
    let sum = runtime.block_on(spawn_and_join::<R>(batches));
    let tasks = batches * BATCH;
    Done::checked((tasks, tasks + 1), sum, batches * sum_below(BATCH))
}

/// tokio's: each task spawns the next, a thousand times.
fn chained_spawn<R: Runtime>(runtime: &R, size: usize) -> Done {
    let chains = batches(size);
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut ends = 0;
    for _ in 0..chains {
        let sender = sender.clone();
        runtime.block_on(async {
            link::<R>(sender, BATCH - 1);
            ends += receiver.recv().expect("the last task sends");
        });
    }
    Done::checked((chains * BATCH, chains * (BATCH + 1)), ends, chains)
}

fn link<R: Runtime>(end: mpsc::SyncSender<usize>, rest: usize) {
    R::spawn_detached(async move {
        match rest {
            0 => end.send(1).expect("the benchmark waits"),
            _ => link::<R>(end, rest - 1),
        }
    });
}

/// Spawns one and waits for it, then the next.
fn spawn_await<R: Runtime>(runtime: &R, size: usize) -> Done {
    let one_by_one = async move {
        let mut sum = 0;
        for index in 0..size {
            sum += R::spawn(async move { index }).await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(one_by_one).await });
    Done::checked((size, size + 2), sum, sum_below(size))
}
