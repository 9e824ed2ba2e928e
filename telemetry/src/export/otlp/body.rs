//! A batch of spans as the bodies of requests: mostly one.
//!
//! ```text
//!   ExportTraceServiceRequest
//!     ResourceSpans: resource │ ScopeSpans: ours │ span, span, …    records, written by `span`
//!                             │ ScopeSpans: a user's │ span, …      written by `user`
//! ```
//!
//! Collectors refuse requests above a size, and then all of one. So a body is ended before the span
//! that would make it too large, and another one begun with that span. One span that is too large
//! by itself is still sent: some collectors take it. A body that fails takes no other with it.

use opentelemetry::InstrumentationScope as Scope;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use super::pieces::{MOST_BYTES, Pieces};
use super::scopes::by_scope;
use super::span::SpanWriter;
use super::user;
use super::wire::{Open, Wire};
use crate::export::batch::SpanBatch;
use crate::export::exporter::ExportError;
use crate::export::queue::Chunk;
use crate::export::span_data::{Converter, scope};

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
        let (chunks, converter, users) = batch.parts();
        let (mut bodies, spans) = self.bodies(resource, post);
        if let Some(converter) = converter.filter(|_| !chunks.is_empty()) {
            bodies.add_records(chunks, spans, converter);
        }
        bodies.add_users(users);
        bodies.result()
    }

    /// Sends all these spans.
    pub(super) fn send_users(
        &mut self,
        spans: &[SpanData],
        resource: &Resource,
        post: &mut Post<'_>,
    ) -> Result<(), ExportError> {
        let (mut bodies, _) = self.bodies(resource, post);
        bodies.add_users(spans);
        bodies.result()
    }

    fn bodies<'a>(
        &'a mut self,
        resource: &Resource,
        post: &'a mut Post<'a>,
    ) -> (Bodies<'a>, &'a mut SpanWriter) {
        if self
            .head
            .as_ref()
            .is_none_or(|head| head.resource != *resource)
        {
            self.head = None;
        }
        let bodies = Bodies {
            wire: &mut self.wire,
            head: self.head.get_or_insert_with(|| Head::of(resource)),
            post,
            open: None,
            size: 0,
            pieces: Pieces::default(),
        };
        (bodies, &mut self.spans)
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
        Head {
            resource: resource.clone(),
            of_resource: of_resource.encode_to_vec(),
            of_scope: fields_of(&scope()),
        }
    }
}

/// The fields of `ScopeSpans` but for the spans.
fn fields_of(scope: &Scope) -> Vec<u8> {
    let fields = ScopeSpans {
        scope: Some(InstrumentationScope::from((scope, None))),
        spans: Vec::new(),
        schema_url: scope.schema_url().unwrap_or_default().to_owned(),
    };
    fields.encode_to_vec()
}

/// The bodies of one batch: one is written, those before it were sent.
struct Bodies<'a> {
    wire: &'a mut Wire,
    head: &'a Head,
    post: &'a mut Post<'a>,
    /// The message around the scopes, once there is a span.
    open: Option<Open>,
    /// How many spans this one has.
    size: u64,
    pieces: Pieces,
}

/// The `ScopeSpans` that is written.
#[derive(Clone, Copy)]
struct OpenScope {
    /// Where it begins, and where its first span does.
    start: usize,
    spans: usize,
    open: Open,
}

impl Bodies<'_> {
    fn add_records(&mut self, chunks: &[Chunk], spans: &mut SpanWriter, converter: &mut Converter) {
        let head = self.head;
        let mut scope = self.begin_scope(&head.of_scope);
        for (records, calendar) in chunks.iter().flat_map(Chunk::sections) {
            for record in records {
                let start = self.wire.end();
                spans.write(self.wire, record, calendar, converter);
                self.wrote(start, &mut scope, &head.of_scope);
            }
        }
        self.wire.close(scope.open);
    }

    fn add_users(&mut self, spans: &[SpanData]) {
        for group in by_scope(spans) {
            let of_scope = fields_of(group.scope);
            let mut scope = self.begin_scope(&of_scope);
            for span in group.spans {
                let start = self.wire.end();
                user::write(self.wire, span);
                self.wrote(start, &mut scope, &of_scope);
            }
            self.wire.close(scope.open);
        }
    }

    fn begin_scope(&mut self, of_scope: &[u8]) -> OpenScope {
        if self.open.is_none() {
            self.begin();
        }
        let start = self.wire.end();
        let open = self.wire.begin(SCOPE_SPANS);
        self.wire.append(of_scope);
        OpenScope {
            start,
            spans: self.wire.end(),
            open,
        }
    }

    fn begin(&mut self) {
        self.wire.clear();
        self.open = Some(self.wire.begin(RESOURCE_SPANS));
        self.wire.append(&self.head.of_resource);
    }

    /// A span was written from `start` on: into the next body, if it is too much for this one.
    #[inline]
    fn wrote(&mut self, start: usize, scope: &mut OpenScope, of_scope: &[u8]) {
        if self.wire.end() > MOST_BYTES && self.size > 0 {
            self.move_on(start, scope, of_scope);
        }
        self.size += 1;
    }

    #[cold]
    fn move_on(&mut self, start: usize, scope: &mut OpenScope, of_scope: &[u8]) {
        let too_much = self.wire.take_back(start);
        match start > scope.spans {
            true => self.wire.close(scope.open),
            // No span of this scope is left.
            false => self.wire.cut(scope.start),
        }
        self.post();
        *scope = self.begin_scope(of_scope);
        self.wire.append(&too_much);
    }

    /// Sends the body that is written, if one is.
    fn post(&mut self) {
        if let Some(open) = self.open.take() {
            self.wire.close(open);
            let size = std::mem::take(&mut self.size);
            self.pieces.note(size, (self.post)(self.wire.written()));
        }
    }

    /// Sends the last one, too, and tells what became of all.
    fn result(mut self) -> Result<(), ExportError> {
        self.post();
        self.pieces.result()
    }
}
