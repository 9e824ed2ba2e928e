//! Time that stands still until a test moves it.
//!
//! The clock of a runtime of one thread can be paused. Then it moves when [`advance`] says so,
//! and by itself to the next timer when the runtime has nothing else to do.

use super::wheels::Wheels;
use crate::context;
use crate::handle::Handle;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// Stops the clock of the current runtime.
///
/// From then on [`Instant::now`](super::Instant::now) stands still, and timers wait for the clock
/// to be moved: by [`advance`], or by the runtime itself when all its tasks wait for timers and
/// nothing runs on its blocking threads. The clock is stopped at the next whole millisecond, so
/// that sleeps of whole milliseconds are exact.
///
/// # Panics
///
/// When the clock is paused already, outside of a runtime, in a runtime without time, and in one
/// of several threads.
#[track_caller]
pub fn pause() {
    change_clock(|wheels| wheels.clock().pause());
}

/// Lets the paused clock of the current runtime run again, from where it stands.
///
/// # Panics
///
/// When the clock is not paused, outside of a runtime, and in a runtime without time.
#[track_caller]
pub fn resume() {
    change_clock(|wheels| wheels.clock().resume());
}

/// Moves the paused clock of the current runtime, fires the timers that become due, and lets
/// their tasks run once.
///
/// What those tasks do next may take more polls than that: wait for it, do not count on it.
///
/// # Panics
///
/// When polled: as [`resume`], and when `duration` leads beyond the end of time.
pub async fn advance(duration: Duration) {
    change_clock(|wheels| {
        wheels.clock().advance(duration)?;
        wheels.fire_due();
        Ok(())
    });
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[track_caller]
fn change_clock(change: impl FnOnce(&Wheels) -> Result<(), &'static str>) {
    let Some(handle) = context::current() else {
        panic!("the clock can be paused, advanced and resumed only in a telemetry_rt runtime");
    };
    let Some(wheels) = handle.wheels() else {
        panic!(
            "a telemetry_rt runtime was found, but timers are disabled: \
             call `enable_time` or `enable_all` on its builder"
        );
    };
    if let Err(refused) = change(wheels) {
        panic!("{refused}");
    }
    // Another thread may do this while the driver waits by the old time.
    if wheels.is_waited_for() {
        handle.wake();
    }
}

/// While it lives, a paused clock does not move by itself: there is work that the driver cannot
/// see, such as a function on a blocking thread.
#[derive(Debug)]
#[must_use = "the clock is free to move when this is dropped"]
pub struct InhibitAutoAdvance {
    handle: Handle,
}

impl InhibitAutoAdvance {
    /// Holds the clock of `handle`'s runtime. `None` when that can never be paused, and there is
    /// nothing to hold.
    pub fn new(handle: &Handle) -> Option<InhibitAutoAdvance> {
        let wheels = handle.wheels().filter(|wheels| wheels.clock().pausable())?;
        wheels.inhibit_auto_advance();
        Some(InhibitAutoAdvance {
            handle: handle.clone(),
        })
    }
}

impl Drop for InhibitAutoAdvance {
    /// To be dropped after whoever waits for the work was woken.
    fn drop(&mut self) {
        if let Some(wheels) = self.handle.wheels() {
            wheels.allow_auto_advance();
        }
        // The driver may wait for input and output because the clock could not move.
        self.handle.wake();
    }
}
