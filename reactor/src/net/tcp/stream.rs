//! A TCP connection.

use crate::io::{Direction, Interest, Watched};
use crate::net::addr::{ToSocketAddrs, no_address};
use crate::net::split;
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

/// A TCP connection.
///
/// Dropping it closes the connection; to end only the writing, shut it down.
pub struct TcpStream {
    watched: Watched<mio::net::TcpStream>,
}

descriptor!(TcpStream, mio::net::TcpStream, std::net::TcpStream, Stream);
readiness!(TcpStream);
stream!(TcpStream);

impl TcpStream {
    /// Connects to the first of the addresses that answers, trying them in turn.
    ///
    /// # Errors
    ///
    /// Of the last address that was tried.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    ///
    /// # Cancel safety
    ///
    /// When this is dropped, the connection that was being made is given up.
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let mut last_error = no_address();
        for addr in addr.resolve().await? {
            match TcpStream::connect_to(addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    async fn connect_to(addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connecting(mio::net::TcpStream::connect(addr)?).await
    }

    /// Waits until a connection that was begun is made, or has failed.
    pub(crate) async fn connecting(raw: mio::net::TcpStream) -> io::Result<TcpStream> {
        let stream = TcpStream::from_raw(raw)?;
        // Writable says that it is over, the error which way it ended.
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr()
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().peer_addr()
    }

    /// Reads without taking: the next read gives the same bytes. Cancel safe.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let peek = || self.watched.get().peek(buf);
        self.async_io(Interest::READABLE, peek).await
    }

    /// As [`peek`](TcpStream::peek); of several tasks, the last one is woken.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let peek = || self.watched.get().peek(buf);
        self.watched.poll_io(cx, Direction::Read, peek)
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.watched.get().nodelay()
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.watched.get().set_nodelay(nodelay)
    }

    /// How long closing the connection waits for data that is still to be sent (`SO_LINGER`).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// Sets how long closing the connection waits for data that is still to be sent, in whole
    /// seconds (`SO_LINGER`). Anything but `None` and zero blocks the thread that drops it.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    /// Makes closing the connection reset it, and throw away what is still to be sent.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }

    /// The time to live of the packets sent.
    pub fn ttl(&self) -> io::Result<u32> {
        self.watched.get().ttl()
    }

    /// Sets the time to live of the packets sent.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.watched.get().set_ttl(ttl)
    }
}

impl split::sealed::Access for TcpStream {
    type Raw = mio::net::TcpStream;
    type Addr = SocketAddr;

    fn watched(&self) -> &Watched<mio::net::TcpStream> {
        &self.watched
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpStream::local_addr(self)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        TcpStream::peer_addr(self)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        TcpStream::shutdown_write(self)
    }
}

impl split::ReadHalf<'_, TcpStream> {
    /// Reads without taking. See [`TcpStream::peek`].
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.as_ref().peek(buf).await
    }

    /// Reads without taking. See [`TcpStream::poll_peek`].
    pub fn poll_peek(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.as_ref().poll_peek(cx, buf)
    }
}

impl split::OwnedReadHalf<TcpStream> {
    /// Reads without taking. See [`TcpStream::peek`].
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.as_ref().peek(buf).await
    }

    /// Reads without taking. See [`TcpStream::poll_peek`].
    pub fn poll_peek(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.as_ref().poll_peek(cx, buf)
    }
}
