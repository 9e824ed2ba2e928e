//! How long ago was that, roughly, for a sixth of what the exact clock costs?
//!
//! The kernel keeps the time of its last tick where processes can read it without asking the
//! processor's counter: 5 ns against 28. It lags behind by up to a tick, 10 ms with the slowest
//! kernels, 4 ms with most; by some ticks where the processor that keeps it is a virtual one that
//! stands still, until another takes over. So of a span between two readings, only what is longer than
//! those ticks has passed for certain. Where there is no such clock, the exact one is read.

use std::time::Duration;

/// Five of the longest ticks there are, 100 a second.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LAG: Duration = Duration::from_millis(50);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LAG: Duration = Duration::ZERO;

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp(Reading);

impl Stamp {
    #[inline]
    pub(super) fn now() -> Stamp {
        Stamp(read())
    }

    /// How much time has passed since at least.
    pub(super) fn passed_at_least(self) -> Duration {
        span(read(), self.0).saturating_sub(LAG)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
type Reading = nix::sys::time::TimeSpec;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn read() -> Reading {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)
        .expect("Linux has had this clock since 2.6.32")
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn span(later: Reading, earlier: Reading) -> Duration {
    Duration::from(later).saturating_sub(Duration::from(earlier))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Reading = std::time::Instant;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read() -> Reading {
    telemetry_rt_clock::instant()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn span(later: Reading, earlier: Reading) -> Duration {
    later.saturating_duration_since(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_time_has_passed_than_did() {
        let (exact, stamp) = (telemetry_rt_clock::instant(), Stamp::now());
        std::thread::sleep(Duration::from_millis(90));
        let passed = stamp.passed_at_least();
        assert!(passed <= telemetry_rt_clock::instant() - exact);
        assert!(passed >= Duration::from_millis(10), "{passed:?}");
    }
}
