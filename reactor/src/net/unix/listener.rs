//! Accepting connections.

use super::{SocketAddr, UnixStream};
use crate::io::{Direction, Interest, Watched};
use crate::net::pause::Pause;
use std::io;
use std::path::Path;
use std::task::{Context, Poll, ready};

/// A socket that accepts connections of Unix streams.
///
/// Dropping it does not remove the path that it was bound to.
pub struct UnixListener {
    watched: Watched<mio::net::UnixListener>,
    pause: Pause,
}

descriptor!(
    UnixListener,
    mio::net::UnixListener,
    std::os::unix::net::UnixListener,
    Stream,
    pause
);

impl UnixListener {
    /// Listens on a path, which must not exist yet.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::from_raw(mio::net::UnixListener::bind(path)?)
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
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let accept = || self.watched.get().accept();
        let attempt = self.watched.async_io(Interest::READABLE, accept);
        let (stream, addr) = self.pause.before(self.watched.handle(), attempt).await?;
        Ok((UnixStream::from_raw(stream)?, addr.into()))
    }

    /// As [`accept`](UnixListener::accept); of several tasks, the last one is woken.
    ///
    /// It does not wait after errors as `accept` does: pause before the next poll.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let accept = || self.watched.get().accept();
        let (stream, addr) = ready!(self.watched.poll_io(cx, Direction::Read, accept))?;
        Poll::Ready(UnixStream::from_raw(stream).map(|stream| (stream, addr.into())))
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr().map(SocketAddr::from)
    }

    /// Takes the error that the operating system has kept for the socket, if any.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.watched.get().take_error()
    }
}
