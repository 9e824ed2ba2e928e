//! What became of a batch that was too large for one request and was sent in several.

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
