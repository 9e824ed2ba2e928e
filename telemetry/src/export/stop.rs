//! How an exporter that retries learns that there is no time left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use telemetry_rt_clock::instant;

use super::deadline::deadline_after;
use super::exporter::Signal;

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
    shutdown: Mutex<Option<Shutdown>>,
    begun: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Shutdown {
    deadline: Instant,
    /// How long before the deadline a request is to give up, so that its own error is still said
    /// and what it held is counted in the last metrics.
    reserve: Duration,
}

const LONGEST_RESERVE: Duration = Duration::from_millis(200);

impl Stop {
    /// A shutdown that has not begun.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// The shutdown begins, and is over at `deadline`. Only the first call counts.
    pub fn begin(&self, deadline: Instant) {
        let time = deadline.saturating_duration_since(instant());
        self.inner.shutdown.lock().get_or_insert(Shutdown {
            deadline,
            reserve: LONGEST_RESERVE.min(time / 4),
        });
        self.inner.begun.notify_all();
    }

    /// When the shutdown is over, if it has begun.
    pub fn deadline(&self) -> Option<Instant> {
        self.shutdown().map(|shutdown| shutdown.deadline)
    }

    /// When a request should give up, if the shutdown has begun: up to 200 ms before it is over,
    /// so that the error is still said. Metrics are sent last, and may take a little longer.
    pub fn request_deadline(&self, signal: Signal) -> Option<Instant> {
        let Shutdown { deadline, reserve } = self.shutdown()?;
        Some(match signal {
            Signal::Traces => deadline - reserve,
            Signal::Metrics => deadline - reserve / 4,
        })
    }

    fn shutdown(&self) -> Option<Shutdown> {
        *self.inner.shutdown.lock()
    }

    /// Sleeps, but not into a shutdown: returns at once when one begins or has begun.
    pub fn sleep(&self, duration: Duration) {
        let until = deadline_after(duration);
        let mut shutdown = self.inner.shutdown.lock();
        while shutdown.is_none() && instant() < until {
            self.inner.begun.wait_until(&mut shutdown, until);
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

    #[test]
    fn requests_give_up_before_the_deadline_those_with_spans_first() {
        for (timeout, reserve) in [(5_000, 200), (100, 20)] {
            let stop = Stop::new();
            let deadline = instant() + Duration::from_millis(timeout);
            stop.begin(deadline);
            let [spans, metrics] = Signal::ALL.map(|signal| stop.request_deadline(signal).unwrap());
            assert!(spans < metrics && metrics < deadline);
            assert!(deadline - spans >= Duration::from_millis(reserve));
        }
    }
}
