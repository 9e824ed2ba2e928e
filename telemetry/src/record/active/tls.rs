//! Whether OpenTelemetry's thread-local is still there.
//!
//! The API keeps the current context in a thread-local with a destructor, and panics when it is
//! asked for after that has run. A runtime may live in a thread-local, too, and drop its tasks
//! later than that. The API cannot be asked, but thread-locals are destroyed in the reverse of the
//! order in which they were first used: one of ours that is first used just after the API's is
//! destroyed just before it.

use opentelemetry::Context;

struct AfterTheContext;

thread_local! {
    static SENTINEL: AfterTheContext = {
        Context::map_current(|_| ());
        AfterTheContext
    };
}

impl Drop for AfterTheContext {
    // There to be noticed: a thread-local without a destructor is never destroyed.
    fn drop(&mut self) {}
}

/// Whether contexts can be read and attached on this thread: not when it is ending, and the API's
/// thread-local is gone.
#[inline]
pub fn is_alive() -> bool {
    SENTINEL.try_with(|_| ()).is_ok()
}
