//! Whether a span is written as the library that knows the protocol writes it.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::export::length::shorten_values;
use crate::export::otlp::body::BodyWriter;
use crate::export::otlp::long::MOST_CHARACTERS;
use crate::export::queue::tests::span;

// ----- the other way: cut, then copied by the library -----

/// Cuts what is too long, in a span that is changed for that.
pub(in crate::export::otlp) fn shorten(span: &mut SpanData) {
    shorten_values(span, MOST_CHARACTERS);
    shorten_name(&mut span.name);
    if let Status::Error { description } = &mut span.status {
        shorten_name(description);
    }
    span.attributes.iter_mut().for_each(shorten_rest);
    for event in &mut span.events.events {
        shorten_name(&mut event.name);
        event.attributes.iter_mut().for_each(shorten_rest);
    }
    for link in &mut span.links.links {
        link.attributes.iter_mut().for_each(shorten_rest);
    }
}

fn shorten_name(name: &mut Cow<'static, str>) {
    *name = name.chars().take(MOST_CHARACTERS).collect();
}

/// The key, and the list if it is one.
fn shorten_rest(attribute: &mut KeyValue) {
    let key = attribute.key.as_str().chars().take(MOST_CHARACTERS);
    attribute.key = Key::new(key.collect::<String>());
    if let Value::Array(list) = &mut attribute.value {
        match list {
            Array::Bool(list) => list.truncate(MOST_CHARACTERS),
            Array::I64(list) => list.truncate(MOST_CHARACTERS),
            Array::F64(list) => list.truncate(MOST_CHARACTERS),
            Array::String(list) => {
                let mut length = 0;
                list.retain(|text| {
                    length += text.as_str().len() + 1;
                    length <= 2 * MOST_CHARACTERS
                });
            }
            other => panic!("{other:?}"),
        }
    }
}

fn by_library(spans: &[SpanData], resource: &Resource) -> ExportTraceServiceRequest {
    let mut spans = spans.to_vec();
    spans.iter_mut().for_each(shorten);
    let resource = ResourceAttributesWithSchema::from(resource);
    ExportTraceServiceRequest {
        resource_spans: group_spans_by_resource_and_scope(spans, &resource),
    }
}

fn by_us(spans: &[SpanData], resource: &Resource) -> Vec<ExportTraceServiceRequest> {
    let mut requests = Vec::new();
    let sent = BodyWriter::default().send_users(spans, resource, &mut |body| {
        requests.push(Message::decode(body).expect("it is a message"));
        Ok(())
    });
    assert!(sent.is_ok());
    requests
}

fn resource() -> Resource {
    Resource::builder_empty().with_service_name("shop").build()
}

// ----- any span -----

fn text() -> impl Strategy<Value = String> {
    let long = (120_usize..140).prop_map(|length| "ä".repeat(length));
    prop_oneof![8 => "[a-zä-ü ]{0,20}", 1 => long, 1 => Just(String::new())]
}

/// Texts of all three kinds that the API has.
fn string() -> impl Strategy<Value = StringValue> {
    prop_oneof![
        text().prop_map(StringValue::from),
        text().prop_map(|text| StringValue::from(std::sync::Arc::from(text))),
        Just(StringValue::from("static")),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let few = || 0..6_usize;
    prop_oneof![
        string().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i64>(), -3..300_i64].prop_map(Value::I64),
        double().prop_map(Value::F64),
        prop::collection::vec(any::<bool>(), few())
            .prop_map(|list| Value::Array(Array::Bool(list))),
        prop::collection::vec(any::<i64>(), few()).prop_map(|list| Value::Array(Array::I64(list))),
        prop::collection::vec(double(), few()).prop_map(|list| Value::Array(Array::F64(list))),
        prop::collection::vec(string(), few()).prop_map(|list| Value::Array(Array::String(list))),
    ]
}

/// None that is unlike itself.
fn double() -> impl Strategy<Value = f64> {
    use prop::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE
}

fn attributes_of_any() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (text(), value()).prop_map(|(key, value)| KeyValue::new(key, value));
    prop::collection::vec(one, 0..12)
}

fn time() -> impl Strategy<Value = SystemTime> {
    let since = (any::<u32>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Duration::new(seconds.into(), nanos));
    prop_oneof![
        8 => since.clone().prop_map(|since| UNIX_EPOCH + since),
        1 => since.prop_map(|before| UNIX_EPOCH - before),
        1 => Just(UNIX_EPOCH),
    ]
}

fn context() -> impl Strategy<Value = SpanContext> {
    let member = ("[a-z]{1,8}", "[a-z0-9]{0,30}");
    let state = prop::collection::btree_map(member.0, member.1, 0..4)
        .prop_map(|members| TraceState::from_key_value(members).expect("these are allowed"));
    let ids = (any::<u128>(), prop_oneof![Just(0), any::<u64>()]);
    (ids, any::<u8>(), any::<bool>(), state).prop_map(|((trace, span), flags, remote, state)| {
        let flags = TraceFlags::new(flags);
        SpanContext::new(
            TraceId::from(trace),
            SpanId::from(span),
            flags,
            remote,
            state,
        )
    })
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => any::<u32>()]
}

fn events() -> impl Strategy<Value = SpanEvents> {
    let one = (text(), time(), attributes_of_any(), count()).prop_map(
        |(name, timestamp, attributes, dropped)| Event::new(name, timestamp, attributes, dropped),
    );
    (prop::collection::vec(one, 0..4), count()).prop_map(|(events, dropped)| {
        let mut all = SpanEvents::default();
        (all.events, all.dropped_count) = (events, dropped);
        all
    })
}

fn links() -> impl Strategy<Value = SpanLinks> {
    let one = (context(), attributes_of_any(), count())
        .prop_map(|(context, attributes, dropped)| Link::new(context, attributes, dropped));
    (prop::collection::vec(one, 0..4), count()).prop_map(|(links, dropped)| {
        let mut all = SpanLinks::default();
        (all.links, all.dropped_count) = (links, dropped);
        all
    })
}

fn status_of_any() -> impl Strategy<Value = Status> {
    let error = text().prop_map(Status::error);
    prop_oneof![Just(Status::Unset), Just(Status::Ok), error]
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    let name = prop::sample::select(vec!["", "http", "shop"]);
    let version = prop::option::of(prop::sample::select(vec!["", "1.0"]));
    let url = prop::option::of(prop::sample::select(vec!["https://schema"]));
    let attributes = prop::option::of(any::<bool>());
    (name, version, url, attributes).prop_map(|(name, version, url, attribute)| {
        let scope = InstrumentationScope::builder(name);
        let scope = version
            .into_iter()
            .fold(scope, |all, one| all.with_version(one));
        let scope = url
            .into_iter()
            .fold(scope, |all, one| all.with_schema_url(one));
        let attributes = attribute.map(|value| KeyValue::new("key", value));
        scope.with_attributes(attributes).build()
    })
}

fn spans() -> impl Strategy<Value = SpanData> {
    const KINDS: [SpanKind; 5] = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let parent = (prop_oneof![Just(0), any::<u64>()], any::<bool>());
    let kind = prop::sample::select(&KINDS[..]);
    let times = (time(), time());
    let lists = (attributes_of_any(), count(), events(), links());
    let all = (
        context(),
        parent,
        kind,
        text(),
        times,
        lists,
        status_of_any(),
        scope(),
    );
    all.prop_map(
        |(context, parent, kind, name, times, lists, status, scope)| SpanData {
            span_context: context,
            parent_span_id: SpanId::from(parent.0),
            parent_span_is_remote: parent.1,
            span_kind: kind,
            name: name.into(),
            start_time: times.0,
            end_time: times.1,
            attributes: lists.0,
            dropped_attributes_count: lists.1,
            events: lists.2,
            links: lists.3,
            status,
            instrumentation_scope: scope,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_spans_are_written_as_the_library_writes_them(spans in prop::collection::vec(spans(), 1..12)) {
        prop_assert_eq!(by_us(&spans, &resource()), [by_library(&spans, &resource())]);
    }
}

// ----- spans that are too much -----

#[track_caller]
fn assert_alike(span: SpanData) {
    let spans = [span];
    assert_eq!(
        by_us(&spans, &resource()),
        [by_library(&spans, &resource())]
    );
}

#[test]
fn what_is_too_long_is_cut_where_the_library_gets_it_cut() {
    for length in [-1, 0, 1, 70_000].map(|more| MOST_CHARACTERS.wrapping_add_signed(more)) {
        let long = || "ä".repeat(length);
        let short_ones = vec![StringValue::from(""); length];
        let long_ones = vec![
            StringValue::from(long()),
            "x".into(),
            long().into(),
            "y".into(),
        ];
        let lists = [
            Array::Bool(vec![true; length]),
            Array::I64(vec![-1; length]),
            Array::F64(vec![0.5; length]),
            Array::String(short_ones),
            Array::String(vec![StringValue::from("abc"); length]),
            Array::String(long_ones),
        ];
        let mut attributes = vec![KeyValue::new(long(), long())];
        attributes.extend(lists.map(|list| KeyValue::new("list", Value::Array(list))));
        let mut span = SpanData {
            name: long().into(),
            status: Status::error(long()),
            attributes: attributes.clone(),
            ..span()
        };
        let event = Event::new(long(), UNIX_EPOCH, attributes.clone(), 0);
        span.events.events.push(event);
        span.links
            .links
            .push(Link::new(SpanContext::NONE, attributes, 0));
        assert_alike(span);
    }
}

#[test]
fn lengths_of_more_than_two_bytes_are_right() {
    let text = |length: usize| KeyValue::new("text", "x".repeat(length));
    for length in [100, 128, 16_200, 16_384, 40_000] {
        let mut span = SpanData {
            attributes: vec![text(length)],
            ..span()
        };
        assert_alike(span.clone());
        // Many of them, so that all around them is long, too.
        let list = || vec![text(length); 40];
        span.events.events = vec![Event::new("event", UNIX_EPOCH, list(), 1)];
        span.links.links = vec![Link::new(SpanContext::NONE, list(), 1)];
        assert_alike(span);
    }
}

#[test]
fn a_span_that_nobody_could_take_is_sent_without_its_lists() {
    let value: StringValue = std::sync::Arc::<str>::from("x".repeat(MOST_CHARACTERS)).into();
    let attribute = KeyValue::new("text", Value::String(value));
    let mut huge = SpanData {
        attributes: vec![attribute; MOST_BYTES_OF_A_SPAN / MOST_CHARACTERS],
        dropped_attributes_count: 7,
        ..span()
    };
    huge.events.events = vec![Event::with_name("event")];
    let mut wire = Wire::default();
    write(&mut wire, &huge);
    let written = ScopeSpans::decode(wire.written()).unwrap().spans.remove(0);
    let mut bare = span();
    bare.dropped_attributes_count = huge.attributes.len() as u32 + 7;
    bare.events.dropped_count = 1;
    (bare.start_time, bare.end_time) = (huge.start_time, huge.end_time);
    assert_eq!(written, Span::from(bare));
}

#[test]
fn spans_that_are_too_many_for_a_body_are_each_in_one_of_several() {
    let of = |number: usize, scope: &'static str| SpanData {
        name: number.to_string().into(),
        attributes: vec![KeyValue::new("text", "x".repeat(60_000)); 10],
        instrumentation_scope: InstrumentationScope::builder(scope).build(),
        ..span()
    };
    // Six fit into a body: the second scope begins where there is no room for it.
    for first in [6, 7, 12] {
        let spans: Vec<SpanData> = (0..20)
            .map(|number| of(number, if number < first { "a" } else { "b" }))
            .collect();
        let mut names = Vec::new();
        for mut request in by_us(&spans, &resource()) {
            assert!(request.encoded_len() <= 4 << 20);
            let of_resource = request.resource_spans.remove(0);
            assert_eq!(
                of_resource.resource.unwrap().attributes[0].key,
                "service.name"
            );
            for of_scope in of_resource.scope_spans {
                assert!(!of_scope.spans.is_empty(), "a scope without a span");
                let scope = of_scope.scope.unwrap().name;
                names.extend(
                    of_scope
                        .spans
                        .into_iter()
                        .map(|span| (span.name, scope.clone())),
                );
            }
        }
        let scope = |number| if number < first { "a" } else { "b" }.to_owned();
        let expected = (0..20).map(|number: usize| (number.to_string(), scope(number)));
        assert_eq!(names, expected.collect::<Vec<_>>());
    }
}
