//! The cooperative budget, for users: how to have none, how to take part.
//!
//! A poll of a task may complete [128](telemetry_rt_reactor::leaf::BUDGET) operations of this
//! runtime's own futures (sockets, timers, join handles); then they return `Pending` once, so that
//! other tasks have their turn. Futures of other crates, channels among them, do not count: a task
//! that does nothing but receive from a channel that is always full should call
//! [`consume_budget`] or [`yield_now`](crate::yield_now).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use telemetry_rt_reactor::leaf;

pub use telemetry_rt_reactor::leaf::{Proceed, has_budget_remaining, poll_proceed};

/// Takes one unit of the budget, and gives others a turn when it is used up.
pub async fn consume_budget() {
    poll_fn(|cx| {
        ready!(poll_proceed(cx)).made_progress();
        Poll::Ready(())
    })
    .await;
}

pin_project! {
    /// A future without budget; made by [`unconstrained`].
    #[must_use = "futures do nothing unless awaited"]
    #[derive(Debug)]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

/// Runs a future without budget: it may keep its worker for as long as it is ready.
pub fn unconstrained<F>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.project().future;
        leaf::without_budget(|| future.poll(cx))
    }
}
