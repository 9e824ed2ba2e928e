//! A file descriptor's cached readiness, and who waits for it.
//!
//! The operating system says once that a descriptor *became* ready (edge-triggered), so the
//! reactor remembers it until an operation finds that it is no longer true. In reading order:
//!
//! * `interest`: [`Interest`] and [`Ready`], the two sets.
//! * `kind`: what the reports of the operating system mean for which kind of descriptor.
//! * `readiness`: the word that remembers, and forgets only what was seen.
//! * `slot`: the word and the wakers of those who wait for it; one per descriptor.
//! * `registry`: all slots of a driver, found by token.
//! * `watched`: a descriptor with its slot, and the ways to wait for it. All sockets have one.
//! * `stream`: reading and writing bytes on top of that.
//! * `async_fd`: [`AsyncFd`], the same for descriptors of any kind.
//! * `tokio_io`: tokio's traits for our streams, and reading into memory not yet initialised.

mod async_fd;
mod interest;
mod kind;
mod readiness;
mod registry;
mod slot;
mod stream;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod watched;

pub use async_fd::{
    AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, TryIoError,
};
pub use interest::{Interest, Ready};
pub(crate) use kind::Kind;
pub(crate) use registry::{Arrivals, Registry, WAKEUP};
pub(crate) use slot::Direction;
pub use stream::RawStream;
#[cfg(feature = "tokio-io")]
pub(crate) use tokio_io::try_read_buf;
pub use watched::Watched;
