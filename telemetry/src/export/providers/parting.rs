//! How the runtime parts from what belongs to the application: providers that were moved in.
//!
//! The last drop of a provider of the SDK shuts it down, and that waits for its processors and
//! readers for as long as they take. Whoever shuts a runtime down has a deadline. So the drop has a
//! thread of its own, which is waited for until then and left alone afterwards.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt_clock::instant;

use crate::export::diagnostics::warn;

/// As long is waited in any case: a drop that shuts nothing down takes no longer.
const LEAST: Duration = Duration::from_millis(50);

/// Drops `belongings` on a thread of their own, and waits for that until `deadline`.
pub(in crate::export) fn part_from(belongings: impl Send + 'static, deadline: Instant) {
    let (done, wait) = mpsc::channel::<()>();
    let parting = move || {
        // Dropped last, also if the belongings panic: that ends the wait.
        let _done = done;
        drop(belongings);
    };
    // Without a thread for it the closure is dropped here, which is late but not lost.
    if spawn(parting).is_err() {
        return;
    }
    let left = deadline.saturating_duration_since(instant());
    if wait.recv_timeout(left.max(LEAST)) == Err(RecvTimeoutError::Timeout) {
        warn(format_args!(
            "a provider that was given to the runtime did not shut down by the deadline of the \
             shutdown; that goes on, and what it has is lost if the program ends before"
        ));
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name("rt-parting".to_owned());
    thread.spawn(run).map(drop)
}
