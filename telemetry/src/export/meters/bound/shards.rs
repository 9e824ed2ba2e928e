//! Which of a few places does a thread count in?
//!
//! Threads are numbered as they come to record, so that as many workers as there are places have one
//! each. More threads share: that is slower, and no less right.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;

/// More would take more memory for each series than they are worth.
const MOST: usize = 4;

/// How many places there are: a power of two, and no more than the processors need.
pub(super) fn count() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| {
        let processors = available_parallelism().map_or(1, usize::from);
        processors.next_power_of_two().min(MOST)
    });
    *COUNT
}

/// The number of this thread, to be taken modulo the number of places.
#[inline]
pub(super) fn of_thread() -> usize {
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| match number.get() {
        Some(number) => number,
        None => {
            let next = next();
            number.set(Some(next));
            next
        }
    })
}

#[cold]
fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: only the number counts.
    NEXT.fetch_add(1, Relaxed)
}
