//! Where is the core of a current-thread runtime while nobody runs it?
//!
//! Whoever blocks on such a runtime takes the core from here, if it is here, and brings it back. Who
//! finds none waits until it is back, or until the own future was woken, whichever comes first. Both are
//! looked at under the lock, and both are told with the lock taken in between, so that nothing falls
//! between the look and the wait.

use crate::sync::{Condvar, Mutex};

/// See the module.
pub(super) struct Stand<C> {
    core: Mutex<Option<C>>,
    changed: Condvar,
}

impl<C> Stand<C> {
    pub(super) fn new() -> Stand<C> {
        Stand {
            core: Mutex::new(None),
            changed: Condvar::new(),
        }
    }

    pub(super) fn put(&self, core: C) {
        *self.core.lock() = Some(core);
        self.changed.notify_all();
    }

    pub(super) fn take(&self) -> Option<C> {
        self.core.lock().take()
    }

    /// Waits until the core may be had or `ready` says that there is no need for it any more.
    pub(super) fn wait(&self, ready: impl Fn() -> bool) {
        let mut core = self.core.lock();
        while core.is_none() && !ready() {
            self.changed.wait(&mut core);
        }
    }

    /// What some `ready` says may have changed.
    pub(super) fn tell(&self) {
        // The lock is taken so that this cannot fall between the look and the wait.
        drop(self.core.lock());
        self.changed.notify_all();
    }
}
