//! One attempt to export by gRPC: a unary call over a connection that is kept while it works.
//!
//! ```text
//! mod.rs         which call, and on which connection
//! message.rs     a message, in the envelope that gRPC puts around it
//! status.rs      what the answer says: accepted, refused, or to be tried again
//! connection.rs  HTTP/2: one call at a time; the protocol itself is the crate `shiguredo_http2`
//! stream.rs      bytes to and from the collector, until a deadline
//! ```
//!
//! Everything blocks, on the thread that exports; docs/adr/0010 says why it is not `tonic`.

mod connection;
#[cfg(feature = "tls")]
mod encrypted;
#[cfg(not(feature = "tls"))]
#[path = "encrypted_off.rs"]
mod encrypted;
#[cfg(fuzzing)]
pub(super) mod fuzz;
mod message;
mod status;
mod stream;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use shiguredo_http2::HeaderField;
use ureq::http::{HeaderName, HeaderValue};

use super::client::{Transport, USER_AGENT};
use super::endpoint::Endpoint;
use super::failure::{Again, Failure, shown_text};
use super::url::shown;
use crate::export::deadline::deadline_after;
use crate::export::exporter::Signal;
use connection::Connection;
use stream::{Stream, Timed};

/// Calls one method of one collector.
pub(super) struct Grpc {
    endpoint: Endpoint,
    /// What each call says, but for the time it has.
    head: Vec<HeaderField>,
    connection: Cell<Option<Connection>>,
}

impl Grpc {
    pub(super) fn new(endpoint: Endpoint, signal: Signal) -> Grpc {
        Grpc {
            head: head(&endpoint, signal),
            endpoint,
            connection: Cell::new(None),
        }
    }

    /// The connection of the last call if it still works, else a new one.
    fn connection(&self, deadline: Instant) -> io::Result<Connection> {
        if let Some(mut kept) = self.connection.take()
            && kept.is_usable()
        {
            return Ok(kept);
        }
        Connection::over(self.stream(deadline)?)
    }

    fn stream(&self, deadline: Instant) -> io::Result<Box<dyn Stream>> {
        let url = &self.endpoint.url;
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let encrypted = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let plain = Timed::connect(host, port, deadline)?;
        match encrypted {
            true => encrypted::over(plain, host, &self.endpoint.tls),
            false => Ok(Box::new(plain)),
        }
    }

    fn call(&self, body: &[u8], deadline: Instant) -> io::Result<connection::Answer> {
        let message = message::enveloped(body, self.endpoint.gzip);
        let mut connection = self.connection(deadline)?;
        let head = self.head.iter().cloned();
        let head = head.chain([message::timeout(deadline)]).collect();
        // A connection that failed is dropped: its state is anyone's guess.
        let answer = connection.call(head, &message, deadline)?;
        self.connection.set(Some(connection));
        Ok(answer)
    }
}

impl Transport for Grpc {
    fn request(&self) -> String {
        format!("gRPC {}", shown(&self.endpoint.url))
    }

    fn attempt(&self, body: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
        let answer = self.call(body, deadline_after(time)).map_err(failure)?;
        status::reply_of(&answer)
    }
}

/// A connection that fails may succeed later; a collector that cannot prove who it is, or speaks
/// another protocol, will not.
fn failure(error: io::Error) -> Failure {
    let again = match error.kind() {
        ErrorKind::InvalidData => Again::Never,
        _ => Again::Soon,
    };
    Failure {
        message: shown_text(&error.to_string()),
        again,
    }
}

fn head(endpoint: &Endpoint, signal: Signal) -> Vec<HeaderField> {
    let url = &endpoint.url;
    let path = match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    };
    let mut head = vec![
        plain(":method", "POST"),
        plain(":scheme", url.scheme_str().unwrap_or_default()),
        plain(":path", path),
        plain(":authority", url.authority().map_or("", |all| all.as_str())),
        plain("content-type", "application/grpc"),
        plain("te", "trailers"),
    ];
    if endpoint.gzip {
        head.push(plain("grpc-encoding", "gzip"));
    }
    let named = |(name, _): &(HeaderName, HeaderValue)| name.as_str() == "user-agent";
    if !endpoint.headers.iter().any(named) {
        head.push(plain("user-agent", USER_AGENT));
    }
    head.extend(endpoint.headers.iter().filter_map(metadata));
    head
}

fn plain(name: &str, value: &str) -> HeaderField {
    HeaderField::new(name, value).expect("these names and values are allowed by HTTP/2")
}

/// Metadata holds credentials, which no table of a compression is to keep.
fn metadata((name, value): &(HeaderName, HeaderValue)) -> Option<HeaderField> {
    HeaderField::new_with_sensitive(name.as_str(), value.as_bytes(), true).ok()
}

/// Names of metadata that belong to the protocols.
const OTHERS: [&str; 7] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whether it can be metadata: names of gRPC's alphabet that are not its own, values of ASCII.
pub(super) fn is_metadata(name: &HeaderName, value: &HeaderValue) -> bool {
    let header = (name.clone(), value.clone());
    let name = name.as_str();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    name.bytes().all(known)
        && !name.starts_with("grpc-")
        && !OTHERS.contains(&name)
        && value
            .as_bytes()
            .iter()
            .all(|byte| (b' '..=b'~').contains(byte))
        && metadata(&header).is_some()
}
