//! What the spans of all processes say: how many traces there are, and three of them as trees.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span, status};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use telemetry_rt::otel::render::{TreeOptions, span_tree};

use crate::Failure;

/// By which request of the load a trace is told, and what it is an example of.
const SHOWN: [(&str, &str); 3] = [
    ("POST /checkout/{item}", "an order"),
    ("POST /broken", "one that fails"),
    ("GET /slow", "one that is slow"),
];

type Traces = BTreeMap<[u8; 16], Vec<SpanData>>;

/// The traces that went through both services, counted, and one of each sort as a tree.
///
/// # Errors
///
/// When a trace is missing, or torn: each of so many requests of the load has to be one.
pub fn report(came: &[ResourceSpans], requests: usize) -> Result<String, Failure> {
    let traces = by_trace(came);
    let whole: Vec<_> = traces
        .values()
        .filter(|spans| went_through_all(spans))
        .collect();
    if whole.len() != requests {
        let whole = whole.len();
        return Err(format!("of {requests} requests {whole} are whole traces").into());
    }
    let spans: usize = traces.values().map(Vec::len).sum();
    let mut text = format!(
        "{spans} spans came; all {requests} traces went through load, frontend and orders\n"
    );
    for (server, sort) in SHOWN {
        let named = format!("frontend: server {server}");
        let is_one = |spans: &&&Vec<SpanData>| spans.iter().any(|span| span.name == named);
        if let Some(spans) = whole.iter().find(is_one) {
            let tree = span_tree(spans, TreeOptions::default());
            let _ = write!(text, "\n{sort}:\n{tree}");
        }
    }
    Ok(text)
}

fn went_through_all(spans: &[SpanData]) -> bool {
    ["load: client", "frontend: server", "orders: server"]
        .iter()
        .all(|part| spans.iter().any(|span| span.name.starts_with(part)))
}

fn by_trace(came: &[ResourceSpans]) -> Traces {
    let mut traces = Traces::new();
    for of_process in came {
        let service = service_of(of_process.resource.as_ref());
        for span in of_process.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let data = converted(&service, span);
            let trace = data.span_context.trace_id().to_bytes();
            traces.entry(trace).or_default().push(data);
        }
    }
    traces
}

fn service_of(resource: Option<&Resource>) -> String {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let name = attributes
        .iter()
        .find(|attribute| attribute.key == "service.name");
    match name.and_then(|name| name.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(name)) => name.clone(),
        _ => "?".to_owned(),
    }
}

/// What the tree needs of a span.
fn converted(service: &str, span: &Span) -> SpanData {
    let trace = TraceId::from_bytes(bytes(&span.trace_id));
    let id = SpanId::from_bytes(bytes(&span.span_id));
    let at = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::from_bytes(bytes(&span.parent_span_id)),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Owned(format!("{service}: {}{}", kind(span), span.name)),
        start_time: at(span.start_time_unix_nano),
        end_time: at(span.end_time_unix_nano),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: status_of(span),
        instrumentation_scope: Default::default(),
    }
}

/// Ids that are too short are not those of any span.
fn bytes<const N: usize>(id: &[u8]) -> [u8; N] {
    id.try_into().unwrap_or([0; N])
}

fn kind(span: &Span) -> &'static str {
    match span.kind() {
        span::SpanKind::Server => "server ",
        span::SpanKind::Client => "client ",
        _ => "",
    }
}

fn status_of(span: &Span) -> Status {
    match &span.status {
        Some(status) if status.code() == status::StatusCode::Error => {
            Status::error(status.message.clone())
        }
        _ => Status::Unset,
    }
}
