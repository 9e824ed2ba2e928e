//! The scheduler: which task runs next, on which worker, and who is woken for it.
//!
//! Both flavours are the same machine. A *worker* is a [`Core`] (a queue and a pen) on some
//! thread. The multi-thread runtime has several workers, each on a thread of its own; the
//! current-thread runtime has one, on whichever thread is inside of `block_on`.
//!
//! Where a ready task goes:
//!
//! | it was made ready | it goes |
//! |---|---|
//! | on a worker, by a spawn or a wake | into the worker's LIFO slot: the next to run; what was in the slot goes to the end of the queue |
//! | on a worker, by the completion of a task it awaits | the same, but to the end of the queue if that is not empty: a parent that awaits many children is polled once for all |
//! | on a worker, by its own poll | to the end of the worker's queue |
//! | anywhere else | into the injector |
//!
//! Where a worker takes its next task from: the injector on every 31st turn, and on those after it
//! for as long as there is something, 31 at the most; the LIFO slot, three times in a row at the most;
//! the queue; the injector; another worker's queue, half of it at once. On every 61st turn it looks at
//! the driver, unless it has just done so, and at one other worker, whose tasks it takes over if that
//! one has not taken any since the last time.

mod core;
mod current;
mod ending;
mod errand;
mod idle;
mod injector;
mod park;
mod queue;
mod shared;
mod stand;
mod tasks;
mod worker;

pub(crate) use self::core::Core;
pub(crate) use errand::Intervals;
pub(crate) use shared::Shared;
pub(crate) use tasks::spawn;
pub(crate) use worker::WorkerThread;

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, loom))]
mod loom_models_of_ending;
#[cfg(all(test, loom))]
mod loom_models_of_parking;
#[cfg(all(test, loom))]
mod loom_models_of_queue;
#[cfg(all(test, loom))]
mod loom_models_of_stand;
#[cfg(all(test, loom))]
mod loom_models_of_watch;
