//! Reading, writing and seeking: tokio's traits over the adapter.
//!
//! The file's own position is ahead of the task's while a read has brought more than the task has
//! taken, which happens when a read was given up. Whatever depends on the position goes back
//! first, in the same hop.

use std::fs::File as StdFile;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::{File, Inner, seek};

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = self.max_buf_size;
        self.inner.get_mut().file.poll_read(cx, target, limit)
    }
}

impl AsyncWrite for File {
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
        let limit = self.max_buf_size;
        let file = &mut self.inner.get_mut().file;
        file.poll_write(cx, source, limit, go_back_and_write)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.get_mut().file.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

fn go_back_and_write(file: &mut Arc<StdFile>, back: u64, bytes: &[u8]) -> io::Result<()> {
    if back > 0 {
        file.seek(SeekFrom::Current(-(back as i64)))?;
    }
    file.write_all(bytes)
}

impl AsyncSeek for File {
    /// Fails while an operation is under way, which `poll_complete` waits for.
    fn start_seek(mut self: Pin<&mut Self>, target: SeekFrom) -> io::Result<()> {
        let inner = self.inner.get_mut();
        if !inner.file.is_idle() {
            return Err(io::Error::other(
                "the file is busy: `poll_complete` must be ready before `start_seek`",
            ));
        }
        inner.file.start_seek(move |parts| seek(parts, target));
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        self.inner.get_mut().poll_position(cx)
    }
}

impl Inner {
    /// Waits until nothing is under way, and tells where the last seek led to.
    fn poll_position(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if let Some(result) = ready!(self.file.poll_seek(cx)) {
            self.position = result?;
        }
        Poll::Ready(Ok(self.position))
    }
}
