//! How a duration, however long, becomes a moment.

use std::time::{Duration, Instant};

use telemetry_rt_clock::instant;

/// Nobody waits longer, and the clock can tell this moment for sure.
const FAR_AWAY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The moment this long from now. Whoever says `Duration::MAX` means "without a limit", and gets
/// ten years.
pub(super) fn deadline_after(duration: Duration) -> Instant {
    instant() + duration.min(FAR_AWAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_duration_is_a_moment_far_away() {
        assert!(deadline_after(Duration::MAX) > instant() + Duration::from_secs(1 << 20));
        assert!(deadline_after(Duration::ZERO) <= instant());
    }
}
