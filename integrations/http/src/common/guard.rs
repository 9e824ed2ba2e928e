//! What if a function of the application panics? It takes nothing with it: the panic is caught, the
//! first one is a warning, and the request goes on as if the function had returned.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::warn::warn;

/// Guards the functions of one layer.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    has_warned: AtomicBool,
}

impl Guard {
    /// Calls a function of the application; `None` if it panicked. `name` says which it is.
    pub(crate) fn call<R>(
        &self,
        name: fmt::Arguments<'_>,
        function: impl FnOnce() -> R,
    ) -> Option<R> {
        // What the function has of its own it finds as its panic left it.
        let result = catch_unwind(AssertUnwindSafe(function));
        if result.is_err() {
            self.warn_once(name);
        }
        result.ok()
    }

    #[cold]
    fn warn_once(&self, name: fmt::Arguments<'_>) {
        // Relaxed: nothing else hangs on it; `swap` lets one of two threads warn.
        if !self.has_warned.swap(true, Relaxed) {
            warn(format_args!(
                "the {name} panicked; requests go on without it, and further panics are not reported"
            ));
        }
    }
}
