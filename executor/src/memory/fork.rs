//! How can a child allocate that was forked off while another thread held a lock?
//!
//! That thread does not exist in the child, and would never release it. So the thread that forks
//! takes all locks before, in the order of rule 4, and releases them after, in parent and child:
//! what they guard is then whole in both. The locks are the standard library's, because nothing but
//! their own word is touched on release, whoever was waiting in the parent.
//!
//! The global allocator does the same with its locks, and later: what is registered last runs first,
//! and it registered before it gave out the first byte.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::{MutexGuard, Once};

use super::class::{CLASSES, Class};
use super::depot::{self, Depot};
use super::store::{self, Store};

/// Sees to it that forks of this process take the locks. To be called before the first lock.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(register);
}

fn register() {
    // SAFETY: the functions live as long as the process, and take and release locks only.
    let refused = unsafe { libc::pthread_atfork(Some(lock), Some(release), Some(release)) };
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
