//! How does this crate itself wait for a while, for a socket whose runtime may have no timers?

use super::home::Home;
use super::instant::Instant;
use super::timer::Timer;
use crate::handle::Handle;
use std::future::poll_fn;
use std::time::Duration;

/// What time it is in a runtime, if it has timers.
pub(crate) fn now_at(handle: &Handle) -> Option<Instant> {
    Home::of(handle).map(Home::now)
}

/// Waits until `until`, and no longer than `most`, which counts where a clock was set back since.
/// Over at once without timers, and when the runtime is shut down.
///
/// It takes nothing of the poll's budget: what it precedes does.
pub(crate) async fn nap(handle: &Handle, until: Instant, most: Duration) {
    if let Some(home) = Home::of(handle) {
        let now = home.now();
        let mut timer = Timer::ahead(home, until.min(now.add_or_far(most)), now);
        poll_fn(|cx| timer.poll_unless_shut(cx)).await;
    }
}
