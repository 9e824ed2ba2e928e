//! The executor of telemetry_rt: it runs tasks, and writes down what they do.
//!
//! In reading order:
//!
//! * `task`: the cell of a task, its state word, and what happens in a poll.
//! * `scheduler`: the workers, their queues, how they sleep and are woken.
//! * `memory`: where the memory of cells comes from, and where it goes.
//! * `blocking`: functions that block, on threads of their own.
//! * `runtime`: start, handle, context, `block_on`, end.
//! * `local`, `join_set`, `task_local`, `coop`, `builder`, `process`: what users build on top.
//!
//! What is recorded, and what it costs, is the business of
//! [`telemetry_rt_telemetry::record`]; the scheduler calls it once a moment, and reads as if it
//! did not. Without the feature `telemetry` those calls are empty.

mod blocking;
mod builder;
pub mod coop;
mod join_set;
mod local;
mod memory;
#[cfg(feature = "telemetry")]
mod process;
mod quietly;
mod registry;
mod runtime;
mod scheduler;
mod sync;
mod task;
mod task_local;
mod yield_now;

pub use blocking::block_in_place;
pub use builder::Builder;
pub use join_set::{JoinSet, SetBuilder};
pub use local::{LocalEnterGuard, LocalSet, spawn_local};
#[cfg(feature = "telemetry")]
pub use process::FutureProcess;
pub use runtime::{
    Config, EnterGuard, Handle, Hook, Os, Runtime, RuntimeFlavor, RuntimeMetrics, StdThreads,
    ThreadName, TryCurrentError,
};
pub use task::{AbortHandle, Id, JoinError, JoinHandle, id, try_id};
pub use task_local::{AccessError, LocalKey, TaskLocalFuture};
pub use yield_now::yield_now;

use std::future::Future;

/// Spawns a future on the current runtime; see [`Handle::spawn`].
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime::spawn_here(future)
}

/// Runs a function that blocks on the pool of the current runtime; see
/// [`Handle::spawn_blocking`].
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn spawn_blocking<F, R>(function: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Handle::current().spawn_blocking(function)
}

/// A small runtime for the examples of this crate's documentation.
#[doc(hidden)]
pub fn doc_runtime() -> Runtime {
    let recorder = telemetry_rt_telemetry::record::Recorder::new(Default::default());
    let mut config = Config::new(RuntimeFlavor::CurrentThread, 1);
    config.enable_io = true;
    config.enable_time = true;
    Runtime::new(config, recorder).expect("a runtime without worker threads starts")
}

/// For the fuzzer: does these steps to some tasks, and compares them with what they should be.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_tasks(bytes: &[u8]) {
    task::fuzz::run(bytes);
}

/// For the fuzzer: takes memory and gives it back in this order, and looks whether it is whole.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_memory(bytes: &[u8]) {
    memory::fuzz::run(bytes);
}
