//! The number of a task.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::runtime::context;

/// Identifies a task among all that the process has spawned.
///
/// Ids are never used twice. They are shown in spans as `task.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    #[inline]
    pub(crate) fn next() -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        loop {
            // Relaxed: only uniqueness is asked for.
            if let Some(number) = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)) {
                return Id(number);
            }
        }
    }

    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of the task that is running on this thread, also while its future is being dropped.
///
/// # Panics
///
/// Outside of a task, which includes the future given to `block_on`.
#[track_caller]
pub fn id() -> Id {
    try_id().expect("can't get a task id when not inside a task")
}

/// The id of the task that is running on this thread, if there is one.
pub fn try_id() -> Option<Id> {
    context::task_id()
}
