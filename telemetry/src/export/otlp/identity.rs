//! Ids, flags and times as fields: alike in spans of processes, in those of users, and in links.

use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_proto::tonic::trace::v1::SpanFlags;

/// `parent_span_id` of a `Span`.
pub(super) const PARENT: u8 = 0x22;

/// `span_id` of a `Span` and of a `Link`.
const ID: u8 = 0x12;

/// What each span says of itself.
pub(super) struct Identity {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) flags: [u8; 4],
    /// Nanoseconds since 1970, as `end`.
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Identity {
    /// `trace_id`, `span_id`, `flags`, `start_time_unix_nano`, `end_time_unix_nano`.
    #[inline(always)]
    pub(super) fn fields(&self) -> [u8; 52] {
        let mut fields = [0; 52];
        fields[..28].copy_from_slice(&ids(self.trace_id, self.span_id));
        fields[28..30].copy_from_slice(&[0x85, 0x01]);
        fields[30..34].copy_from_slice(&self.flags);
        fields[34] = 0x39;
        fields[35..43].copy_from_slice(&self.start.to_le_bytes());
        fields[43] = 0x41;
        fields[44..].copy_from_slice(&self.end.to_le_bytes());
        fields
    }
}

/// `trace_id`, `span_id`, `flags` of a `Link`.
#[inline]
pub(super) fn link(context: &SpanContext) -> [u8; 33] {
    let mut fields = [0; 33];
    fields[..28].copy_from_slice(&ids(context.trace_id(), context.span_id()));
    fields[28] = 0x35;
    let of_trace = context.trace_flags().to_u8();
    fields[29..].copy_from_slice(&flags(of_trace, context.is_remote()));
    fields
}

/// One and two are the numbers of these fields wherever there are both.
#[inline(always)]
fn ids(trace_id: TraceId, span_id: SpanId) -> [u8; 28] {
    let mut fields = [0; 28];
    fields[0] = 0x0a;
    fields[1] = 16;
    fields[2..18].copy_from_slice(&trace_id.to_bytes());
    fields[18..].copy_from_slice(&id(ID, span_id));
    fields
}

#[inline(always)]
pub(super) fn id(tag: u8, id: SpanId) -> [u8; 10] {
    let mut field = [0; 10];
    field[0] = tag;
    field[1] = 8;
    field[2..].copy_from_slice(&id.to_bytes());
    field
}

/// Those of the trace, and whether the other span is in another process of the system.
#[inline(always)]
pub(super) fn flags(of_trace: u8, is_remote: bool) -> [u8; 4] {
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = SpanFlags::ContextIsRemoteMask as u32 * u32::from(is_remote);
    (u32::from(of_trace) | known | remote).to_le_bytes()
}
