//! A batch of spans as the bodies of requests: mostly one.
//!
//! ```text
//!   ExportTraceServiceRequest
//!     ResourceSpans: resource │ ScopeSpans: ours │ span, span, …    records, written by `span`
//!                             │ ScopeSpans: a user's │ span, …      by the library
//! ```
//!
//! Collectors refuse requests above a size, and then all of one. So a body is ended before the span
//! that would make it too large, and another one begun with that span.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use prost::Message;

use super::encode;
use super::pieces::{MOST_BYTES, Pieces};
use super::span::SpanWriter;
use super::wire::{Open, Wire};
use crate::export::batch::SpanBatch;
use crate::export::exporter::ExportError;
use crate::export::span_data::scope;

/// Sends one body.
pub(super) type Post<'a> = dyn FnMut(&[u8]) -> Result<(), ExportError> + 'a;

/// Writes bodies, one after the other into the same memory.
#[derive(Debug, Default)]
pub(super) struct BodyWriter {
    wire: Wire,
    spans: SpanWriter,
    head: Option<Head>,
}

/// What stands before the spans.
#[derive(Debug)]
struct Head {
    resource: Resource,
    /// The fields of `ResourceSpans` but for the spans.
    of_resource: Vec<u8>,
    /// The fields of our `ScopeSpans` but for the spans.
    of_scope: Vec<u8>,
}

/// The messages around the spans, until their lengths are known.
#[must_use]
struct Around {
    request: Open,
    scope: Open,
}

const RESOURCE_SPANS: u8 = 0x0a;
const SCOPE_SPANS: u8 = 0x12;

impl BodyWriter {
    /// Sends all spans of a batch.
    pub(super) fn send(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
        post: &mut Post<'_>,
    ) -> Result<(), ExportError> {
        let mut pieces = Pieces::default();
        self.send_in_pieces(batch, resource, &mut pieces, post);
        pieces.result()
    }

    fn send_in_pieces(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
        pieces: &mut Pieces,
        post: &mut Post<'_>,
    ) {
        let (chunks, converter, users) = batch.parts();
        let sections = chunks.iter().flat_map(|chunk| chunk.sections());
        let Some(converter) = converter.filter(|_| !chunks.is_empty()) else {
            return pieces.send(users, resource, post);
        };
        let mut around = self.begin(resource);
        let mut size = 0;
        for (records, calendar) in sections {
            for record in records {
                let start = self.wire.end();
                self.spans
                    .write(&mut self.wire, record, calendar, converter);
                if self.wire.end() > MOST_BYTES && size > 0 {
                    let too_much = self.wire.take_back(start);
                    self.end(around);
                    pieces.note(size, post(self.wire.written()));
                    around = self.begin(resource);
                    self.wire.append(&too_much);
                    size = 0;
                }
                size += 1;
            }
        }
        self.wire.close(around.scope);
        let users_fit = self.append_users(users);
        self.wire.close(around.request);
        size += if users_fit { users.len() as u64 } else { 0 };
        pieces.note(size, post(self.wire.written()));
        if !users_fit {
            pieces.send(users, resource, post);
        }
    }

    fn begin(&mut self, resource: &Resource) -> Around {
        let head = match self.head.take() {
            Some(head) if head.resource == *resource => head,
            _ => Head::of(resource),
        };
        self.wire.clear();
        let request = self.wire.begin(RESOURCE_SPANS);
        self.wire.append(&head.of_resource);
        let scope = self.wire.begin(SCOPE_SPANS);
        self.wire.append(&head.of_scope);
        self.head = Some(head);
        Around { request, scope }
    }

    fn end(&mut self, around: Around) {
        self.wire.close(around.scope);
        self.wire.close(around.request);
    }

    /// Whether there was room for them.
    fn append_users(&mut self, users: &[opentelemetry_sdk::trace::SpanData]) -> bool {
        if users.is_empty() {
            return true;
        }
        // With no resource: that is written already.
        let scopes = ResourceSpans {
            scope_spans: encode::scopes(users),
            ..ResourceSpans::default()
        };
        let scopes = scopes.encode_to_vec();
        let fit = self.wire.end() + scopes.len() <= MOST_BYTES;
        if fit {
            self.wire.append(&scopes);
        }
        fit
    }
}

impl Head {
    fn of(resource: &Resource) -> Head {
        let known = ResourceAttributesWithSchema::from(resource);
        let of_resource = ResourceSpans {
            resource: Some(ProtoResource {
                attributes: known.attributes.0,
                ..ProtoResource::default()
            }),
            scope_spans: Vec::new(),
            schema_url: known.schema_url.unwrap_or_default(),
        };
        let of_scope = ScopeSpans {
            scope: Some(InstrumentationScope::from((&scope(), None))),
            ..ScopeSpans::default()
        };
        Head {
            resource: resource.clone(),
            of_resource: of_resource.encode_to_vec(),
            of_scope: of_scope.encode_to_vec(),
        }
    }
}
