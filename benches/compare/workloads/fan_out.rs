//! Tasks with work of uneven length, which keeps a processor busy.

use std::hint::black_box;

use super::{Done, Workload};
use crate::runtime::Runtime;

/// Tasks of one fan-out.
const TASKS: usize = 200;

/// Turns of [`spin`] that take about a microsecond on a machine of 2026. A fixed number, so that
/// all contenders have the same to do.
pub const TURNS_PER_MICROSECOND: u64 = 900;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("fan_out_1us", 4_000, |_| {
            Box::new(|runtime, size| fan_out(runtime, size, 1))
        }),
        Workload::new("fan_out_10us", 400, |_| {
            Box::new(|runtime, size| fan_out(runtime, size, 10))
        }),
    ]
}

/// Each turn needs the one before: a processor cannot do several at once.
pub fn spin(turns: u64) -> u64 {
    let mut state = turns;
    for _ in 0..turns {
        state = black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
    state
}

/// How long the task of this index works, in quarters of the average: three short ones, a long one.
fn quarters(index: usize) -> u64 {
    [1, 2, 4, 9][index % 4]
}

fn fan_out<R: Runtime>(runtime: &R, size: usize, microseconds: u64) -> Done {
    let rounds = (size / TASKS).max(1);
    let quarter = microseconds * TURNS_PER_MICROSECOND / 4;
    let all = async move {
        let mut sum = 0_u64;
        for _ in 0..rounds {
            let tasks: Vec<_> = (0..TASKS)
                .map(|index| R::spawn(async move { spin(quarters(index) * quarter) & 1 }))
                .collect();
            for task in tasks {
                sum += task.await;
            }
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    let once: u64 = (0..4)
        .map(|index| spin(quarters(index) * quarter) & 1)
        .sum();
    let tasks = rounds * TASKS;
    Done::checked((tasks, tasks + 2), sum, once * (tasks / 4) as u64)
}
