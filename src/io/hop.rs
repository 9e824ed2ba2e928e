//! One call that blocks, made on the pool: how all of `fs` reaches the file system.
//!
//! Each hop is a process of type `blocking` named after the operation. Its function returns the
//! `io::Result` itself, so that an operation that fails is recorded as one, with the error's type.

use std::io;

use crate::task::{Builder, JoinError, JoinHandle};

/// Puts `call` on the pool of the current runtime.
///
/// # Panics
///
/// Outside of a runtime.
pub(crate) fn start<R, F>(name: &'static str, call: F) -> JoinHandle<io::Result<R>>
where
    F: FnOnce() -> io::Result<R> + Send + 'static,
    R: Send + 'static,
{
    Builder::new().name(name).spawn_blocking(call)
}

/// As [`start`], for a write whose caller has been told that the bytes are taken: it is made even
/// if the runtime ends before its turn.
pub(crate) fn start_write<R, F>(name: &'static str, call: F) -> JoinHandle<io::Result<R>>
where
    F: FnOnce() -> io::Result<R> + Send + 'static,
    R: Send + 'static,
{
    Builder::new().name(name).must_run().spawn_blocking(call)
}

/// Puts `call` on the pool and waits for what it returns.
pub(crate) async fn run<R, F>(name: &'static str, call: F) -> io::Result<R>
where
    F: FnOnce() -> io::Result<R> + Send + 'static,
    R: Send + 'static,
{
    flatten(start(name, call).await)
}

/// A call that panicked, or was dropped because the runtime shuts down, is an error of I/O.
pub(crate) fn flatten<R>(joined: Result<io::Result<R>, JoinError>) -> io::Result<R> {
    joined.unwrap_or_else(|_| Err(failed()))
}

/// What is said of a call that did not return.
pub(crate) fn failed() -> io::Error {
    io::Error::other("background task failed")
}
