//! What time it is, as the current runtime sees it.

use super::clock;
use crate::context;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A point in time of the monotonic clock, or of the clock of a runtime that is
/// [paused](super::pause).
///
/// It is [`std::time::Instant`] with a [`now`](Instant::now) that tests can stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    std: std::time::Instant,
}

/// Thirty years: where a deadline goes that is too late to be expressed.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl Instant {
    /// The present: that of the current runtime while its clock is paused or was, that of the
    /// machine otherwise.
    ///
    /// Cost: one read of the monotonic clock; a thread-local and a lock besides, once any clock
    /// of the process has been paused.
    #[inline]
    pub fn now() -> Instant {
        if clock::all_run() {
            return Instant::from_std(telemetry_rt_clock::instant());
        }
        now_of_current()
    }

    /// The same point in time, as this type.
    pub fn from_std(std: std::time::Instant) -> Instant {
        Instant { std }
    }

    /// The same point in time, as the standard library's type.
    pub fn into_std(self) -> std::time::Instant {
        self.std
    }

    /// How much time passed since `earlier`; zero when that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// How much time passed since `earlier`; `None` when that is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.std.checked_duration_since(earlier.std)
    }

    /// How much time passed since `earlier`; zero when that is later.
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.std.saturating_duration_since(earlier.std)
    }

    /// How much time passed since this point; zero when it is still to come.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }

    /// This point in time moved by `duration`; `None` when that cannot be expressed.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.std.checked_add(duration).map(Instant::from_std)
    }

    /// This point in time moved back by `duration`; `None` when that cannot be expressed.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        self.std.checked_sub(duration).map(Instant::from_std)
    }

    /// This point in time moved by `duration`, or thirty years from it when that cannot be
    /// expressed.
    pub(super) fn add_or_far(self, duration: Duration) -> Instant {
        self.checked_add(duration)
            .or_else(|| self.checked_add(FAR))
            .unwrap_or(self)
    }
}

#[cold]
fn now_of_current() -> Instant {
    let std = context::with_current(|handle| {
        let wheels = handle.and_then(|handle| handle.wheels());
        wheels.map_or_else(telemetry_rt_clock::instant, |wheels| wheels.now())
    });
    Instant { std }
}

impl From<std::time::Instant> for Instant {
    fn from(std: std::time::Instant) -> Instant {
        Instant::from_std(std)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> std::time::Instant {
        instant.into_std()
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    ///
    /// When the result cannot be expressed; see [`Instant::checked_add`].
    fn add(self, duration: Duration) -> Instant {
        Instant::from_std(self.std + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero when `earlier` is later.
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    ///
    /// When the result cannot be expressed; see [`Instant::checked_sub`].
    fn sub(self, duration: Duration) -> Instant {
        Instant::from_std(self.std - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_never_negative() {
        let early = Instant::now();
        let late = early + Duration::from_secs(1);
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(early.duration_since(late), Duration::ZERO);
        assert_eq!(early.checked_duration_since(late), None);
        assert_eq!(late.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_deadline_that_is_too_late_is_thirty_years_away() {
        let now = Instant::now();
        assert_eq!(now.add_or_far(Duration::MAX) - now, FAR);
        assert_eq!(now.add_or_far(FAR * 2) - now, FAR * 2);
    }
}
