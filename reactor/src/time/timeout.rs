//! A future that is given a limited time.

use super::error::Elapsed;
use super::instant::Instant;
use super::sleep::{Sleep, sleep_until};
use crate::leaf;
use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Gives `future` at most `duration`.
///
/// The future is polled first: if it is ready when the time is over, its output counts. With a
/// `duration` too long to be expressed as an [`Instant`] there is no limit.
///
/// Cost: one read of the clock; what [`sleep`](super::sleep) costs besides, when the future is
/// pending at its first poll.
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
        delay: sleep_unless_endless(duration),
    }
}

/// Not a closure given to `map`: the location of the caller would not reach into it.
#[track_caller]
fn sleep_unless_endless(duration: Duration) -> Option<Sleep> {
    let deadline = Instant::now().checked_add(duration)?;
    Some(sleep_until(deadline))
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
        delay: Some(sleep_until(deadline)),
    }
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    ///
    /// While it is pending the task is said to wait for what the inner future waits for: the
    /// deadline is only the limit.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    #[derive(Debug)]
    pub struct Timeout<T> {
        #[pin]
        value: T,
        #[pin]
        delay: Option<Sleep>,
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
        match this.delay.as_pin_mut() {
            Some(delay) => poll_delay(delay, had_budget, cx).map(Err),
            None => Poll::Pending,
        }
    }
}

/// Looks at the deadline, also when the inner future has used the budget up: one that does so in
/// each poll would else never be stopped.
fn poll_delay(delay: Pin<&mut Sleep>, had_budget: bool, cx: &mut Context<'_>) -> Poll<Elapsed> {
    let used_up_inside = had_budget && !leaf::has_budget_remaining();
    let elapsed = if used_up_inside {
        leaf::without_budget(|| delay.poll_in_budget(cx))
    } else {
        delay.poll_in_budget(cx)
    };
    elapsed.map(|()| Elapsed::new())
}
