//! A stream with TLS, over which HTTP/2 is agreed upon.
//!
//! The twin of this file, for builds without `https`, is `encrypted_off.rs`.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::stream::{Stream, Timed};
use crate::export::otlp::tls::Tls;

const HTTP_2: &[u8] = b"h2";

/// Shakes hands with the host.
pub(super) fn over(mut plain: Timed, host: &str, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    let mut config = tls.config().map_err(io::Error::other)?;
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(refused)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(refused)?;
    while session.is_handshaking() {
        session.complete_io(&mut plain)?;
    }
    match session.alpn_protocol() {
        Some(HTTP_2) => Ok(Box::new(StreamOwned::new(session, plain))),
        _ => Err(refused("the collector did not agree to HTTP/2 (by ALPN)")),
    }
}

/// It would be refused the next time, too.
fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Stream for StreamOwned<ClientConnection, Timed> {
    fn until(&mut self, deadline: Instant) {
        self.sock.until(deadline);
    }
}
