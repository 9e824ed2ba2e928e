//! On which runtimes does a test run, and what fails it when it hangs?

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use telemetry_rt::runtime::{Builder, Runtime};

/// Far longer than any test takes on a slow machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Calls `test` with a runtime of each kind: of the calling thread, and of 1, 2 and 4 workers.
///
/// # Panics
///
/// If `test` panics, or it and the end of its runtime take longer than a minute.
#[track_caller]
pub fn on_each_runtime(test: impl Fn(Runtime) + Send + Sync + 'static) {
    let test = Arc::new(test);
    for workers in [0, 1, 2, 4] {
        let test = Arc::clone(&test);
        bounded(workers, move || test(runtime(workers)));
    }
}

/// A runtime of so many workers; of the calling thread if it has none.
fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .expect("the operating system has threads and descriptors left")
}

#[track_caller]
fn bounded(workers: usize, test: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        // Dropped when the test ends, in whichever way.
        let _done = done;
        test();
    });
    match ended.recv_timeout(LIMIT) {
        Err(RecvTimeoutError::Timeout) => {
            panic!("with {workers} workers the test still runs after {LIMIT:?}")
        }
        _ => thread.join().unwrap_or_else(|payload| {
            eprintln!("the test failed with {workers} workers");
            resume_unwind(payload)
        }),
    }
}
