//! Tasks that stay on one thread, because their futures are not `Send`.
//!
//! A [`LocalSet`] is a scheduler that runs inside of another task, or of a `block_on`: it polls
//! its tasks when it is polled itself.
//!
//! Who may touch what:
//!
//! 1. A task of the set is polled, and its future dropped, on the thread that made the set. The
//!    set is not `Send`, so that is the thread on which it is polled and dropped.
//! 2. A wake may come from any thread. On the set's own thread the task goes into the local queue;
//!    from elsewhere into the queue under the lock, and the set's waker is woken.
//! 3. The last reference to a task may go on any thread; by then the future has been dropped.

mod queue;
mod set;

pub use set::{LocalEnterGuard, LocalSet, spawn_local};

pub(crate) use set::spawn_current;
