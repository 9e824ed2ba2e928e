//! How long it takes from a wake to the poll, when the workers are busy for half of the time.

use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::fan_out::{TURNS_PER_MICROSECOND, spin};
use super::{Body, Done, Measured, Workload};
use crate::quantile::quantile;
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![Workload {
        name: "wake_latency",
        size: 1_000,
        prepare: wake_latency,
        measured: Measured::Own(&["p50", "p99", "p99.9"], "µs"),
    }]
}

/// Tasks that are woken in turn.
const TASKS: usize = 8;

/// What each wake makes a task work.
const WORK_MICROS: u64 = 50;

/// This thread wakes a task whenever half of the workers' time since the last wake is taken by its
/// work; each task says how late it was polled.
fn wake_latency<R: Runtime>(_: &R) -> Body<R> {
    Box::new(|runtime, size| {
        let (late, delays) = blocking::channel();
        let inboxes: Vec<_> = (0..TASKS)
            .map(|_| {
                let (inbox, woken) = mpsc::unbounded_channel();
                runtime.spawn_outside_detached(sleeper(woken, late.clone()));
                inbox
            })
            .collect();
        drop(late);
        let pause = Duration::from_micros(2 * WORK_MICROS) / runtime.workers() as u32;
        let start = Instant::now();
        for number in 0..size {
            let due = pause * number as u32;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            let sent = inboxes[number % TASKS].send(Instant::now());
            sent.expect("the task lives");
        }
        drop(inboxes);
        let mut micros: Vec<f64> = delays.iter().collect();
        micros.sort_by(f64::total_cmp);
        let mut done = Done::checked((size, TASKS), micros.len(), size);
        done.figures = [0.5, 0.99, 0.999]
            .map(|share| quantile(&micros, share))
            .to_vec();
        done
    })
}

async fn sleeper(mut woken: mpsc::UnboundedReceiver<Instant>, late: blocking::Sender<f64>) {
    while let Some(wake) = woken.recv().await {
        let delay = wake.elapsed().as_secs_f64() * 1e6;
        late.send(delay).expect("the benchmark reads");
        spin(WORK_MICROS * TURNS_PER_MICROSECOND);
    }
}
