//! Threads that are not the runtime's, and talk to its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc as blocking;

use tokio::sync::mpsc;

use super::{Body, Done, Workload, sum_below};
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("round_trip_external", 500, round_trip),
        Workload::new("remote_spawn", 12_000, |_| Box::new(remote_spawn)),
    ]
}

/// This thread sends to a task, and blocks until it has answered.
fn round_trip<R: Runtime>(_: &R) -> Body<R> {
    Box::new(|runtime, size| {
        let (ping, mut pings) = mpsc::unbounded_channel();
        let (pong, pongs) = blocking::sync_channel(1);
        let echo = runtime.spawn_outside(async move {
            while let Some(number) = pings.recv().await {
                pong.send(number).expect("the other one waits");
            }
        });
        let mut sum = 0;
        for number in 0..size {
            ping.send(number).expect("the task lives");
            sum += pongs.recv().expect("the task answers");
        }
        drop(ping);
        runtime.block_on(echo);
        Done::checked((size, 2), sum, sum_below(size))
    })
}

const THREADS: usize = 2;

/// tokio's `remote_spawn`: two foreign threads spawn at once.
fn remote_spawn<R: Runtime>(runtime: &R, size: usize) -> Done {
    let each = size / THREADS;
    let (sender, receiver) = blocking::sync_channel(1);
    let left = Arc::new(AtomicUsize::new(each * THREADS));
    let ran = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| spawn_from_here(runtime, each, &left, &sender));
        }
        receiver.recv().expect("the last task sends")
    });
    let tasks = each * THREADS;
    Done::checked((tasks, tasks), ran, 1)
}

fn spawn_from_here<R: Runtime>(
    runtime: &R,
    tasks: usize,
    left: &Arc<AtomicUsize>,
    sender: &blocking::SyncSender<usize>,
) {
    for _ in 0..tasks {
        let (left, sender) = (left.clone(), sender.clone());
        runtime.spawn_outside_detached(async move {
            if left.fetch_sub(1, Relaxed) == 1 {
                sender.send(1).expect("the benchmark waits");
            }
        });
    }
}
