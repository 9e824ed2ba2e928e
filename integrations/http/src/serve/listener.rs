//! Where do connections come from?

use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use telemetry_rt::io::{AsyncRead, AsyncWrite};
use telemetry_rt::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Accepts connections for [`serve`](super::serve).
///
/// It is there for `TcpListener`, whose connections send small writes at once (`TCP_NODELAY`) and fail
/// two minutes after their peer has vanished (`SO_KEEPALIVE`: after 60 s, each 15 s, four times; unless
/// the listener has it set already), and for `UnixListener`. What stands between the socket and HTTP is a handshake, which each connection makes
/// on its own task, within [`header_timeout`](super::Limits::header_timeout).
///
/// # Example
///
/// TLS by tokio-rustls:
///
/// ```
/// use std::io;
/// use telemetry_rt::net::{TcpListener, TcpStream};
/// use telemetry_rt_http::{Accepted, Listener};
/// use tokio_rustls::TlsAcceptor;
///
/// struct TlsListener {
///     tcp: TcpListener,
///     tls: TlsAcceptor,
/// }
///
/// impl Listener for TlsListener {
///     type Io = tokio_rustls::server::TlsStream<TcpStream>;
///     type Handshake = tokio_rustls::Accept<TcpStream>;
///
///     async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
///         let accepted = Listener::accept(&mut self.tcp).await?;
///         let stream = accepted.handshake.into_inner()?;
///         Ok(Accepted {
///             handshake: self.tls.accept(stream),
///             peer: accepted.peer,
///             local: accepted.local,
///         })
///     }
/// }
/// ```
pub trait Listener: Send + 'static {
    /// A connection that HTTP can be spoken on.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// What makes one of what was accepted.
    type Handshake: Future<Output = io::Result<Self::Io>> + Send + 'static;

    /// Accepts the next connection.
    ///
    /// # Cancel safety
    ///
    /// It must be cancel safe: it is dropped and called again whenever the server looks after other
    /// things.
    ///
    /// # Errors
    ///
    /// Those that concern one connection, and want of descriptors or memory, are counted and followed
    /// by another call; the implementation pauses after the latter. All others end the server.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Handshake>>> + Send;
}

/// A connection before its handshake.
#[derive(Debug)]
pub struct Accepted<H> {
    /// What makes it ready for HTTP.
    pub handshake: H,
    /// Who is at the other end, if that has an address.
    pub peer: Option<SocketAddr>,
    /// The address that was connected to.
    pub local: Option<SocketAddr>,
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Handshake = Ready<io::Result<TcpStream>>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // These fail only for a connection that is gone already, which its task will find out.
        let _ = stream.set_nodelay(true);
        let _ = keep_alive(&SockRef::from(&stream));
        let local = stream.local_addr().ok();
        Ok(Accepted {
            handshake: ready(Ok(stream)),
            peer: Some(peer),
            local,
        })
    }
}

/// A handler that waits, and a connection that was upgraded, write nothing by which a peer that was
/// cut off from the network would be found out.
fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    if socket.keepalive()? {
        return Ok(());
    }
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&probes)
}

impl Listener for UnixListener {
    type Io = UnixStream;
    type Handshake = Ready<io::Result<UnixStream>>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok(Accepted {
            handshake: ready(Ok(stream)),
            peer: None,
            local: None,
        })
    }
}

/// Whether a listener works again after `error`: it is that of one connection, or something is
/// missing for the moment.
///
/// Linux tells by `accept` also what the network said of a connection before it was accepted.
pub(super) fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, OutOfMemory, PermissionDenied, TimedOut, UnexpectedEof,
        WouldBlock,
    };
    let of_a_connection = matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | OutOfMemory
            | PermissionDenied
            | TimedOut
            | UnexpectedEof
            | WouldBlock
    );
    of_a_connection
        || error
            .raw_os_error()
            .is_some_and(|code| PASSING.contains(&code))
}

/// `ENFILE`, `EMFILE`, `ENOBUFS`; `ENONET`, `EPROTO`, `ENOPROTOOPT`, `EOPNOTSUPP`, by their numbers on
/// Linux: the standard library has no names for them.
const PASSING: [i32; 7] = [23, 24, 105, 64, 71, 92, 95];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_vanish_are_probed_unless_the_listener_says_how() {
        use telemetry_rt::net::TcpListener;

        telemetry_rt::block_on(async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut accepted = async || {
                let _client = std::net::TcpStream::connect(address).unwrap();
                let accepted = Listener::accept(&mut listener).await.unwrap();
                let stream = accepted.handshake.into_inner().unwrap();
                let socket = SockRef::from(&stream);
                assert!(socket.keepalive().unwrap());
                let time = socket.tcp_keepalive_time().unwrap();
                (time, SockRef::from(&listener).set_keepalive(true).unwrap()).0
            };
            assert_eq!(accepted().await, Duration::from_secs(60));
            assert_ne!(accepted().await, Duration::from_secs(60));
        });
    }

    #[test]
    fn a_listener_outlives_what_happens_to_one_connection_and_want_of_descriptors() {
        for code in [4, 11, 103, 104, 110, 113, 12, 23, 24, 105, 71, 1] {
            let error = io::Error::from_raw_os_error(code);
            assert!(passes(&error), "{error}");
        }
    }

    #[test]
    fn a_listener_does_not_outlive_its_descriptor_or_its_runtime() {
        for code in [9, 22, 88] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!passes(&error), "{error}");
        }
        assert!(!passes(&io::Error::other("the runtime was shut down")));
    }
}
