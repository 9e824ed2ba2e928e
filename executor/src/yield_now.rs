//! Giving others a turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Returns to the scheduler once, so that other tasks run before this one goes on.
///
/// The task goes to the end of its worker's queue.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
pub async fn yield_now() {
    YieldNow { yielded: false }.await;
}

struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
