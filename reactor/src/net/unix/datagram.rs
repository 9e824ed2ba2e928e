//! Whole messages over a Unix socket.

use super::SocketAddr;
use crate::io::{Direction, Interest, Watched};
use std::io;
use std::net::Shutdown;
use std::path::Path;
use std::task::{Context, Poll};

/// A Unix socket that sends and receives whole messages.
///
/// Dropping it does not remove the path that it was bound to.
pub struct UnixDatagram {
    watched: Watched<mio::net::UnixDatagram>,
}

descriptor!(
    UnixDatagram,
    mio::net::UnixDatagram,
    std::os::unix::net::UnixDatagram,
    Datagrams
);
readiness!(UnixDatagram);
datagrams!(UnixDatagram, mio::net::UnixDatagram);

impl UnixDatagram {
    /// A socket with the address `path`, which must not exist yet.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::from_raw(mio::net::UnixDatagram::bind(path)?)
    }

    /// A socket without an address. Panics as [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_raw(mio::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other. Panics as [`bind`](UnixDatagram::bind).
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_raw(one)?, UnixDatagram::from_raw(other)?))
    }

    /// Fixes the address that [`send`](UnixDatagram::send) sends to.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.watched.get().connect(path)
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr().map(SocketAddr::from)
    }

    /// The address that the socket is connected to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().peer_addr().map(SocketAddr::from)
    }

    /// Ends receiving, sending or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.watched.get().shutdown(how)
    }

    /// Receives a message; of several tasks, the last one is woken.
    pub fn poll_recv_bytes(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let receive = || self.watched.get().recv(buf);
        self.watched.poll_io(cx, Direction::Read, receive)
    }

    /// Receives a message, and says from where; of several tasks, the last one is woken.
    pub fn poll_recv_bytes_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let receive = || self.watched.get().recv_from(buf);
        self.watched
            .poll_io(cx, Direction::Read, receive)
            .map_ok(named)
    }

    /// Sends a message to the socket at `target`. Cancel safe: either all of it was sent or
    /// nothing.
    pub async fn send_to<P: AsRef<Path>>(&self, buf: &[u8], target: P) -> io::Result<usize> {
        let target = target.as_ref();
        let send = || self.watched.get().send_to(buf, target);
        self.async_io(Interest::WRITABLE, send).await
    }

    /// As [`send_to`](UnixDatagram::send_to); of several tasks, the last one is woken.
    pub fn poll_send_to<P: AsRef<Path>>(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: P,
    ) -> Poll<io::Result<usize>> {
        let send = || self.watched.get().send_to(buf, target.as_ref());
        self.watched.poll_io(cx, Direction::Write, send)
    }

    /// As [`send_to`](UnixDatagram::send_to), and never waits.
    pub fn try_send_to<P: AsRef<Path>>(&self, buf: &[u8], target: P) -> io::Result<usize> {
        let send = || self.watched.get().send_to(buf, target);
        self.try_io(Interest::WRITABLE, send)
    }

    /// Receives a message, and says from where; what does not fit into `buf` is lost. Cancel
    /// safe: when this is dropped, no message was taken.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = || self.watched.get().recv_from(buf);
        self.async_io(Interest::READABLE, receive).await.map(named)
    }

    /// As [`recv_from`](UnixDatagram::recv_from), and never waits.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = || self.watched.get().recv_from(buf);
        self.try_io(Interest::READABLE, receive).map(named)
    }
}

fn named<T>((received, addr): (T, std::os::unix::net::SocketAddr)) -> (T, SocketAddr) {
    (received, addr.into())
}
