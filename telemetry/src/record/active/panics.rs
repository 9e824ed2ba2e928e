//! Where a panic came from.
//!
//! The payload of a panic says what happened, not where; that is told to the panic hook only. So the
//! first recorder of a process puts a hook before the one that is there, which notes the place for
//! the thread that panics and goes on to the old hook. A program that sets a hook of its own later
//! replaces this one, and its spans have panics without a place.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use opentelemetry::KeyValue;

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

struct Panic {
    message: String,
    file: String,
    line: u32,
    column: u32,
    /// Only if the environment asks for backtraces, as for the one on standard error.
    backtrace: Option<Backtrace>,
}

/// What the scheduler says of a panic whose payload is no text.
const NO_MESSAGE: &str = "Box<dyn Any>";

/// Sees to it that places are noted from now on.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    if std::thread::panicking() {
        // The hook cannot be changed now; the next recorder will do it.
        return;
    }
    WATCHED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let Some(location) = info.location() else {
        return;
    };
    let panic = Panic {
        message: info.payload_as_str().unwrap_or(NO_MESSAGE).to_owned(),
        file: location.file().to_owned(),
        line: location.line(),
        column: location.column(),
        backtrace: captured_backtrace(),
    };
    // Not when the panic is one of a thread that has lost its locals, or of this very line.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some(panic)));
}

/// Only captured here. Its symbols are looked up when it is told, so that the poll that panics
/// does not seem to take as long as that does.
fn captured_backtrace() -> Option<Backtrace> {
    let backtrace = Backtrace::capture();
    (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace)
}

/// What is known about the place of the last panic of this thread, if it is the one with this
/// message: a payload that was caught and thrown again does not come by the hook.
pub(super) fn place_of(message: &str) -> Vec<KeyValue> {
    let last = LAST.try_with(RefCell::take).ok().flatten();
    let Some(panic) = last.filter(|panic| panic.message == message) else {
        return Vec::new();
    };
    let mut place = vec![
        KeyValue::new("code.file.path", panic.file),
        KeyValue::new("code.line.number", i64::from(panic.line)),
        KeyValue::new("code.column.number", i64::from(panic.column)),
    ];
    if let Some(backtrace) = panic.backtrace {
        place.push(KeyValue::new("exception.stacktrace", backtrace.to_string()));
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    #[test]
    fn the_place_is_that_of_the_panic_with_this_message() {
        watch();
        let line = line!() + 1;
        let caught = catch_unwind(|| panic!("here"));
        let place = place_of("here");
        assert!(place.contains(&KeyValue::new("code.line.number", i64::from(line))));
        assert!(place[0].value.as_str().ends_with("panics.rs"));
        assert!(place_of("here").is_empty(), "it is told once");

        let _ = catch_unwind(|| std::panic::panic_any(7));
        assert!(!place_of(NO_MESSAGE).is_empty());

        let _ = catch_unwind(|| panic!("elsewhere"));
        let again = AssertUnwindSafe(|| resume_unwind(caught.unwrap_err()));
        let _ = catch_unwind(again);
        assert!(place_of("here").is_empty());
    }
}
