//! How many bytes are allocated? Resident memory does not tell: the allocator keeps what it is given
//! back, for the next storm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

/// Counts, and leaves the work to the system's allocator.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A part of the count on a cache line of its own, so that threads do not wait for each other.
#[repr(align(128))]
struct Part(AtomicI64);

const PARTS: usize = 16;
static LIVE: [Part; PARTS] = [const { Part(AtomicI64::new(0)) }; PARTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The part of a thread, once it has one.
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// KiB that are allocated and not freed.
pub fn live() -> i64 {
    LIVE.iter().map(|part| part.0.load(Relaxed)).sum::<i64>() / 1024
}

fn count(bytes: i64) {
    LIVE[part()].0.fetch_add(bytes, Relaxed);
}

fn part() -> usize {
    let own = OWN.try_with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) % PARTS);
        }
        own.get()
    });
    // Gone while a thread ends.
    own.unwrap_or(0)
}

fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}
