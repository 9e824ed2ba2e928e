//! What fails a test that hangs, where the test itself must run on the thread it was called on?

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Far longer than any test takes on a slow machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Ends the process if it lives longer than a minute.
#[must_use = "it watches only as long as it lives"]
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Watches the test that calls this.
    pub fn new() -> Watchdog {
        let (alive, ended) = channel();
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        std::thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} still runs after {LIMIT:?}");
                std::process::exit(101);
            }
        });
        Watchdog { _alive: alive }
    }
}
