//! How a batch that is too large for one request is sent in several, and what became of it.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use super::body::Post;
use super::encode;
use crate::export::exporter::ExportError;

/// Collectors refuse what is larger, and then all of it.
pub(super) const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What became of the pieces of one batch.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    sent: u64,
    lost: u64,
    first_error: Option<ExportError>,
}

impl Pieces {
    /// Sends spans in one request if that is small enough, else each half by itself. One span
    /// that is too large is still sent: some collectors take it. A piece that fails takes no
    /// other with it.
    pub(super) fn send(&mut self, spans: &[SpanData], resource: &Resource, post: &mut Post<'_>) {
        let request = encode::spans(spans, resource);
        if spans.len() < 2 || request.encoded_len() < MOST_BYTES {
            let result = post(&request.encode_to_vec());
            return self.note(spans.len() as u64, result);
        }
        drop(request);
        let (first, second) = spans.split_at(spans.len() / 2);
        self.send(first, resource, post);
        self.send(second, resource, post);
    }

    /// A piece of so many spans was sent, with this result.
    pub(super) fn note(&mut self, size: u64, result: Result<(), ExportError>) {
        self.sent += size;
        if let Err(error) = result {
            self.lost += error.lost_of(size);
            self.first_error.get_or_insert(error);
        }
    }

    /// The error of the first piece that failed, with what was lost of all of them.
    pub(super) fn result(self) -> Result<(), ExportError> {
        match self.first_error {
            None => Ok(()),
            Some(error) if error.is_partial() || self.lost < self.sent => {
                Err(error.with_lost(self.lost))
            }
            Some(error) => Err(error),
        }
    }
}
