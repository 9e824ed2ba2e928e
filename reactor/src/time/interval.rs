//! Ticks at regular times, and what becomes of those that were missed.

use super::instant::Instant;
use super::timer::Timer;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Ticks every `period`, the first time at once.
///
/// An interval measures from tick to tick: what is done between two of them does not delay the
/// third, as a sleep in a loop would.
///
/// # Panics
///
/// When `period` is zero, outside of a runtime, or when the runtime was built without time.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert_period(period);
    Interval::new(Timer::after(Duration::ZERO), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// As [`interval`].
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert_period(period);
    Interval::new(Timer::at(start), period)
}

#[track_caller]
fn assert_period(period: Duration) {
    assert!(!period.is_zero(), "`period` must be non-zero.");
}

/// When an [`Interval`] ticks next, after a tick was taken more than 5 ms late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// As if nothing was missed: the missed ticks are ready at once, one after the other, until
    /// the interval is where it would have been.
    ///
    /// ```text
    /// due    |  1  |  2  |  3  |  4  |  5  |
    /// taken  |  1  |            2 3 4 |  5  |
    /// ```
    #[default]
    Burst,
    /// One period after the late tick was taken, and on from there.
    ///
    /// ```text
    /// due    |  1  |  2  |  3  |  4  |  5  |
    /// taken  |  1  |            2  |  3  |  4
    /// ```
    Delay,
    /// At the next time that is a whole number of periods from the start; what was missed is
    /// left out.
    ///
    /// ```text
    /// due    |  1  |  2  |  3  |  4  |  5  |
    /// taken  |  1  |            2 |  4  |  5  |
    /// ```
    Skip,
}

/// How late a tick may be taken and still count as taken in time.
const TOLERANCE: Duration = Duration::from_millis(5);

impl MissedTickBehavior {
    /// When the tick after the one that was `due` and is taken `now` is due.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        let late = now.saturating_duration_since(due);
        match self {
            _ if late <= TOLERANCE => due.add_or_far(period),
            MissedTickBehavior::Burst => due.add_or_far(period),
            MissedTickBehavior::Delay => now.add_or_far(period),
            MissedTickBehavior::Skip => now.add_or_far(period - remainder(late, period)),
        }
    }
}

/// What is left of `span` after whole periods; always less than `period`.
fn remainder(span: Duration, period: Duration) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let left = span.as_nanos() % period.as_nanos();
    Duration::new((left / NANOS) as u64, (left % NANOS) as u32)
}

/// Ticks at regular times; made by [`interval`] and [`interval_at`].
pub struct Interval {
    timer: Timer,
    period: Duration,
    missed_tick_behavior: MissedTickBehavior,
}

impl Interval {
    fn new(timer: Timer, period: Duration) -> Interval {
        Interval {
            timer,
            period,
            missed_tick_behavior: MissedTickBehavior::default(),
        }
    }

    /// Waits for the next tick, and says when it was due.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: the tick is taken by whoever polls next.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick.
    ///
    /// Only the task that polled last is woken.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.timer.poll_as_leaf(cx));
        let (due, now) = (self.timer.deadline(), self.timer.now());
        let next = self.missed_tick_behavior.next(due, now, self.period);
        // Registered by the next poll: an interval that nobody waits for wakes nobody.
        self.timer.rearm(next, now);
        Poll::Ready(due)
    }

    /// Makes the next tick due one period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Makes the next tick due now.
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// Makes the next tick due `after` from now.
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(self.timer.now().add_or_far(after));
    }

    /// Makes the next tick due at `deadline`.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.timer.reset(deadline);
    }

    /// What becomes of missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed_tick_behavior
    }

    /// Says what is to become of missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed_tick_behavior = behavior;
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("next", &self.timer.deadline())
            .field("period", &self.period)
            .field("missed_tick_behavior", &self.missed_tick_behavior)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::MissedTickBehavior::{Burst, Delay, Skip};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_next_tick_after_a_late_one_is_as_the_behavior_says() {
        let due = Instant::now();
        let now = due + 25 * MS;
        for (behavior, next) in [(Burst, 10), (Delay, 35), (Skip, 30)] {
            assert_eq!(
                behavior.next(due, now, 10 * MS),
                due + next * MS,
                "{behavior:?}"
            );
        }
    }

    #[test]
    fn a_tick_that_is_a_little_late_was_not_missed() {
        let due = Instant::now();
        for behavior in [Burst, Delay, Skip] {
            assert_eq!(behavior.next(due, due + 5 * MS, 7 * MS), due + 7 * MS);
            assert_eq!(behavior.next(due, due - 5 * MS, 7 * MS), due + 7 * MS);
        }
    }

    #[test]
    fn no_period_and_no_delay_overflows() {
        let due = Instant::now();
        let nanosecond = Duration::from_nanos(1);
        let long = Duration::from_secs(200 * 365 * 24 * 3600);
        for behavior in [Burst, Delay, Skip] {
            for period in [nanosecond, MS, long, Duration::MAX] {
                for late in [Duration::ZERO, MS, 6 * MS, long] {
                    let next = behavior.next(due, due + late, period);
                    assert!(next > due, "{behavior:?} {period:?} {late:?}");
                }
            }
        }
    }
}
