//! How can a child allocate that was forked off while another thread held a lock?
//!
//! That thread does not exist in the child, and would never release it. So the thread that forks
//! takes all locks before, in the order of rule 4, and releases them after, in parent and child:
//! what they guard is then whole in both. The locks are the standard library's, because nothing but
//! their own word is touched on release, whoever was waiting in the parent.
//!
//! The global allocator does the same with its locks, and later: what is registered last runs first,
//! and it registered before it gave out the first byte.
//!
//! Whoever is forked off is also counted, for a runtime to find out that it is its parent's.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard, Once};

use super::class::{CLASSES, Class};
use super::depot::{self, Depot};
use super::store::{self, Store};

/// How many forks lie between this process and the first of its forebears that was watched.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Sees to it that forks of this process take the locks, and are counted. To be called before the
/// first lock, and before the first count that is kept.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(register);
}

/// A number that differs between a process and those it forks, once that is watched.
#[inline]
pub(super) fn count() -> u32 {
    // Relaxed: it changes before `fork` returns in the child, on the one thread there is, and never
    // again in this process. All that runs there comes after it.
    FORKS.load(Ordering::Relaxed)
}

fn register() {
    // SAFETY: the functions live as long as the process, take and release locks, and count.
    let refused = unsafe { libc::pthread_atfork(Some(lock), Some(release), Some(begin_child)) };
    debug_assert_eq!(refused, 0, "there is no memory for three pointers");
}

/// All locks of this module.
struct Held {
    _depots: [MutexGuard<'static, Depot>; CLASSES],
    _store: MutexGuard<'static, Store>,
}

thread_local! {
    /// What this thread holds while it forks. It needs no destructor, so that it is there even for
    /// a thread that forks while it ends.
    static HELD: Cell<Option<ManuallyDrop<Held>>> = const { Cell::new(None) };
}

extern "C" fn lock() {
    let mut classes = Class::all();
    let depots = [(); CLASSES].map(|()| {
        let class = classes.next().expect("there are as many classes");
        depot::lock(class)
    });
    HELD.set(Some(ManuallyDrop::new(Held {
        _depots: depots,
        _store: store::lock(),
    })));
}

extern "C" fn release() {
    if let Some(held) = HELD.take() {
        drop(ManuallyDrop::into_inner(held));
    }
}

extern "C" fn begin_child() {
    // Relaxed: see `count`.
    FORKS.fetch_add(1, Ordering::Relaxed);
    release();
}
