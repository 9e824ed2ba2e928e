//! Spans on their way into exporters, in the form that each of them wants.
//!
//! ```text
//!   records of processes ──┬─ as they are ──────────► OTLP: bytes
//!   users' spans ──────────┤
//!                          └─ asked for `spans` ────► all others: `SpanData`
//! ```
//!
//! A record becomes `SpanData` when an exporter asks for that, once for all who do. That costs five
//! times what OTLP costs that is written straight from the record.

use opentelemetry_sdk::trace::SpanData;

use super::queue::{Chunk, Taken};
use super::span_data::Converter;

/// Spans that are exported together: see [`Exporter::export_batch`](super::Exporter::export_batch).
#[derive(Debug)]
pub struct SpanBatch<'a> {
    taken: Taken,
    /// There is one wherever there are records.
    converter: Option<&'a mut Converter>,
    /// All spans, those of users first, once they were asked for.
    spans: Option<Vec<SpanData>>,
    size: usize,
    has_followers: bool,
}

impl<'a> SpanBatch<'a> {
    pub(super) fn new(mut taken: Taken, converter: &'a mut Converter) -> SpanBatch<'a> {
        taken
            .users
            .iter_mut()
            .for_each(|span| converter.shorten(span));
        SpanBatch {
            size: taken.len(),
            taken,
            converter: Some(converter),
            spans: None,
            has_followers: true,
        }
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The spans in the form of the SDK, in no certain order.
    ///
    /// Cost: 0.2 to 0.4 µs for each, when it is asked for the first time.
    pub fn spans(&mut self) -> &[SpanData] {
        if self.spans.is_none() {
            self.spans = Some(self.convert());
        }
        self.spans.as_deref().unwrap_or_default()
    }

    /// The spans as [`spans`](SpanBatch::spans), to be kept. They are copied if there are other
    /// exporters to come; if not, whoever asks again has them made again.
    pub fn to_spans(&mut self) -> Vec<SpanData> {
        if self.has_followers {
            return self.spans().to_vec();
        }
        match self.spans.take() {
            Some(spans) => spans,
            None => self.convert(),
        }
    }

    fn convert(&mut self) -> Vec<SpanData> {
        let mut spans = Vec::with_capacity(self.size);
        spans.extend_from_slice(&self.taken.users);
        if let Some(converter) = &mut self.converter {
            for (records, calendar) in self.taken.chunks.iter().flat_map(Chunk::sections) {
                let converted = records.iter();
                spans.extend(converted.map(|record| converter.convert(record, calendar)));
            }
        }
        spans
    }

    /// The exporter that gets it next is the last one.
    pub(super) fn is_for_the_last(&mut self) {
        self.has_followers = false;
    }

    /// What it was made of, emptied.
    pub(super) fn into_emptied(mut self) -> Taken {
        self.taken.clear();
        self.taken
    }

    /// Records, what converts them, and users' spans.
    #[cfg(feature = "otlp")]
    pub(super) fn parts(&mut self) -> (&[Chunk], Option<&mut Converter>, &[SpanData]) {
        let Taken { chunks, users } = &self.taken;
        (chunks, self.converter.as_deref_mut(), users)
    }
}

/// For tests of exporters, and for those that pass on what they were given.
impl From<Vec<SpanData>> for SpanBatch<'_> {
    fn from(spans: Vec<SpanData>) -> Self {
        SpanBatch {
            size: spans.len(),
            taken: Taken {
                chunks: Vec::new(),
                users: spans,
            },
            converter: None,
            spans: None,
            has_followers: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::queue::tests::span;

    #[test]
    fn spans_are_there_for_all_who_ask_also_behind_the_last() {
        let mut batch = SpanBatch::from(vec![span(), span()]);
        assert_eq!(batch.to_spans().len(), 2);
        assert_eq!(batch.spans().len(), 2);
        batch.is_for_the_last();
        assert_eq!(batch.to_spans().len(), 2);
        // An exporter that tries again, or that passes on to two others.
        assert_eq!((batch.to_spans().len(), batch.len()), (2, 2));
    }
}
