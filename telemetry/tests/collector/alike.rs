//! Users' spans with all that a span can have, and what the library that knows the protocol makes of
//! them.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer,
};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use telemetry_rt_telemetry::export::InMemory;

/// Ends so many spans, each with a parent in another process.
pub fn end_rich_spans(tracer: &impl Tracer, count: i64) {
    (0..count).for_each(|number| end_rich_span(tracer, number));
}

fn end_rich_span(tracer: &impl Tracer, number: i64) {
    let state = TraceState::from_key_value([("vendor", "1"), ("other", "2")]).unwrap();
    let other = |trace: u128, span: u64| {
        let ids = (TraceId::from(trace), SpanId::from(span));
        SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, true, state.clone())
    };
    let parent = Context::new().with_remote_span_context(other(number as u128 + 1, 7));
    let builder = tracer
        .span_builder(format!("request {number}"))
        .with_kind(SpanKind::Server)
        .with_start_time(UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001))
        .with_links(vec![Link::new(other(9, 9), attributes(number), 0)])
        .with_events(vec![Event::new("ready", UNIX_EPOCH, attributes(number), 3)]);
    let mut span = tracer.build_with_context(builder, &parent);
    span.set_attributes(attributes(number));
    span.set_status(Status::error("äöü"));
}

fn attributes(number: i64) -> Vec<KeyValue> {
    let texts = vec!["a".into(), "".into(), "ß".repeat(100).into()];
    vec![
        KeyValue::new("http.route", "/users/{id}"),
        KeyValue::new("url.path", format!("/users/{number}")),
        KeyValue::new("negative", -number),
        KeyValue::new("is.good", number % 2 == 0),
        KeyValue::new("share", 0.25),
        KeyValue::new("long", "x".repeat(5_000)),
        KeyValue::new("texts", Value::Array(Array::String(texts))),
        KeyValue::new("numbers", Value::Array(Array::I64(vec![number, -1, 0]))),
        KeyValue::new("shares", Value::Array(Array::F64(vec![0.0, -0.5]))),
        KeyValue::new("truths", Value::Array(Array::Bool(vec![true, false]))),
    ]
}

/// What arrived is what another exporter was shown, in the words of the library.
#[track_caller]
pub fn assert_alike(memory: &InMemory, mut arrived: Vec<Span>) {
    let shown = memory.spans().into_iter().map(Span::from);
    let mut shown: Vec<Span> = shown.collect();
    for spans in [&mut shown, &mut arrived] {
        spans.sort_by(|one, other| one.span_id.cmp(&other.span_id));
    }
    assert_eq!(arrived, shown);
}
