//! Whether a collector is told the same by the two ways that spans go: records are written as bytes
//! at once, or become spans of the SDK first, which a library writes.

#[expect(dead_code, reason = "a part is for collectors that refuse")]
mod collector;
mod common;

use std::collections::BTreeMap;
use std::panic::Location;
use std::time::Duration;

use collector::{Collector, Reply, Request};
use common::{BLOCKING, Bench, FAILED, FINISHED, LONG, TASK, done, task};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanLimits};
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, Otel, OtelBuilder};
use telemetry_rt_telemetry::record::{
    Ending, Lineage, Outcome, PollDetail, PollEnd, PollGuard, ProcessType, Spawning, Waiting,
};

/// Spans by their scopes and ids: what tells one request from another but for its order.
type Told = BTreeMap<String, BTreeMap<Vec<u8>, Span>>;

fn told(scopes: Vec<ScopeSpans>) -> Told {
    let mut told = Told::new();
    for of_scope in scopes {
        let name = format!("{:?} {}", of_scope.scope, of_scope.schema_url);
        let spans = told.entry(name).or_default();
        for span in of_scope.spans {
            let twin = spans.insert(span.span_id.clone(), span);
            assert_eq!(twin, None, "it came twice");
        }
    }
    told
}

/// What arrives at a collector, and what the library makes of the same spans.
fn both(otel: OtelBuilder, otlp_is_first: bool, run: impl Fn(&Bench)) -> (Told, Told) {
    let collector = Collector::start([]);
    let url = format!("{}/v1/traces", collector.url());
    let otlp = Otlp::to(Some(Endpoint::new(&url).unwrap()), None);
    let memory = InMemory::new();
    let otel = match otlp_is_first {
        true => otel.exporter(otlp).exporter(memory.clone()),
        false => otel.exporter(memory.clone()).exporter(otlp),
    };
    let resource = Resource::builder_empty().with_service_name("shop").build();
    let bench = Bench::new(otel.resource(resource.clone()).build());
    run(&bench);
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, report.spans.exported);

    let by_library = of_library(memory.spans(), &resource);
    let mut arrived = Vec::new();
    for request in collector.requests() {
        let mut by_resource = request.traces().resource_spans;
        assert_eq!(by_resource.len(), 1);
        let of_resource = by_resource.remove(0);
        assert_eq!(of_resource.resource, by_library[0].resource);
        arrived.extend(of_resource.scope_spans);
    }
    let by_library = by_library.into_iter();
    let by_library = by_library.flat_map(|of_resource| of_resource.scope_spans);
    (told(arrived), told(by_library.collect()))
}

fn of_library(
    spans: Vec<SpanData>,
    resource: &Resource,
) -> Vec<opentelemetry_proto::tonic::trace::v1::ResourceSpans> {
    group_spans_by_resource_and_scope(spans, &ResourceAttributesWithSchema::from(resource))
}

#[track_caller]
fn assert_same(otel: impl Fn() -> OtelBuilder, run: impl Fn(&Bench)) -> Vec<Span> {
    let mut spans = Vec::new();
    for otlp_is_first in [true, false] {
        let (arrived, by_library) = both(otel(), otlp_is_first, &run);
        assert_eq!(arrived, by_library);
        spans = arrived
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect();
    }
    spans
}

fn number(span: &Span, key: &str) -> Option<i64> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue;
    let attribute = span.attributes.iter().find(|known| known.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        IntValue(number) => Some(*number),
        _ => None,
    }
}

fn spawning(name: Option<&'static str>, lineage: Lineage) -> Spawning<'static> {
    Spawning {
        meta: &TASK,
        name,
        site: Location::caller(),
        lineage,
    }
}

/// A process that waits for each reason, and is woken more often than it is polled.
fn wait_for_everything(bench: &Bench) {
    let mut account = bench.spawn(Some("waits"));
    let wake = account.first_wake();
    let process = &mut task(&mut account, 7);
    for waiting in Waiting::ALL {
        let mut poll = PollGuard::default();
        bench.worker.poll_started(&mut poll, process, &wake);
        let end = PollEnd {
            waiting: Some(waiting),
            ..done(3)
        };
        bench.worker.poll_ended(&mut poll, process, end);
        bench.worker.paused();
        std::thread::sleep(Duration::from_millis(1));
        wake.woken(|| 0, || None);
        bench.worker.resumed();
    }
    let mut poll = PollGuard::default();
    bench.worker.poll_started(&mut poll, process, &wake);
    bench.worker.poll_ended(&mut poll, process, done(3));
    drop(bench.worker.ended(process, FINISHED));
}

fn remote(state: &str) -> Context {
    let state = TraceState::from_key_value(state.split_once('=')).unwrap();
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(7),
        SpanId::from(8),
        TraceFlags::SAMPLED,
        true,
        state,
    ))
}

fn every_ending(bench: &Bench) {
    for ending in [
        FINISHED,
        FAILED,
        Ending::Cancelled,
        Ending::Panicked("oh no"),
        Ending::Returned(Outcome::TimedOut),
    ] {
        bench.run_with("ends", ending, || {});
    }
}

fn on_the_blocking_pool(bench: &Bench, thread: &str) {
    let thread = bench.recorder.blocking(thread.into());
    let mut account = bench.recorder.spawned(Spawning {
        meta: &BLOCKING,
        ..spawning(None, Lineage::Inherit)
    });
    let wake = account.first_wake();
    let process = &mut account.process(1, ProcessType::Blocking);
    let mut poll = PollGuard::default();
    thread.poll_started(&mut poll, process, &wake);
    thread.poll_ended(&mut poll, process, done(1));
    drop(thread.ended(process, FINISHED));
}

fn roots_with_links(bench: &Bench) {
    let spawn_root = || {
        let spawning = spawning(Some("root"), Lineage::Root);
        let mut account = bench.recorder.spawned(spawning);
        drop(bench.worker.ended(&mut task(&mut account, 1), FINISHED));
    };
    bench.run_with("parent", FINISHED, spawn_root);
    let _below = remote("shop=7").attach();
    bench.run_with("parent with a state", FAILED, spawn_root);
    spawn_root();
}

fn what_users_say(bench: &Bench) {
    bench.run_with("said", FAILED, || {
        let context = Context::current();
        let span = context.span();
        span.update_name("fetch orders");
        span.set_attribute(KeyValue::new("shop", 7));
        span.set_attribute(KeyValue::new("task.id", "mine"));
        for value in values() {
            span.add_event("cached", vec![KeyValue::new("value", value)]);
        }
        span.add_link(remote("a=b").span().span_context().clone(), vec![]);
        span.set_status(Status::Ok);
    });
}

fn values() -> [Value; 6] {
    let texts = vec!["text".into(), "äöüß".into()];
    [
        Value::from("text"),
        Value::from(1.5),
        Value::from(true),
        Value::from(i64::MIN),
        Value::Array(Array::String(texts)),
        Value::Array(Array::F64(vec![1.0, -0.0])),
    ]
}

fn users_spans(bench: &Bench) {
    for scope in ["first", "second"] {
        let tracer = bench.pipeline.tracer_provider().tracer(scope);
        for kind in [SpanKind::Client, SpanKind::Internal] {
            let builder = tracer.span_builder("user").with_kind(kind);
            let builder = builder.with_links(vec![Link::with_context(
                remote("c=d").span().span_context().clone(),
            )]);
            let mut span = builder.start_with_context(&tracer, &remote("e=f"));
            for (index, value) in values().into_iter().enumerate() {
                span.set_attribute(KeyValue::new(format!("key{index}"), value));
            }
            span.set_status(Status::error("no"));
            span.end();
        }
    }
}

fn everything(bench: &Bench) {
    every_ending(bench);
    wait_for_everything(bench);
    on_the_blocking_pool(bench, "rt-blocking-1");
    on_the_blocking_pool(bench, &"ä".repeat(200));
    roots_with_links(bench);
    what_users_say(bench);
    users_spans(bench);
}

#[test]
fn whatever_there_is_to_tell_arrives_the_same_by_both_ways() {
    let spans = assert_same(Otel::builder, everything);
    assert_eq!(spans.len(), 5 + 1 + 2 + 5 + 1 + 4);
    let waits = spans.iter().find(|span| span.name == "waits").unwrap();
    assert_eq!(number(waits, "task.coalesced_wakes"), Some(12));
    for waiting in ["io", "timer", "blocking", "join", "other"] {
        let idle = number(waits, &format!("task.idle_{waiting}_ns"));
        assert!(idle >= Some(900_000), "{waiting}: {idle:?}");
    }
    let linked = spans.iter().filter(|span| !span.links.is_empty()).count();
    assert_eq!(linked, 3 + 1 + 4);
}

#[test]
fn limits_cut_the_same_by_both_ways() {
    let default = SpanLimits::default;
    for limits in [
        SpanLimits {
            max_attributes_per_span: 9,
            ..default()
        },
        SpanLimits {
            max_attributes_per_span: 0,
            ..default()
        },
        SpanLimits {
            max_links_per_span: 0,
            ..default()
        },
        SpanLimits {
            max_events_per_span: 2,
            max_attributes_per_event: 0,
            ..default()
        },
    ] {
        assert_same(|| Otel::builder().span_limits(limits), everything);
    }
    for length in [0, 3, 20] {
        assert_same(|| Otel::builder().value_length(length), everything);
    }
}

#[test]
fn single_polls_arrive_the_same_by_both_ways() {
    for detail in [PollDetail::Events, PollDetail::Spans] {
        for slow in [Duration::ZERO, LONG] {
            let otel = || Otel::builder().poll_detail(detail).slow_poll(slow);
            let spans = assert_same(otel, |bench| {
                every_ending(bench);
                wait_for_everything(bench);
                let _below = remote("shop=7").attach();
                bench.run("below");
            });
            let events = spans.iter().any(|span| !span.events.is_empty());
            let polls = spans.iter().any(|span| span.name == "poll");
            assert!(events && polls == (detail == PollDetail::Spans));
        }
    }
}

#[test]
fn what_is_not_sampled_arrives_by_neither_way() {
    let off = || Otel::builder().sampler(opentelemetry_sdk::trace::Sampler::AlwaysOff);
    assert!(assert_same(off, everything).is_empty());
}

#[test]
fn many_and_few_arrive_the_same_by_both_ways_whatever_the_size_of_batches() {
    for batch in [1, 7, 100, 300] {
        let otel = || Otel::builder().batch_size(batch);
        let spans = assert_same(otel, |bench| {
            for _ in 0..3 {
                bench.run_many(100);
                everything(bench);
            }
        });
        assert_eq!(spans.len(), 3 * 118);
    }
}

#[test]
fn a_batch_that_is_too_large_for_one_request_is_sent_in_pieces_that_fail_alone() {
    let collector = Collector::start([Reply::status(200), Reply::status(400)]);
    let url = format!("{}/v1/traces", collector.url());
    let otlp = Otlp::to(Some(Endpoint::new(&url).unwrap()), None);
    let otel = Otel::builder().exporter(otlp).schedule_delay(LONG);
    let bench = Bench::new(otel.batch_size(20_000).span_ring(16_384).build());
    bench.run_many(13_000);
    users_spans(&bench);
    let report = bench.shutdown(LONG);

    let requests = collector.requests();
    let spans_of = |request: &Request| {
        let by_resource = request.traces().resource_spans.remove(0);
        let spans = by_resource.scope_spans.iter();
        spans.map(|of_scope| of_scope.spans.len()).sum::<usize>() as u64
    };
    let [first, second] = [0, 1].map(|index| spans_of(&requests[index]));
    assert_eq!((requests.len(), first + second), (2, 13_004));
    assert!((3_900_000..=4 << 20).contains(&requests[0].size()));
    let lost = report.spans.dropped.export_failed;
    assert_eq!((report.spans.exported, lost), (first, second));
}
