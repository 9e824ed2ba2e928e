//! A stream with TLS, in a build without it: the twin of `encrypted.rs`, which is never asked,
//! since such a build takes no URL with `https`.

use std::io;

use super::stream::{Stream, Timed};
use crate::export::otlp::tls::Tls;

pub(super) fn over(_plain: Timed, _host: &str, _tls: &Tls) -> io::Result<Box<dyn Stream>> {
    Err(io::ErrorKind::Unsupported.into())
}
