//! Functions that block: a pool of threads for them, and the way to block a worker's own thread.

mod desk;
mod function;
mod in_place;
#[cfg(all(test, loom))]
mod loom_models;
mod pool;
mod seat;

pub use in_place::block_in_place;

pub(crate) use function::{BlockingFunction, Detached};
pub(crate) use pool::Pool;
