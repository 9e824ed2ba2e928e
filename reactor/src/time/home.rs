//! Which runtime a timer belongs to, without a count of the references to it.
//!
//! Nearly every timer is made, polled and dropped while its own runtime is the current one of the
//! thread, which keeps that runtime alive. So a timer holds the *name* of its reactor, and asks the
//! thread for it. Counting a reference instead would be two atomic operations a timer, a third of
//! what else it costs to make and drop one, on one line that all workers share.
//!
//! Elsewhere (a sleep dropped by a foreign thread, polled in another runtime) the reactor is
//! looked up in the list of all, under a lock. Where it is gone, so are its wheels: nothing is
//! left to be taken out of them, and the timer will never fire.

use super::clock;
use super::instant::Instant;
use super::wheels::{WakeDriver, Wheels};
use crate::context;
use crate::handle::{Handle, Name};

/// The runtime of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home(Name);

/// A runtime as one of its timers sees it from the thread that it is used on.
pub(super) struct Visit<'a> {
    handle: &'a Handle,
    pub(super) wheels: &'a Wheels,
    /// The number of the worker that this thread is, if it is one of this runtime.
    pub(super) own_shard: Option<usize>,
}

impl Visit<'_> {
    #[inline]
    pub(super) fn wake_driver(&self, WakeDriver(wake): WakeDriver) {
        if wake {
            self.handle.wake();
        }
    }
}

impl Home {
    /// The current runtime, which has to have timers.
    #[track_caller]
    #[inline]
    pub(super) fn current() -> Home {
        let found = context::with_current(|handle| handle.map(Home::of));
        match found {
            Some(Some(home)) => home,
            Some(None) => panic!(
                "a telemetry_rt runtime was found, but timers are disabled: \
                 call `enable_time` or `enable_all` on its builder"
            ),
            None => panic!(
                "there is no timer running, must be called from the context of a telemetry_rt \
                 runtime"
            ),
        }
    }

    /// The runtime of `handle`, if it has timers.
    #[inline]
    pub(super) fn of(handle: &Handle) -> Option<Home> {
        handle.wheels().map(|_| Home(handle.name()))
    }

    /// Shows the runtime to `f`, which is none of users' code and calls none, not even a waker's.
    /// `None` when the runtime is gone.
    #[inline]
    pub(super) fn visit<R>(self, f: impl FnOnce(Visit<'_>) -> R) -> Option<R> {
        let mut f = Some(f);
        let shown = context::with_place(|handle, own_shard| {
            let handle = handle.filter(|handle| handle.name() == self.0)?;
            Some(show(handle, own_shard, f.take()?))
        });
        match (shown, f) {
            (None, Some(f)) => Handle::named(self.0).map(|handle| show(&handle, None, f)),
            (shown, _) => shown,
        }
    }

    /// What time it is there.
    #[inline]
    pub(super) fn now(self) -> Instant {
        let machine = telemetry_rt_clock::instant;
        if clock::all_run() {
            return Instant::from_std(machine());
        }
        let shown = self.visit(|visit| visit.wheels.now());
        Instant::from_std(shown.unwrap_or_else(machine))
    }
}

fn show<R>(handle: &Handle, own_shard: Option<usize>, f: impl FnOnce(Visit<'_>) -> R) -> R {
    let wheels = handle
        .wheels()
        .expect("the home of a timer is a runtime that has timers");
    f(Visit {
        handle,
        wheels,
        own_shard,
    })
}
