//! How an exporter that retries learns that there is no time left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use telemetry_rt_clock::instant;

/// Says that the pipeline shuts down, and until when.
///
/// A pipeline gives it to each exporter when it starts; whatever sleeps in an exporter should
/// sleep here. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    deadline: Mutex<Option<Instant>>,
    begun: Condvar,
}

impl Stop {
    /// A shutdown that has not begun.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// The shutdown begins, and is over at `deadline`. Only the first call counts.
    pub fn begin(&self, deadline: Instant) {
        self.inner.deadline.lock().get_or_insert(deadline);
        self.inner.begun.notify_all();
    }

    /// When the shutdown is over, if it has begun.
    pub fn deadline(&self) -> Option<Instant> {
        *self.inner.deadline.lock()
    }

    /// Sleeps, but not into a shutdown: returns at once when one begins or has begun.
    pub fn sleep(&self, duration: Duration) {
        let until = instant() + duration;
        let mut deadline = self.inner.deadline.lock();
        while deadline.is_none() && instant() < until {
            self.inner.begun.wait_until(&mut deadline, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_wakes_when_the_shutdown_begins() {
        let stop = Stop::new();
        let start = instant();
        std::thread::scope(|scope| {
            scope.spawn(|| stop.sleep(Duration::from_secs(60)));
            stop.begin(instant());
        });
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(stop.deadline().is_some());
    }

    #[test]
    fn the_first_deadline_stays() {
        let stop = Stop::new();
        let first = instant();
        stop.begin(first);
        stop.begin(first + Duration::from_secs(1));
        assert_eq!(stop.deadline(), Some(first));
    }
}
