//! A thread that blocks on a future of the runtime's, within a task or on the pool, waits for what
//! the driver brings: it learns when there is no driver any more, or the shutdown would wait for it
//! as long as it waits for the driver.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::block_in_place;
use telemetry_rt::time::sleep;

/// Shuts a runtime down while a function of it blocks on a timer; tells how long that took.
fn shut_down(mut builder: Builder, in_place: bool) -> Duration {
    let runtime = builder.enable_all().build().unwrap();
    let (sender, receiver) = mpsc::channel();
    let blocks = move || {
        Handle::current().block_on(async {
            sender.send(()).unwrap();
            sleep(Duration::from_millis(200)).await;
        });
    };
    match in_place {
        true => drop(runtime.spawn(async move { block_in_place(blocks) })),
        false => drop(runtime.spawn_blocking(blocks)),
    }
    receiver.recv().unwrap();
    let start = Instant::now();
    runtime.shutdown_timeout(Duration::from_secs(10));
    start.elapsed()
}

#[test]
fn a_shutdown_does_not_wait_for_timers_that_nobody_watches() {
    for (workers, in_place) in [
        (Some(1), true),
        (Some(2), true),
        (Some(1), false),
        (None, false),
    ] {
        let mut builder = Builder::new_current_thread();
        if let Some(workers) = workers {
            builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
        }
        let took = shut_down(builder, in_place);
        let what = format!("{workers:?} workers, in place: {in_place}");
        assert!(took < Duration::from_secs(9), "{what}: {took:?}");
    }
}
