//! Standard output, which has a buffer in `std` that must be flushed as well.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::write_all;
use crate::io::blocking::{Blocking, MAX_HOP};

/// The standard output of the process; made by [`stdout`].
#[derive(Debug)]
pub struct Stdout {
    std: io::Stdout,
    stream: Blocking<io::Stdout>,
    /// Whether something was written since the last flush.
    unflushed: bool,
}

/// A handle to the standard output.
///
/// A write is copied (at most 2 MiB at once) and made on the blocking pool, through the buffer
/// that [`std::io::stdout`] has. It has reached the stream only after a
/// [`flush`](tokio::io::AsyncWriteExt::flush): what was not flushed when the runtime ends can be
/// lost.
///
/// Writes of several handles, or of `println!`, are not mixed within one write, but in any order.
///
/// # Errors
///
/// The error of a write is that of the next write or flush.
///
/// # Example
///
/// ```
/// use telemetry_rt::io::{self, AsyncWriteExt};
///
/// # telemetry_rt::block_on(async {
/// let mut output = io::stdout();
/// output.write_all(b"Hello, world!\n").await?;
/// output.flush().await?;
/// # io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn stdout() -> Stdout {
    Stdout {
        std: io::stdout(),
        stream: Blocking::new(io::stdout()),
        unflushed: false,
    }
}

impl AsyncWrite for Stdout {
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
        let taken = ready!(self.stream.poll_write(cx, source, MAX_HOP, write_all))?;
        self.unflushed = true;
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_flush(cx))?;
        if std::mem::take(&mut self.unflushed) {
            self.stream.start_flush();
        }
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsRawFd for Stdout {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl AsFd for Stdout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}
