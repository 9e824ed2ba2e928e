//! What is found by whoever knows but a handle of a runtime: it is attached to the recorder.

use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry::global::BoxedTracer;
use telemetry_rt_telemetry::export::Share;
use telemetry_rt_telemetry::record::{Recorder, contexts_are_alive};

use crate::runtime::Handle;

/// The scope of spans that the API of this crate makes.
pub(crate) const SCOPE: &str = "telemetry_rt";

/// The pipeline's side, and one tracer of it that is made once for all.
pub(crate) struct Attached {
    pub(crate) share: Share,
    /// Of the scope `telemetry_rt`, for `#[span]` and guards. None if spans go nowhere.
    pub(crate) tracer: Option<BoxedTracer>,
}

/// Lets what runs on a runtime find its tracers, meters and metrics.
pub(crate) fn attach(recorder: &Recorder, share: Share) {
    let tracer = share.tracer(InstrumentationScope::builder(SCOPE).build());
    recorder.attach(Arc::new(Attached { share, tracer }));
}

/// Calls `then` with what is attached to the current runtime. There is none on a thread that is
/// ending.
pub(crate) fn of_current<R>(then: impl FnOnce(&Attached) -> R) -> Option<R> {
    if !contexts_are_alive() {
        return None;
    }
    let handle = Handle::try_current().ok()?;
    Some(then(handle.recorder().attached::<Attached>()?))
}

/// Held by the runtime: when it is dropped, callbacks of users are let go, with what they hold,
/// which may be a handle of that runtime.
pub(crate) struct Closing(pub(crate) Share);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
