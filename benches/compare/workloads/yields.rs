//! Tasks that give others their turn, or take another themselves.

use std::future::poll_fn;
use std::task::Poll;

use super::{Done, Workload};
use crate::runtime::Runtime;

const TASKS: usize = 100;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("yield_many", 50_000, |_| Box::new(yield_many)),
        Workload::new("yield_one", 10_000, |_| Box::new(yield_one)),
        Workload::new("self_wake", 100_000, |_| Box::new(self_wake)),
    ]
}

async fn yields<R: Runtime>(times: usize) -> usize {
    for _ in 0..times {
        R::yield_now().await;
    }
    times
}

/// A hundred tasks that yield, as tokio's benchmark of the name has them.
fn yield_many<R: Runtime>(runtime: &R, size: usize) -> Done {
    let times = (size / TASKS).max(1);
    let all = async move {
        let tasks: Vec<_> = (0..TASKS).map(|_| R::spawn(yields::<R>(times))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    Done::checked((times * TASKS, TASKS + 2), sum, times * TASKS)
}

/// One task that yields, while there is nobody else.
fn yield_one<R: Runtime>(runtime: &R, size: usize) -> Done {
    let times = runtime.block_on(async { R::spawn(yields::<R>(size)).await });
    Done::checked((size, 2), times, size)
}

/// One task that wakes itself while it is polled, and returns.
fn self_wake<R: Runtime>(runtime: &R, size: usize) -> Done {
    let mut wakes = 0;
    let task = poll_fn(move |cx| {
        if wakes == size {
            return Poll::Ready(wakes);
        }
        wakes += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let wakes = runtime.block_on(async { R::spawn(task).await });
    Done::checked((size, 2), wakes, size)
}
