//! Timers that are cancelled, that are not needed, and that expire.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Body, Done, Workload, sum_below};
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("sleep_cancel", 10_000, |runtime| sleep_cancel(runtime, 0)),
        Workload::new("sleep_cancel_1k", 30_000, |runtime| {
            sleep_cancel(runtime, 1_000)
        }),
        Workload::new("sleep_cancel_100k", 30_000, |runtime| {
            sleep_cancel(runtime, 100_000)
        }),
        Workload::new("timeout_ready", 100_000, |_| Box::new(timeout_ready)),
        Workload::new("sleep_expire_100k", 100_000, |_| Box::new(sleep_expire)),
        Workload::new("interval_ticks", 2_000, |_| Box::new(interval_ticks)),
    ]
}

const LONG: Duration = Duration::from_secs(600);

/// Polls once, and tells whether it is pending.
async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Makes a timer, polls it, drops it; with so many others pending, each for another time.
fn sleep_cancel<R: Runtime>(runtime: &R, others: u64) -> Body<R> {
    let (release, released) = oneshot::channel::<()>();
    let (ready, others_wait) = oneshot::channel();
    runtime.spawn_outside_detached(async move {
        let mut pending = Vec::new();
        for index in 0..others {
            let mut sleep = Box::pin(R::sleep(LONG + Duration::from_millis(7 * index)));
            assert!(is_pending(sleep.as_mut()).await, "it is far away");
            pending.push(sleep);
        }
        ready.send(()).expect("the benchmark waits");
        let _ = released.await;
    });
    runtime.block_on(others_wait).expect("the task says so");
    // The holder, and the `block_on` above.
    let mut before = 2;
    Box::new(move |runtime, size| {
        let _keeps_the_others = &release;
        let cancel = async move {
            let mut pending = 0;
            for _ in 0..size {
                pending += usize::from(is_pending(R::sleep(LONG)).await);
            }
            pending
        };
        let pending = runtime.block_on(async { R::spawn(cancel).await });
        let processes = 2 + std::mem::take(&mut before);
        Done::checked((size, processes), pending, size)
    })
}

/// A timeout around a future that is ready.
fn timeout_ready<R: Runtime>(runtime: &R, size: usize) -> Done {
    let all = async move {
        let mut sum = 0;
        for index in 0..size {
            sum += R::timeout(LONG, ready(index)).await.expect("it is ready");
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    Done::checked((size, 2), sum, sum_below(size))
}

const TASKS: usize = 10;

/// Ten tasks with ten thousand timers each, that expire within 50 ms. What counts is processor
/// time: the wall time is that of the timers.
fn sleep_expire<R: Runtime>(runtime: &R, size: usize) -> Done {
    let each = size / TASKS;
    let all = async move {
        let tasks: Vec<_> = (0..TASKS).map(|_| R::spawn(expire::<R>(each))).collect();
        let mut expired = 0;
        for task in tasks {
            expired += task.await;
        }
        expired
    };
    let expired = runtime.block_on(async { R::spawn(all).await });
    Done::checked((each * TASKS, TASKS + 2), expired, each * TASKS)
}

async fn expire<R: Runtime>(timers: usize) -> usize {
    let mut sleeps = Vec::with_capacity(timers);
    for index in 0..timers as u32 {
        let after = Duration::from_millis(1) + index * Duration::from_millis(49) / timers as u32;
        let mut sleep = Box::pin(R::sleep(after));
        if is_pending(sleep.as_mut()).await {
            sleeps.push(sleep);
        }
    }
    for sleep in sleeps {
        sleep.await;
    }
    timers
}

/// A hundred tasks, each with an interval of a millisecond.
fn interval_ticks<R: Runtime>(runtime: &R, size: usize) -> Done {
    const INTERVALS: usize = 100;
    let count = (size / INTERVALS).max(1);
    let all = async move {
        let ticking = move || async move {
            R::ticks(Duration::from_millis(1), count).await;
            count
        };
        let tasks: Vec<_> = (0..INTERVALS).map(|_| R::spawn(ticking())).collect();
        let mut ticks = 0;
        for task in tasks {
            ticks += task.await;
        }
        ticks
    };
    let ticks = runtime.block_on(async { R::spawn(all).await });
    let expected = count * INTERVALS;
    Done::checked((expected, INTERVALS + 2), ticks, expected)
}
