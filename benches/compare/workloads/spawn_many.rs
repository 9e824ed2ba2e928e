//! Bursts of tasks, spawned from here and there, with the workers idle or busy: the three kinds of
//! `spawn_many` of tokio's own benchmarks, and the burst that nobody joins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::{Body, Done, Workload, sum_below};
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("spawn_detached", 10_000, |_| Box::new(spawn_detached)),
        Workload::new("spawn_many_local", 10_000, |_| Box::new(spawn_many_local)),
        Workload::new("spawn_many_remote_idle", 10_000, |_| {
            Box::new(spawn_many_remote)
        }),
        Workload::new("spawn_many_remote_busy1", 1_000, |runtime| {
            busy(runtime, yielding::<R>)
        }),
        Workload::new("spawn_many_remote_busy2", 500, |runtime| {
            busy(runtime, respawning::<R>)
        }),
    ]
}

/// A burst that is not joined, as big as it is; the last task says that all have run.
fn spawn_detached<R: Runtime>(runtime: &R, size: usize) -> Done {
    let (sender, receiver) = oneshot::channel();
    let burst = async move {
        let left = Arc::new((AtomicUsize::new(size), std::sync::Mutex::new(Some(sender))));
        for _ in 0..size {
            let left = left.clone();
            R::spawn_detached(async move {
                if left.0.fetch_sub(1, Relaxed) == 1 {
                    let sender = left.1.lock().expect("nobody panics").take();
                    let sender = sender.expect("one task is the last");
                    sender.send(size).expect("the benchmark waits");
                }
            });
        }
    };
    let ran = runtime.block_on(async {
        R::spawn(burst).await;
        receiver.await.expect("the last task sends")
    });
    Done::checked((size, size + 2), ran, size)
}

/// tokio's: a task spawns all, and the thread in `block_on` blocks until the last has run.
fn spawn_many_local<R: Runtime>(runtime: &R, size: usize) -> Done {
    let (sender, receiver) = mpsc::sync_channel(1);
    let left = Arc::new(AtomicUsize::new(size));
    let ran = runtime.block_on(async {
        R::spawn_detached(async move {
            for _ in 0..size {
                let (sender, left) = (sender.clone(), left.clone());
                R::spawn_detached(async move {
                    if left.fetch_sub(1, Relaxed) == 1 {
                        sender.send(size).expect("the benchmark waits");
                    }
                });
            }
        });
        receiver.recv().expect("the last task sends")
    });
    Done::checked((size, size + 2), ran, size)
}

/// tokio's: all are spawned from a foreign thread, and joined in `block_on`.
fn spawn_many_remote<R: Runtime>(runtime: &R, size: usize) -> Done {
    let handles: Vec<_> = (0..size)
        .map(|index| runtime.spawn_outside(async move { index }))
        .collect();
    let sum = runtime.block_on(async {
        let mut sum = 0;
        for handle in handles {
            sum += handle.await;
        }
        sum
    });
    Done::checked((size, size + 1), sum, sum_below(size))
}

/// Keeps the workers busy during each sample, with twice as many tasks as there are workers.
fn busy<R: Runtime>(runtime: &R, work: fn(&R, &Arc<Busy>)) -> Body<R> {
    let tasks = 2 * runtime.workers();
    Box::new(move |runtime, size| {
        let busy = Arc::new(Busy::default());
        (0..tasks).for_each(|_| work(runtime, &busy));
        let mut done = spawn_many_remote(runtime, size);
        busy.stop.store(true, Relaxed);
        // Those that are running come to an end before the sample does.
        while Arc::strong_count(&busy) > 1 {
            std::thread::yield_now();
        }
        done.processes += busy.tasks.load(Relaxed);
        done
    })
}

#[derive(Default)]
struct Busy {
    stop: AtomicBool,
    /// How many tasks there have been.
    tasks: AtomicUsize,
}

/// Busy with a task that yields all the time.
fn yielding<R: Runtime>(runtime: &R, busy: &Arc<Busy>) {
    let busy = busy.clone();
    busy.tasks.fetch_add(1, Relaxed);
    runtime.spawn_outside_detached(async move {
        while !busy.stop.load(Relaxed) {
            R::yield_now().await;
        }
    });
}

/// Busy with tasks each of which spawns the next.
fn respawning<R: Runtime>(runtime: &R, busy: &Arc<Busy>) {
    let busy = busy.clone();
    busy.tasks.fetch_add(1, Relaxed);
    runtime.spawn_outside_detached(async move { respawn::<R>(busy) });
}

fn respawn<R: Runtime>(busy: Arc<Busy>) {
    if busy.stop.load(Relaxed) {
        return;
    }
    busy.tasks.fetch_add(1, Relaxed);
    R::spawn_detached(async move { respawn::<R>(busy) });
}
