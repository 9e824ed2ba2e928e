//! Accepting connections.

use super::{TcpSocket, TcpStream};
use crate::io::{Direction, Interest, Watched};
use crate::net::addr::{ToSocketAddrs, first_that_works};
use crate::net::pause::Pause;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket that accepts TCP connections.
pub struct TcpListener {
    watched: Watched<mio::net::TcpListener>,
    pause: Pause,
}

descriptor!(
    TcpListener,
    mio::net::TcpListener,
    std::net::TcpListener,
    Stream,
    pause
);

impl TcpListener {
    /// Listens on the first of the addresses that works. The address can be bound again at once
    /// (`SO_REUSEADDR`); 1024 connections may wait to be accepted.
    ///
    /// # Errors
    ///
    /// Of the last address that was tried.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        first_that_works(addr, |addr| {
            let socket = TcpSocket::for_addr(addr)?;
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        })
        .await
    }

    /// Accepts the next connection.
    ///
    /// # Cancel safety
    ///
    /// When this is dropped, no connection was accepted. A wait after an error (see below) is over
    /// when it would have been, however often this is dropped and called again.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and when the runtime is shut down.
    ///
    /// Without descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`) the connection goes on
    /// waiting, and so an `accept` that follows such an error waits until 10 ms have passed since:
    /// a loop that only goes on gets a hundred errors a second. Where timers are not enabled it
    /// fails at once.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = || self.watched.get().accept();
        let attempt = self.watched.async_io(Interest::READABLE, accept);
        let (stream, addr) = self.pause.before(self.watched.handle(), attempt).await?;
        Ok((TcpStream::from_raw(stream)?, addr))
    }

    /// As [`accept`](TcpListener::accept); of several tasks, the last one is woken.
    ///
    /// It does not wait after errors as `accept` does: pause before the next poll.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accept = || self.watched.get().accept();
        let (stream, addr) = ready!(self.watched.poll_io(cx, Direction::Read, accept))?;
        Poll::Ready(TcpStream::from_raw(stream).map(|stream| (stream, addr)))
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr()
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
