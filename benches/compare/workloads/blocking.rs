//! Functions on the blocking pool that do nothing.

use super::{Done, Workload, sum_below};
use crate::runtime::Runtime;

/// Functions that are handed over at once.
const BURST: usize = 500;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("blocking_seq", 500, |_| Box::new(sequential)),
        Workload::new("blocking_burst", BURST, |_| Box::new(burst)),
    ]
}

/// One after the other, each awaited.
fn sequential<R: Runtime>(runtime: &R, size: usize) -> Done {
    let all = async move {
        let mut sum = 0;
        for index in 0..size {
            sum += R::spawn_blocking(move || index).await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    Done::checked((size, size + 2), sum, sum_below(size))
}

/// 500 at once, then all are awaited; whatever the size asked for.
fn burst<R: Runtime>(runtime: &R, _: usize) -> Done {
    let all = async move {
        let burst: Vec<_> = (0..BURST)
            .map(|index| R::spawn_blocking(move || index))
            .collect();
        let mut sum = 0;
        for function in burst {
            sum += function.await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    Done::checked((BURST, BURST + 2), sum, sum_below(BURST))
}
