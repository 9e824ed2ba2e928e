//! A call within a span: what a function under `#[span]` becomes that is not `async`.
//!
//! Guards that are opened in it belong to whatever polls this thread, as in any function: one that
//! it returns stays open, and current, for its caller.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use opentelemetry::KeyValue;

use super::spans;

/// Calls a function within a span.
pub fn span_sync<T>(
    name: &'static str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    file: &'static str,
    line: u32,
    function: &'static str,
    body: impl FnOnce() -> T,
) -> T {
    let context = spans::begin_function(name, attributes, (file, line, function));
    let attached = spans::make_current(&context);
    let called = catch_unwind(AssertUnwindSafe(body));
    drop(attached);
    match called {
        Ok(output) => {
            spans::end(&context, &output);
            output
        }
        Err(payload) => {
            spans::end_panicked(&context);
            resume_unwind(payload)
        }
    }
}
