//! The socket of a connection: it shows signs of life, and closes so that the last answer arrives.
//!
//! A peer that is still sending when its answer is complete (a body that nobody wanted) would have
//! that answer taken away from it: a socket that is closed with unread data in it resets the
//! connection. So would one whose head was refused before its end, or that has sent more requests
//! than are answered. Therefore closing lingers: the writing side is closed, and what still comes is thrown
//! away, until the peer closes its side or [`LINGER`] has passed. Between two requests there is nothing
//! to wait for, and what was upgraded closes as its new owner wishes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use telemetry_rt::io::{AsyncRead, AsyncWrite, ReadBuf};
use telemetry_rt::time::{Sleep, sleep};

use super::house::Seat;
use crate::connection::Connection;

/// How long is waited for a peer that goes on sending: a few round trips, to somebody far away.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Socket<Io> {
    io: Io,
    connection: Connection,
    closing: Closing,
    _seat: Seat,
}

enum Closing {
    No,
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl<Io> Socket<Io> {
    pub(super) fn new(io: Io, connection: Connection, seat: Seat) -> Socket<Io> {
        Socket {
            io,
            connection,
            closing: Closing::No,
            _seat: seat,
        }
    }

    /// A write that has not ended is stuck until the peer takes something.
    fn note_write(&self, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(Ok(bytes)) => self.connection.vitals().count_written(bytes),
            _ => self.note(&write),
        }
        write
    }

    fn note<T>(&self, step: &Poll<io::Result<T>>) {
        match step {
            Poll::Ready(_) => self.connection.vitals().unstick(),
            Poll::Pending => self.connection.vitals().stick(),
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Socket<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.vitals().note_read();
        }
        read
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note_write(write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note_write(write)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.io).poll_flush(cx);
        // hyper flushes when all that there is to write has been taken.
        self.note(&flush);
        flush
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Closing::No = self.closing {
            let shutdown = Pin::new(&mut self.io).poll_shutdown(cx);
            self.note(&shutdown);
            ready!(shutdown)?;
            self.closing = if self.is_peer_sending(cx) {
                Closing::Lingering(Box::pin(sleep(LINGER)))
            } else {
                Closing::Done
            };
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl<Io: AsyncRead + Unpin> Socket<Io> {
    fn is_peer_sending(&mut self, cx: &mut Context<'_>) -> bool {
        let vitals = self.connection.vitals();
        if vitals.is_handed_over() {
            return false;
        }
        vitals.has_open_body() || vitals.has_open_head() || has_more(Pin::new(&mut self.io), cx)
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Closing::Lingering(until) = &mut self.closing
            && until.as_mut().poll(cx).is_pending()
        {
            ready!(poll_to_the_end(Pin::new(&mut self.io), cx));
        }
        self.closing = Closing::Done;
        Poll::Ready(())
    }
}

/// Whether something has come that nobody has read; some of it is gone then.
fn has_more<Io: AsyncRead>(io: Pin<&mut Io>, cx: &mut Context<'_>) -> bool {
    let mut scratch = [0; 64];
    let mut buf = ReadBuf::new(&mut scratch);
    io.poll_read(cx, &mut buf).is_ready() && !buf.filled().is_empty()
}

/// Reads until the peer closes its side, or the connection fails.
fn poll_to_the_end<Io: AsyncRead>(mut io: Pin<&mut Io>, cx: &mut Context<'_>) -> Poll<()> {
    let mut scratch = [0; 4096];
    loop {
        let mut buf = ReadBuf::new(&mut scratch);
        let read = ready!(io.as_mut().poll_read(cx, &mut buf));
        if read.is_err() || buf.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Limits;
    use crate::serve::house::House;
    use std::sync::Arc;
    use std::task::Waker;

    /// Keeps what is written for itself, as TLS does, and does what it is told to on a flush.
    struct Buffering {
        is_full: bool,
    }

    impl AsyncRead for Buffering {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Buffering {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.is_full {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_was_stuck_in_a_flush_is_not_stuck_when_the_flush_is_done() {
        let house = Arc::new(House::new(Limits::default()));
        let seat = Seat::take(&house, house.seat_now().unwrap());
        let connection = Connection::in_house(None, None, &house);
        let io = Buffering { is_full: true };
        let mut socket = Socket::new(io, connection.clone(), seat);
        let mut cx = Context::from_waker(Waker::noop());
        let is_stuck = || connection.vitals().signs().is_stuck;
        assert!(Pin::new(&mut socket).poll_write(&mut cx, b"x").is_ready());
        assert!(!is_stuck());
        assert!(Pin::new(&mut socket).poll_flush(&mut cx).is_pending());
        assert!(is_stuck());
        socket.io.is_full = false;
        assert!(Pin::new(&mut socket).poll_flush(&mut cx).is_ready());
        assert!(!is_stuck());
    }
}
