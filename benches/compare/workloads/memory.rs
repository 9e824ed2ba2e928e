//! How much memory a task takes that waits.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use super::{Body, Done, Measured, Workload};
use crate::measure::resident_bytes;
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        pending::<R, 0>("pending_task_0"),
        pending::<R, 64>("pending_task_64"),
        pending::<R, 256>("pending_task_256"),
        pending::<R, 1000>("pending_task_1000"),
    ]
}

fn pending<R: Runtime, const BYTES: usize>(name: &'static str) -> Workload<R> {
    Workload {
        name,
        size: 1_000_000,
        prepare: pending_tasks::<R, BYTES>,
        measured: Measured::Fresh(&[""], "B"),
    }
}

/// How many tasks have been polled. The process has one runtime, and the future no room.
static POLLED: AtomicUsize = AtomicUsize::new(0);

/// Waits for ever, and takes so many bytes.
struct Idle<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Future for Idle<BYTES> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(&self.0);
        POLLED.fetch_add(1, Relaxed);
        Poll::Pending
    }
}

/// Spawns all, a thousand at a time so that no queue gets long, and reads what that has added to
/// the resident memory of the process.
fn pending_tasks<R: Runtime, const BYTES: usize>(_: &R) -> Body<R> {
    Box::new(|runtime, size| {
        let before = resident_bytes();
        let polled_before = POLLED.load(Relaxed);
        let spawner = async move {
            for number in 0..size {
                R::spawn_detached(Idle([0; BYTES]));
                while number + 1 - (POLLED.load(Relaxed) - polled_before) >= 1000 {
                    R::yield_now().await;
                }
            }
            while POLLED.load(Relaxed) - polled_before < size {
                R::yield_now().await;
            }
        };
        runtime.block_on(async { R::spawn(spawner).await });
        let added = resident_bytes().saturating_sub(before);
        let polled = POLLED.load(Relaxed) - polled_before;
        let mut done = Done::checked((size, size + 2), polled, size);
        done.figures = vec![added as f64 / size as f64];
        done
    })
}
