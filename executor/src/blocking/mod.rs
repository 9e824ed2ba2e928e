//! Functions that block: a pool of threads for them, and the way to block a worker's own thread.

mod function;
mod in_place;
mod pool;

pub use in_place::block_in_place;

pub(crate) use function::{BlockingFunction, Detached};
pub(crate) use pool::Pool;
