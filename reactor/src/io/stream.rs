//! Reading and writing bytes, once for all streams.

use super::interest::Interest;
use super::readiness::ReadyEvent;
use super::slot::Direction;
use super::watched::Watched;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll};

/// What the two kinds of stream sockets have in common.
pub trait RawStream: AsRawFd + AsFd {
    /// Whether a read that does not fill its buffer has taken all there was, so that the next
    /// one need not be tried before more arrives.
    ///
    /// True of TCP, but for urgent data: a read ends before it, with more bytes behind. So a
    /// short read does not count where urgent data was seen, and this is false where the
    /// operating system is not asked for it. Not true of Unix sockets: there a read ends early
    /// where descriptors or credentials were sent along.
    const SHORT_READ_MEANS_EMPTY: bool;

    /// Reads once, not blocking.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads once into several buffers, not blocking.
    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    /// Writes once, not blocking.
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    /// Writes once from several buffers, not blocking.
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl RawStream for mio::net::TcpStream {
    const SHORT_READ_MEANS_EMPTY: bool = cfg!(any(target_os = "linux", target_os = "android"));

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Read::read_vectored(&mut &*self, bufs)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &*self, bufs)
    }
}

impl RawStream for mio::net::UnixStream {
    const SHORT_READ_MEANS_EMPTY: bool = false;

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Read::read_vectored(&mut &*self, bufs)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &*self, bufs)
    }
}

impl<S: RawStream> Watched<S> {
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, buf.len(), || self.get().read(buf))
    }

    /// Runs `read`, which has `room` for so many bytes, when there is something to read.
    pub(crate) fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut read: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_event_io(cx, Direction::Read, |event| {
            let count = read()?;
            if S::SHORT_READ_MEANS_EMPTY && !self.has_urgent_data() {
                self.forget_after_short(event, count, room);
            }
            Ok(count)
        })
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_event_io(cx, Direction::Write, |event| {
            let count = self.get().write(buf)?;
            self.forget_after_short(event, count, buf.len());
            Ok(count)
        })
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, || self.get().write_vectored(bufs))
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, || self.get().read(buf))
    }

    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, || self.get().read_vectored(bufs))
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || self.get().write(buf))
    }

    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || self.get().write_vectored(bufs))
    }

    /// Whether urgent data ever was reported: whoever reads does not forget it. Urgent data that
    /// has arrived and was not reported yet is an event to come, which makes the stream readable
    /// again.
    fn has_urgent_data(&self) -> bool {
        self.look(Interest::PRIORITY)
            .is_ok_and(|event| event.ready.is_priority())
    }

    /// A transfer that stopped short has used up what was there: the next one would block, and
    /// trying it costs a system call. Zero bytes are the end, not a short transfer.
    fn forget_after_short(&self, event: ReadyEvent, count: usize, room: usize) {
        if count > 0 && count < room {
            self.forget(event);
        }
    }
}
