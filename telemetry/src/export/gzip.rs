//! How a body is made smaller on its way out.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The bytes as gzip, made fast rather than small.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("a vector takes all that is written")
}
