//! The runtime: building one, entering it, blocking on a future, ending it.
//!
//! `#[telemetry_rt::main]` builds one; so does [`block_on`], for a test or a tool. For anything
//! else there is the [`Builder`].

mod builder;
#[expect(
    clippy::module_inception,
    reason = "the file is about the type `Runtime`"
)]
mod runtime;

pub use builder::Builder;
pub use runtime::Runtime;
pub use telemetry_rt_executor::{
    EnterGuard, Handle, RuntimeFlavor, RuntimeMetrics, TryCurrentError,
};

use std::future::Future;

/// Builds a multi-thread runtime with everything enabled, runs `future` to its end, and shuts the
/// runtime down: tasks that are left are dropped, and what was recorded is exported.
///
/// # Panics
///
/// If the future panics; if the runtime cannot be built; or if this thread is running asynchronous
/// tasks.
///
/// # Example
///
/// ```
/// let answer = telemetry_rt::block_on(async {
///     telemetry_rt::spawn(async { 42 }).await.unwrap()
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime
        .unwrap_or_else(|error| panic!("failed to build the runtime: {error}"))
        .block_on(future)
}
