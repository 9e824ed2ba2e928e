//! What is done so and so often while instructions are counted.
//!
//! Names are those of `benches/compare`, which times the same things.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::count::counted_thread;
use crate::hosts::{Host, Mode, Ours, Tokio};
use crate::rally::{Table, play};
use crate::recorder;

/// All workloads; those that begin with `record` are in `recorder`.
pub const NAMES: [&str; 11] = [
    "spawn_join",
    "spawn_block_on",
    "spawn_await",
    "yield_many",
    "self_wake",
    "ping_pong_mpsc",
    "ping_pong_raw",
    "sleep_cancel",
    "timeout_ready",
    "record_task",
    "record_poll",
];

/// Whether the workload is the recorder's, which tokio has none of.
pub fn is_of_recorder(workload: &str) -> bool {
    workload.starts_with("record")
}

/// Does so many operations of this workload, between the start and the end of a runtime.
pub fn run(workload: &str, mode: Mode, operations: usize) {
    match mode {
        _ if is_of_recorder(workload) => recorder::run(workload, mode, operations),
        Mode::Full | Mode::Metrics => run_on::<Ours>(workload, mode, operations),
        Mode::Tokio => run_on::<Tokio>(workload, mode, operations),
    }
}

fn run_on<H: Host>(workload: &str, mode: Mode, operations: usize) {
    let host = H::start(mode);
    let done = match workload {
        "spawn_join" => in_task(&host, spawn_and_join::<H>(operations)),
        "spawn_block_on" => {
            counted_thread();
            host.block_on(spawn_block_on::<H>(operations))
        }
        "spawn_await" => in_task(&host, spawn_await::<H>(operations)),
        "yield_many" => in_task(&host, yield_many::<H>(operations)),
        "self_wake" => in_task(&host, self_wake(operations)),
        "ping_pong_mpsc" => in_task(&host, ping_pong_mpsc::<H>(operations)),
        "ping_pong_raw" => in_task(&host, ping_pong_raw::<H>(operations)),
        "sleep_cancel" => in_task(&host, sleep_cancel::<H>(operations)),
        "timeout_ready" => in_task(&host, timeout_ready::<H>(operations)),
        _ => panic!("{workload:?} is none of {NAMES:?}"),
    };
    assert_eq!(done, operations, "operations of {workload}");
    host.finish();
}

fn in_task<H: Host>(host: &H, future: impl Future<Output = usize> + Send + 'static) -> usize {
    host.block_on(async { H::spawn(future).await })
}

/// Tasks that live at once.
const BATCH: usize = 1000;

/// Spawns a thousand, then joins them in the order of spawning; over and over.
async fn spawn_and_join<H: Host>(operations: usize) -> usize {
    let mut done = 0;
    let mut tasks = Vec::with_capacity(BATCH);
    for _ in 0..operations / BATCH {
        tasks.extend((0..BATCH).map(|_| H::spawn(async { 1 })));
        for task in tasks.drain(..) {
            done += task.await;
        }
    }
    done
}

/// The same from the thread that is in `block_on`, which is none of the workers.
///
/// How often one of the two sleeps and is woken by the other would be chance. So the worker is held
/// while tasks are spawned, and they are joined when all have run.
async fn spawn_block_on<H: Host>(operations: usize) -> usize {
    let mut done = 0;
    let meeting = Arc::new(Barrier::new(2));
    for _ in 0..operations / BATCH {
        let holding = Arc::clone(&meeting);
        let hold = H::spawn(async move {
            holding.wait();
            holding.wait();
        });
        meeting.wait();
        let left = Arc::new(AtomicUsize::new(BATCH));
        let spawn = |_| H::spawn(task_of_batch(Arc::clone(&left), Arc::clone(&meeting)));
        let tasks: Vec<_> = (0..BATCH).map(spawn).collect();
        meeting.wait();
        meeting.wait();
        hold.await;
        for task in tasks {
            done += task.await;
        }
    }
    done
}

/// The last one says that it is.
async fn task_of_batch(left: Arc<AtomicUsize>, meeting: Arc<Barrier>) -> usize {
    if left.fetch_sub(1, SeqCst) == 1 {
        meeting.wait();
    }
    1
}

async fn spawn_await<H: Host>(operations: usize) -> usize {
    let mut done = 0;
    for _ in 0..operations {
        done += H::spawn(async { 1 }).await;
    }
    done
}

const YIELDERS: usize = 100;

/// A hundred tasks that take turns.
async fn yield_many<H: Host>(operations: usize) -> usize {
    let times = operations / YIELDERS;
    let yields = move || async move {
        for _ in 0..times {
            H::yield_now().await;
        }
        times
    };
    let tasks: Vec<_> = (0..YIELDERS).map(|_| H::spawn(yields())).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await;
    }
    done
}

/// A task that wakes itself while it is polled, and returns.
async fn self_wake(operations: usize) -> usize {
    let mut done = 0;
    poll_fn(move |cx| {
        if done == operations {
            return Poll::Ready(done);
        }
        done += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Two tasks, and a channel with room for one each way. An operation is a round.
async fn ping_pong_mpsc<H: Host>(operations: usize) -> usize {
    let (ping, mut pings) = mpsc::channel(1);
    let (pong, mut pongs) = mpsc::channel(1);
    let other = H::spawn(async move {
        while let Some(number) = pings.recv().await {
            if pong.send(number).await.is_err() {
                return;
            }
        }
    });
    let mut done = 0;
    for _ in 0..operations {
        ping.send(1).await.expect("the other one lives");
        done += pongs.recv().await.expect("the other one answers");
    }
    drop(ping);
    other.await;
    done
}

/// Two tasks with nothing between them but a number and their wakers. An operation is a round: two
/// wakes, two polls.
async fn ping_pong_raw<H: Host>(operations: usize) -> usize {
    let table = Arc::new(Table::default());
    let first = H::spawn(play(table.clone(), 0, 2 * operations));
    let second = H::spawn(play(table.clone(), 1, 2 * operations));
    first.await;
    second.await;
    table.hits.load(SeqCst) / 2
}

const LONG: Duration = Duration::from_secs(600);

/// Makes a timer, polls it, drops it.
async fn sleep_cancel<H: Host>(operations: usize) -> usize {
    let mut pending = 0;
    for _ in 0..operations {
        let mut sleep = pin!(H::sleep(LONG));
        let is_pending = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending()));
        pending += usize::from(is_pending.await);
    }
    pending
}

/// A timeout around a future that is ready.
async fn timeout_ready<H: Host>(operations: usize) -> usize {
    let mut done = 0;
    for _ in 0..operations {
        done += H::timeout(LONG, ready(1)).await.expect("it is ready");
    }
    done
}
