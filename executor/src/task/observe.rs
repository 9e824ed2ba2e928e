//! What the reactor's words mean to the recorder.

use telemetry_rt_reactor::leaf::{self, Left};
use telemetry_rt_telemetry::record::{Waiting, WakeCause};

/// Who is waking tasks on this thread, if it is the reactor.
#[inline]
pub(crate) fn waking_reactor() -> Option<WakeCause> {
    leaf::waking().map(|what| match what {
        leaf::Waiting::Timer => WakeCause::Timer,
        _ => WakeCause::Driver,
    })
}

/// What a task waits for that is pending.
#[inline]
pub(crate) fn waiting_of(left: Left) -> Waiting {
    match left.waiting {
        leaf::Waiting::Other => Waiting::Other,
        leaf::Waiting::Io => Waiting::Io,
        leaf::Waiting::Timer => Waiting::Timer,
        leaf::Waiting::Blocking => Waiting::Blocking,
        leaf::Waiting::Join => Waiting::Join,
    }
}
