//! Why did a request fail? One error for all causes, which says what it is when asked.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use http::{Method, Uri};

use crate::connection::Connection;

type Source = Arc<dyn StdError + Send + Sync>;

/// Why a request of [`Client`](super::Client) failed.
///
/// Its text names the method and the host and says what was wrong. It holds no path, no query and no
/// credentials, so that it may be logged. What caused it is its [`source`](StdError::source).
///
/// ```
/// # #[telemetry_rt::main]
/// # async fn main() {
/// use telemetry_rt_http::Client;
///
/// let failed = Client::new().get("ftp://somebody:secret@files/list").send().await.unwrap_err();
/// assert!(failed.is_request());
/// assert_eq!(
///     failed.to_string(),
///     "GET files: the scheme of the URL is `ftp`: `http` and `https` are accepted",
/// );
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    /// Nothing was sent, because there was no connection yet.
    is_connect: bool,
    target: Option<String>,
    what: Cow<'static, str>,
    source: Option<Source>,
    /// By which connection the request went.
    connection: Option<Connection>,
}

/// What went wrong, as few words as there are reactions to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request cannot be sent by anybody.
    Request,
    /// The host's name is not known.
    UnknownHost,
    /// The network said no, or fell silent in an unfriendly way.
    Io(io::ErrorKind),
    /// The server's certificate is not accepted, or the handshake failed otherwise.
    Tls,
    /// The time that was allowed is over.
    Timeout,
    /// The server closed the connection before it had answered.
    Closed,
    /// A redirect that is not followed.
    Redirect,
    /// What the peer said is not HTTP, or not within the limits of it.
    Protocol,
    /// The body of the response cannot be read, or that of the request could not be made.
    Body,
}

impl Error {
    pub(super) fn new(kind: Kind, what: impl Into<Cow<'static, str>>) -> Error {
        Error::from_inner(Inner {
            kind,
            is_connect: false,
            target: None,
            what: what.into(),
            source: None,
            connection: None,
        })
    }

    fn from_inner(inner: Inner) -> Error {
        Error {
            inner: Arc::new(inner),
        }
    }

    fn map(&self, change: impl FnOnce(&mut Inner)) -> Error {
        let mut inner = Inner::clone(&self.inner);
        change(&mut inner);
        Error::from_inner(inner)
    }

    pub(super) fn because(self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.map(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Nothing had been sent when this happened.
    pub(super) fn while_connecting(self) -> Error {
        self.map(|inner| inner.is_connect = true)
    }

    /// Names the request, unless that was done before.
    pub(super) fn of(self, method: &Method, uri: &Uri) -> Error {
        match self.inner.target {
            Some(_) => self,
            None => self.map(|inner| inner.target = Some(target(method, uri))),
        }
    }

    /// Says by which connection the request went.
    pub(super) fn by(self, connection: Option<Connection>) -> Error {
        match connection {
            Some(_) => self.map(|inner| inner.connection = connection),
            None => self,
        }
    }

    /// The connection that the request went by, if there was one.
    pub fn connection(&self) -> Option<&Connection> {
        self.inner.connection.as_ref()
    }

    /// The request itself was wrong: no URL, an unknown scheme, a header that cannot be sent.
    pub fn is_request(&self) -> bool {
        self.inner.kind == Kind::Request
    }

    /// There was no connection: an unknown host, a refusal, a failed handshake, or none of it within
    /// the time for it. Nothing was sent.
    pub fn is_connect(&self) -> bool {
        self.inner.is_connect
    }

    /// The time was over: that for connecting, for the head of the response, or for the whole call.
    pub fn is_timeout(&self) -> bool {
        self.inner.kind == Kind::Timeout
    }

    /// The handshake of TLS failed, as for a certificate that is not accepted.
    pub fn is_tls(&self) -> bool {
        self.inner.kind == Kind::Tls
    }

    /// A redirect was not followed, because there were too many or because it led where it may not.
    pub fn is_redirect(&self) -> bool {
        self.inner.kind == Kind::Redirect
    }

    /// A body ended early or could not be decoded. The head of the response had come.
    pub fn is_body(&self) -> bool {
        self.inner.kind == Kind::Body
    }

    /// What the attribute `error.type` says of this in spans and metrics: one of `invalid_request`,
    /// `unknown_host`, `connection_refused`, `connection_reset`, `connection_closed`,
    /// `network_unreachable`, `host_unreachable`, `io`, `tls`, `timeout`, `redirect`, `protocol`
    /// and `body`.
    pub fn error_type(&self) -> &'static str {
        match self.inner.kind {
            Kind::Request => "invalid_request",
            Kind::UnknownHost => "unknown_host",
            Kind::Io(kind) => io_error_type(kind),
            Kind::Tls => "tls",
            Kind::Timeout => "timeout",
            Kind::Closed => "connection_closed",
            Kind::Redirect => "redirect",
            Kind::Protocol => "protocol",
            Kind::Body => "body",
        }
    }
}

/// What `error.type` says of an error of the operating system.
pub(super) fn io_error_type(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, TimedOut, UnexpectedEof,
    };
    match kind {
        ConnectionRefused => "connection_refused",
        ConnectionReset | ConnectionAborted | BrokenPipe => "connection_reset",
        UnexpectedEof => "connection_closed",
        NetworkUnreachable => "network_unreachable",
        HostUnreachable => "host_unreachable",
        TimedOut => "timeout",
        _ => "io",
    }
}

/// A request in few words: the method, and the host without what may be secret of the URL.
fn target(method: &Method, uri: &Uri) -> String {
    let host = uri.host().unwrap_or("?");
    match uri.port_u16() {
        Some(port) => format!("{method} {host}:{port}"),
        None => format!("{method} {host}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = &self.inner.target {
            write!(f, "{target}: ")?;
        }
        f.write_str(&self.inner.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("message", &self.to_string())
            .field("error_type", &self.error_type())
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.inner.source.as_deref()?)
    }
}

/// All errors of a chain, the outermost first.
pub(super) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The first error of type `E` in a chain. Errors of I/O are looked into: what they were made of is
/// no source of theirs.
pub(super) fn find<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    chain(error).find_map(|error| {
        error.downcast_ref().or_else(|| {
            let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
            wrapped.downcast_ref()
        })
    })
}
