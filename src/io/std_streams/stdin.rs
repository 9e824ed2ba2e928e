//! Standard input.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::io::blocking::{Blocking, MAX_HOP};

/// The standard input of the process; made by [`stdin`].
#[derive(Debug)]
pub struct Stdin {
    std: io::Stdin,
    stream: Blocking<io::Stdin>,
}

/// A handle to the standard input, for programs that are not interactive.
///
/// Reads run on the blocking pool, through the buffer that [`std::io::stdin`] has. Each handle
/// keeps what it has read and not given out, so a program should make one.
///
/// A read cannot be interrupted: a runtime that is dropped waits for it, until the next line or
/// the end of the input. Interactive programs are better off with a thread of their own, or with
/// [`Runtime::shutdown_background`](crate::runtime::Runtime::shutdown_background).
///
/// # Cancel safety
///
/// A read that is given up goes on, and the next read of this handle gets what it brings.
///
/// # Example
///
/// ```no_run
/// use telemetry_rt::io::{self, AsyncReadExt};
///
/// # telemetry_rt::block_on(async {
/// let mut input = String::new();
/// io::stdin().read_to_string(&mut input).await?;
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn stdin() -> Stdin {
    Stdin {
        std: io::stdin(),
        stream: Blocking::new(io::stdin()),
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read(cx, target, MAX_HOP)
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}
