//! One answer to a scraper, without the server: for programs that have one of their own.

use super::negotiate::Format;
use super::text;
use crate::export::collect::MetricSource;

/// All metrics, as a scraper reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// The header `Content-Type` that goes with it.
    pub content_type: &'static str,
    /// The text.
    pub body: Vec<u8>,
}

impl MetricSource {
    /// All metrics as they are now, for Prometheus and whoever else speaks its formats: in
    /// OpenMetrics 1.0.0, which has exemplars, or in the text format 0.0.4, by what the request's
    /// header `Accept` says.
    ///
    /// Cost: that of [`collect`](Self::collect), and 10 to 50 µs for each histogram series of the
    /// runtime, whose 81 bounds are a line each. With hundreds of names that is too long for a
    /// worker; and callbacks of users run here, too. Use `spawn_blocking`.
    pub fn scrape(&self, accept: Option<&str>) -> Scrape {
        let format = Format::accepted(accept.unwrap_or_default());
        Scrape {
            content_type: format.content_type(),
            body: text::render(&self.collect(), self.resource(), format).into_bytes(),
        }
    }
}
