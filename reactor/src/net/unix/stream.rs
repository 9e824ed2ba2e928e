//! A connection over a Unix socket.

use super::SocketAddr;
use super::credentials::{self, UCred};
use crate::io::Watched;
use crate::net::split;
use std::future::poll_fn;
use std::io;
use std::path::Path;

/// A connection over a Unix socket.
pub struct UnixStream {
    watched: Watched<mio::net::UnixStream>,
}

descriptor!(
    UnixStream,
    mio::net::UnixStream,
    std::os::unix::net::UnixStream,
    Stream
);
readiness!(UnixStream);
stream!(UnixStream);

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the listener's queue is full (Linux does not let one wait for it); else
    /// the operating system's.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    pub async fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        let stream = UnixStream::from_raw(mio::net::UnixStream::connect(path)?)?;
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Two streams that are connected to each other.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::from_raw(one)?, UnixStream::from_raw(other)?))
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr().map(SocketAddr::from)
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().peer_addr().map(SocketAddr::from)
    }

    /// Who the process at the other side was when the connection was made.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        credentials::of_peer(self)
    }
}

impl split::sealed::Access for UnixStream {
    type Raw = mio::net::UnixStream;
    type Addr = SocketAddr;

    fn watched(&self) -> &Watched<mio::net::UnixStream> {
        &self.watched
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        UnixStream::local_addr(self)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        UnixStream::peer_addr(self)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        UnixStream::shutdown_write(self)
    }
}
