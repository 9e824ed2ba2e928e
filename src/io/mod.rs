//! Readiness of file descriptors, and, with the feature `tokio-io`, tokio's I/O traits and helpers
//! and the standard streams of the process.

#[cfg(feature = "tokio-io")]
pub(crate) mod blocking;
#[cfg(feature = "tokio-io")]
mod buffer;
#[cfg(feature = "tokio-io")]
pub(crate) mod hop;
#[cfg(feature = "tokio-io")]
mod std_streams;

#[cfg(feature = "tokio-io")]
pub use std_streams::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use telemetry_rt_reactor::io::{AsyncFd, Interest, Ready};

/// The guards and errors of [`AsyncFd`].
pub mod unix {
    pub use telemetry_rt_reactor::io::{
        AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, TryIoError,
    };
}

// What is named above comes before what a glob brings, so that the types that belong to a runtime
// are always ours, whichever features of tokio other crates turn on.
#[cfg(feature = "tokio-io")]
pub use tokio::io::*;
