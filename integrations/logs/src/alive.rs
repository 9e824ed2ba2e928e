//! Whether the thread-locals that a record needs are still there.
//!
//! OpenTelemetry keeps the current context in a thread-local, `tracing-subscriber` the current span
//! and a buffer; all panic when they are asked for after their destructors have run, and a panic in
//! a destructor of a thread-local ends the process. A record may be written there.
//!
//! They cannot be asked, but thread-locals are destroyed in the reverse of the order in which they
//! were first used: one of ours that is first used just after theirs is destroyed just before them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Copy)]
enum Theirs {
    Untouched,
    Touched,
    /// They were gone before the first record of this thread.
    Gone,
}

struct AfterTheirs;

impl Drop for AfterTheirs {
    // There to be noticed: a thread-local without a destructor is never destroyed.
    fn drop(&mut self) {}
}

thread_local! {
    // Without a destructor, so always there.
    static THEIRS: Cell<Theirs> = const { Cell::new(Theirs::Untouched) };
    static SENTINEL: AfterTheirs = const { AfterTheirs };
}

/// Whether they are there. `touch` uses each of them once; it is called for the first record of a
/// thread.
pub fn is_alive(touch: impl FnOnce()) -> bool {
    match THEIRS.get() {
        Theirs::Untouched => first(touch),
        Theirs::Touched => SENTINEL.try_with(|_| ()).is_ok(),
        Theirs::Gone => false,
    }
}

#[cold]
fn first(touch: impl FnOnce()) -> bool {
    // A record that is written within `touch` is one of a thread that knows nothing yet.
    THEIRS.set(Theirs::Gone);
    if catch_unwind(AssertUnwindSafe(touch)).is_err() {
        return false;
    }
    THEIRS.set(Theirs::Touched);
    SENTINEL.try_with(|_| ()).is_ok()
}
