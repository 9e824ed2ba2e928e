//! A future that is given a limited time, and is a process of its own if such futures are traced.
//!
//! The time is the business of the reactor's type of the same name, which is inside.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use telemetry_rt_executor::FutureProcess;
use telemetry_rt_reactor::time as reactor;
use telemetry_rt_telemetry::record::{Outcome, outcome_of};

use super::error::Elapsed;
use super::{Duration, Instant};

/// Gives `future` at most `duration`.
///
/// The future is polled first: if it is ready when the time is over, its output counts. With a
/// `duration` too long to be expressed as an [`Instant`] there is no limit.
///
/// If the runtime traces futures when this is called, the future is a process of the type `future`
/// with a span that is current while it is polled: named after its function, spawned at the line
/// that calls this, begun by the first poll, below the span that is current then. It ends with the
/// state `timeout` when the time is over, else with what the future itself ends with.
///
/// Cost: one read of the clock; what [`sleep`](super::sleep) costs besides, when the future is
/// pending at its first poll. If it is traced, an allocation, and in each poll two clock reads.
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
///
/// # Example
///
/// ```
/// use telemetry_rt::time::{Duration, sleep, timeout};
///
/// async fn slow() {
///     sleep(Duration::from_secs(3600)).await;
/// }
///
/// let captured = telemetry_rt::testing::Capture::new()
///     .paused(true)
///     .otel(|otel| otel.trace_futures(true))
///     .run(async { timeout(Duration::from_secs(1), slow()).await.is_err() });
/// assert!(captured.output);
/// assert_eq!(captured.count("slow", "timeout"), 1);
/// ```
#[track_caller]
pub fn timeout<F>(duration: Duration, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture,
{
    let limited = reactor::timeout(duration, future);
    Timeout::new(limited, Location::caller())
}

/// Gives `future` until `deadline`; see [`timeout`]. It is polled once even when the deadline has
/// passed.
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
    let limited = reactor::timeout_at(deadline, future);
    Timeout::new(limited, Location::caller())
}

pin_project! {
    /// Future of [`timeout`] and [`timeout_at`].
    ///
    /// While it is pending the task is said to wait for what the inner future waits for: the
    /// deadline is only the limit.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Timeout<T> {
        // Taken out when it is dropped, which its process is to see; and by `into_inner`.
        #[pin]
        limited: Option<reactor::Timeout<T>>,
        process: FutureProcess,
    }

    impl<T> PinnedDrop for Timeout<T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.process.cancel(|| this.limited.set(None));
        }
    }
}

const THERE: &str = "the future is there until this is dropped";

impl<T> Timeout<T> {
    /// The future that is limited.
    pub fn get_ref(&self) -> &T {
        self.limited.as_ref().expect(THERE).get_ref()
    }

    /// The future that is limited.
    pub fn get_mut(&mut self) -> &mut T {
        self.limited.as_mut().expect(THERE).get_mut()
    }

    /// The future, without the limit. If it was traced, its process is cancelled.
    pub fn into_inner(mut self) -> T {
        self.limited.take().expect(THERE).into_inner()
    }
}

impl<T: Future> Timeout<T> {
    fn new(limited: reactor::Timeout<T>, site: &'static Location<'static>) -> Timeout<T> {
        Timeout {
            limited: Some(limited),
            process: FutureProcess::of::<T>(site),
        }
    }
}

impl<T: Future> Future for Timeout<T> {
    type Output = Result<T::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let limited = this.limited.as_pin_mut().expect(THERE);
        this.process.poll(|| limited.poll(cx), outcome)
    }
}

/// How the future ended: by its own output, if it came to one.
fn outcome<T>(output: &Result<T, Elapsed>) -> Outcome {
    match output {
        Ok(output) => outcome_of(output),
        Err(_) => Outcome::TimedOut,
    }
}

impl<T: fmt::Debug> fmt::Debug for Timeout<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limited.as_ref().expect(THERE).fmt(f)
    }
}
