//! How is user code called whose panic nobody is there to hear of: a drop, a foreign waker, a hook?

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`, and goes on if it panics. The panic hook has told so by then.
pub(crate) fn quietly(f: impl FnOnce()) {
    let caught = catch_unwind(AssertUnwindSafe(f));
    if let Err(payload) = caught {
        // The payload is user code as well, and may panic in its own drop.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(payload);
        }
    }
}
