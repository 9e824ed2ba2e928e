//! Standard error, which has no buffer in `std`.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::write_all;
use crate::io::blocking::{Blocking, MAX_HOP};

/// The standard error of the process; made by [`stderr`].
#[derive(Debug)]
pub struct Stderr {
    std: io::Stderr,
    stream: Blocking<io::Stderr>,
}

/// A handle to the standard error stream.
///
/// As with [`stdout`](super::stdout()), a write is made on the blocking pool, and a
/// [`flush`](tokio::io::AsyncWriteExt::flush) waits for it.
///
/// # Example
///
/// ```
/// use telemetry_rt::io::{self, AsyncWriteExt};
///
/// # telemetry_rt::block_on(async {
/// let mut errors = io::stderr();
/// errors.write_all(b"something went wrong\n").await?;
/// errors.flush().await?;
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn stderr() -> Stderr {
    Stderr {
        std: io::stderr(),
        stream: Blocking::new(io::stderr()),
    }
}

impl AsyncWrite for Stderr {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(source)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, source, MAX_HOP, write_all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsRawFd for Stderr {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl AsFd for Stderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}
