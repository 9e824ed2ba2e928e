//! A future that is ready at a point in time.

use super::instant::Instant;
use super::timer::Timer;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits until `duration` has passed.
///
/// The sleep is never shorter, and usually up to 2 ms longer. A `duration` too long to be
/// expressed as an [`Instant`] is taken for thirty years.
///
/// Cost: one read of the clock here; a lock of the worker's own when it is
/// first polled and when it is dropped; no allocation, and no system call on a worker.
///
/// # Panics
///
/// Outside of a runtime, or when the runtime was built without time. The runtime is looked for
/// here, not when the future is polled.
///
/// # Cancel safety
///
/// Dropping it, on any thread, gives up waiting and has no other effect.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep {
        timer: Timer::after(duration),
    }
}

/// Waits until `deadline`. One that has passed is ready at once.
///
/// # Panics
///
/// As [`sleep`].
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        timer: Timer::at(deadline),
    }
}

pin_project! {
    /// Future of [`sleep`] and [`sleep_until`].
    ///
    /// It is not `Unpin`: pin it (`std::pin::pin!`, `Box::pin`) to poll it by reference, as one
    /// does in a `select!` in a loop.
    ///
    /// # Panics
    ///
    /// Polling it panics when its runtime was shut down before the deadline: it could only hang.
    #[project(!Unpin)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Sleep {
        timer: Timer,
    }
}

impl Sleep {
    /// When it is ready.
    pub fn deadline(&self) -> Instant {
        self.timer.deadline()
    }

    /// Whether the deadline has passed.
    ///
    /// Cost: one read of the clock, unless it has been polled to its end.
    pub fn is_elapsed(&self) -> bool {
        self.timer.is_elapsed()
    }

    /// Sets another deadline, whether the sleep is pending, elapsed or was never polled.
    ///
    /// A task that waits for it is woken at the new deadline without having to poll it again.
    ///
    /// Cost: when pending, one lock of the shard that it is in; no allocation.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        self.project().timer.reset(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().timer.poll_as_leaf(cx)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("timer", &self.timer).finish()
    }
}
