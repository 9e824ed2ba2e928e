//! A future that is given a limited time.
//!
//! Most futures that are given a limit are ready long before it, many at their first poll: a
//! message is there, a lock is free. For these a limit that reads no clock is half of what there
//! is to save, so the deadline is reckoned only when the future has turned out to be pending.
//! Until then the limit is a duration and a [`Stamp`] of when it was made. Where a clock was ever
//! paused, tests expect virtual time to be exact, and the deadline is reckoned at once.

use super::clock;
use super::coarse::Stamp;
use super::error::Elapsed;
use super::home::Home;
use super::instant::Instant;
use super::timer::Timer;
use crate::leaf;
use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Gives `future` at most `duration` from now.
///
/// The future is polled first: if it is ready when the time is over, its output counts. With a
/// `duration` too long to be expressed as an [`Instant`] there is no limit.
///
/// Where the first poll comes much later than this call, the limit may be up to 60 ms too long; and
/// it counts from that poll if a clock was paused for the first time in between. If that matters, use
/// [`timeout_at`].
///
/// Cost: a few nanoseconds when the future is ready at its first poll; what
/// [`sleep`](super::sleep) costs besides, when it is pending.
///
/// # Errors
///
/// [`Elapsed`] when the time is over. The future is dropped with the `Timeout`, not before.
///
/// # Panics
///
/// As [`sleep`](super::sleep).
///
/// # Cancel safety
///
/// That of `future`.
#[track_caller]
pub fn timeout<F>(duration: Duration, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture,
{
    Timeout {
        value: future.into_future(),
        delay: Delay::of(duration),
    }
}

/// Gives `future` until `deadline`. It is polled once even when the deadline has passed.
///
/// # Errors
///
/// [`Elapsed`] when the deadline has passed.
///
/// # Panics
///
/// As [`sleep`](super::sleep).
#[track_caller]
pub fn timeout_at<F>(deadline: Instant, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture,
{
    Timeout {
        value: future.into_future(),
        delay: Delay::Begun(Timer::at(deadline)),
    }
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    ///
    /// While it is pending the task is said to wait for what the inner future waits for: the
    /// deadline is only the limit.
    #[project(!Unpin)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    #[derive(Debug)]
    pub struct Timeout<T> {
        #[pin]
        value: T,
        delay: Delay,
    }
}

#[derive(Debug)]
enum Delay {
    /// Until the future has been polled and was pending.
    Limited(Limit),
    Begun(Timer),
    Endless,
}

/// A deadline that is not reckoned yet.
#[derive(Debug)]
struct Limit {
    home: Home,
    made: Stamp,
    duration: Duration,
}

impl Delay {
    #[track_caller]
    #[inline]
    fn of(duration: Duration) -> Delay {
        let limit = Limit {
            home: Home::current(),
            made: Stamp::now(),
            duration,
        };
        if clock::all_run() {
            return Delay::Limited(limit);
        }
        let now = limit.home.now();
        limit.begin(now, now)
    }

    /// Looks at the deadline.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        if let Delay::Limited(limit) = self {
            let now = limit.home.now();
            // What has passed was real time: of no meaning to a clock that was paused meanwhile.
            let passed = match clock::all_run() {
                true => limit.made.passed_at_least(),
                false => Duration::ZERO,
            };
            let made = now.checked_sub(passed);
            *self = limit.begin(made.unwrap_or(now), now);
        }
        match self {
            Delay::Begun(timer) => timer.poll_in_budget(cx).map(|()| Elapsed::new()),
            Delay::Limited(_) | Delay::Endless => Poll::Pending,
        }
    }
}

impl Limit {
    fn begin(&self, made: Instant, now: Instant) -> Delay {
        match made.checked_add(self.duration) {
            Some(deadline) => Delay::Begun(Timer::ahead(self.home, deadline, now)),
            None => Delay::Endless,
        }
    }
}

impl<T> Timeout<T> {
    /// The future that is limited.
    pub fn get_ref(&self) -> &T {
        &self.value
    }

    /// The future that is limited.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// The future, without the limit.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: Future> Future for Timeout<T> {
    type Output = Result<T::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let had_budget = leaf::has_budget_remaining();
        if let Poll::Ready(output) = this.value.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        poll_delay(this.delay, had_budget, cx).map(Err)
    }
}

/// Looks at the deadline, also when the inner future has used the budget up: one that does so in
/// each poll would else never be stopped.
fn poll_delay(delay: &mut Delay, had_budget: bool, cx: &mut Context<'_>) -> Poll<Elapsed> {
    let used_up_inside = had_budget && !leaf::has_budget_remaining();
    if used_up_inside {
        leaf::without_budget(|| delay.poll(cx))
    } else {
        delay.poll(cx)
    }
}
