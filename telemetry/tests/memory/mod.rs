//! How much memory a test binary holds: an allocator that counts bytes.
//!
//! They are those of the whole process, so whoever measures is alone until the measure is dropped.
#![allow(dead_code, reason = "each test file uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub const MIB: i64 = 1 << 20;

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

fn add(bytes: usize) {
    // Relaxed, as all here: numbers, and nothing else hangs on them.
    let live = LIVE.fetch_add(bytes as i64, Relaxed) + bytes as i64;
    MOST.fetch_max(live, Relaxed);
}

fn take(bytes: usize) {
    LIVE.fetch_sub(bytes as i64, Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        take(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much more memory is held than when it began, and how much more was held at most.
pub struct Growth {
    before: i64,
}

/// Each test that allocates much holds this while it runs.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Growth {
    pub fn begin() -> Growth {
        let before = LIVE.load(Relaxed);
        MOST.store(before, Relaxed);
        Growth { before }
    }

    /// Checks that never more than so many bytes were added.
    #[track_caller]
    pub fn assert_below(&self, bytes: i64) {
        let most = MOST.load(Relaxed) - self.before;
        assert!(
            most < bytes,
            "it grew by {most} bytes, and not by less than {bytes}"
        );
    }

    /// Checks that no more than so many bytes were kept.
    #[track_caller]
    pub fn assert_kept_below(&self, bytes: i64) {
        let kept = LIVE.load(Relaxed) - self.before;
        assert!(
            kept < bytes,
            "it keeps {kept} bytes, and not less than {bytes}"
        );
    }
}
