//! When ticks were, for people: taken once, and good for all records that are drained together.
//!
//! An `Anchor` of the clock answers with a `SystemTime`, whose every conversion from and into the
//! nanoseconds of OTLP divides. Here the date of one tick is kept in nanoseconds; all others lie
//! before or after it by a multiplication. Both routes of export ask here, so they agree to the
//! nanosecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetry_rt_clock::{Anchor, Scale, Ticks, ticks};

/// What turns ticks into dates and lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    tick: Ticks,
    /// When that was, since 1970.
    nanos: u64,
    scale: Scale,
}

impl Calendar {
    /// Reads both clocks: 1 µs.
    pub(super) fn now() -> Calendar {
        let anchor = Anchor::now();
        let tick = ticks();
        let since = anchor.date(tick).duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default().as_nanos();
        Calendar {
            tick,
            nanos: u64::try_from(since).unwrap_or(u64::MAX),
            scale: anchor.scale(),
        }
    }

    /// The same in each test.
    #[cfg(test)]
    pub(super) fn of_tests() -> Calendar {
        Calendar {
            tick: Ticks(1 << 40),
            nanos: 1 << 60,
            scale: Scale::current(),
        }
    }

    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub(super) fn nanos(&self, tick: Ticks) -> u64 {
        let before = self.scale.nanos(self.tick.since(tick));
        let after = self.scale.nanos(tick.since(self.tick));
        self.nanos.saturating_sub(before).saturating_add(after)
    }

    pub(super) fn date(&self, tick: Ticks) -> SystemTime {
        date_of(self.nanos(tick))
    }
}

/// A date from nanoseconds since 1970.
pub(super) fn date_of(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry_rt_clock::wall;

    #[test]
    fn dates_keep_the_order_and_the_distance_of_ticks() {
        let early = ticks();
        let calendar = Calendar::now();
        let late = ticks();
        assert!(calendar.date(early) <= calendar.date(late));
        let far = Ticks(late.0 + calendar.scale().ticks(1_000_000_000));
        let distance = calendar.nanos(far) - calendar.nanos(late);
        assert!(distance.abs_diff(1_000_000_000) <= 2, "{distance}");
        let away = wall()
            .duration_since(calendar.date(early))
            .unwrap_or_default();
        assert!(away < Duration::from_secs(60), "{away:?}");
    }

    #[test]
    fn what_no_date_can_show_is_the_nearest_that_can_be_shown() {
        let calendar = Calendar {
            tick: Ticks(1 << 40),
            nanos: 5,
            scale: Scale::current(),
        };
        assert_eq!(calendar.nanos(Ticks(0)), 0);
        assert_eq!(calendar.date(Ticks(0)), UNIX_EPOCH);
    }
}
