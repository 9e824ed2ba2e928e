//! Spans that are too much in one way or another: they are cut, what is cut is counted, and what
//! leaves is no larger than collectors take.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "nothing fails here")]
mod faulty;
mod memory;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Bench, FINISHED, LONG, text};
use faulty::Faulty;
use memory::{Growth, MIB};
use opentelemetry::trace::{Span, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{Console, InMemory, Otel};
use telemetry_rt_telemetry::record::Ending;

const HUGE: usize = 10_000_000;

/// What a collector takes in one request.
const MOST: usize = 4 << 20;

/// Does something to the span that is current.
type Act = fn(&Context);

/// Where the collector takes this signal, however long that lasts.
fn endpoint(collector: &Faulty, signal: &str) -> Endpoint {
    let endpoint = Endpoint::new(&collector.url(signal));
    endpoint.unwrap().timeout(LONG)
}

/// What is done to a span of a process, and to one of a user.
#[track_caller]
fn on_each(act: Act, check: impl Fn(&SpanData)) {
    let _alone = memory::alone();
    let collector = Faulty::start([]);
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(Otlp::to(Some(endpoint(&collector, "traces")), None))
        .exporter(memory.clone());
    let bench = Bench::new(otel.build());
    let tracer = bench.pipeline.tracer("user").unwrap();
    bench.run_with("process", FINISHED, || act(&Context::current()));
    tracer.in_span("user", |context| act(&context));
    bench.run("neighbour");
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.exported, collector.spans()), (3, 3));
    assert!(collector.longest() < MOST, "{}", collector.longest());
    let spans = memory.spans();
    let touched = spans.iter().filter(|span| span.name != "neighbour");
    assert_eq!(touched.map(check).count(), 2);
}

fn kept(span: &SpanData) -> usize {
    span.attributes.len()
}

#[test]
fn a_value_of_ten_megabytes_is_cut() {
    on_each(
        |context| {
            context
                .span()
                .set_attribute(KeyValue::new("long", "ä".repeat(HUGE / 2)))
        },
        |span| assert!(text(&span.attributes, "long").is_some()),
    );
}

#[test]
fn lists_of_long_values_and_long_lists_are_cut() {
    on_each(
        |context| {
            let long = vec!["x".repeat(HUGE / 10).into(); 10];
            context
                .span()
                .set_attribute(KeyValue::new("texts", Value::Array(Array::String(long))));
            let many = vec![7; HUGE];
            context
                .span()
                .set_attribute(KeyValue::new("numbers", Value::Array(Array::I64(many))));
        },
        |_| {},
    );
}

#[test]
fn names_keys_and_explanations_of_ten_megabytes_are_cut() {
    on_each(
        |context| {
            let huge = || "n".repeat(HUGE);
            context.span().update_name(huge());
            context.span().set_attribute(KeyValue::new(huge(), 1));
            context
                .span()
                .add_event(huge(), vec![KeyValue::new(huge(), huge())]);
            context.span().set_status(Status::error(huge()));
        },
        |_| {},
    );
}

#[test]
fn ten_thousand_attributes_are_a_hundred_and_twenty_eight_and_a_number() {
    on_each(
        |context| {
            for number in 0..10_000 {
                let attribute = KeyValue::new(format!("key {number}"), number);
                context.span().set_attribute(attribute);
            }
        },
        |span| {
            assert_eq!(
                (kept(span) as u32 + span.dropped_attributes_count) / 10_000,
                1
            )
        },
    );
}

#[test]
fn a_hundred_thousand_events_and_links_are_the_first_ones_and_a_number() {
    on_each(
        |context| {
            // Those that are kept were made before it grows.
            (0..128).for_each(|_| context.span().add_event("event", vec![]));
            let growth = Growth::begin();
            for _ in 0..100_000 {
                let attributes = vec![KeyValue::new("key", "x".repeat(100))];
                context.span().add_event("event", attributes.clone());
                context.span().add_link(SpanContext::NONE, attributes);
            }
            growth.assert_below(MIB);
        },
        |span| {
            // The poll that did all this was slow, of which there is an event, too.
            let dropped = span.events.dropped_count;
            assert_eq!((span.events.len(), dropped / 100_000), (128, 1));
            assert!(dropped <= 100_001, "{dropped}");
            let links = span.links.len() as u32 + span.links.dropped_count;
            // A link to nothing is none to the SDK.
            assert!(
                span.links.len() <= 128 && (links == 100_000 || links == 0),
                "{links}"
            );
        },
    );
}

#[test]
fn ten_thousand_attributes_of_one_event_are_a_hundred_and_twenty_eight_and_a_number() {
    on_each(
        |context| {
            let attribute = |number| KeyValue::new(format!("key {number}"), number);
            context
                .span()
                .add_event("event", (0..10_000).map(attribute).collect());
        },
        |span| {
            let event = &span.events[0];
            assert_eq!(
                (event.attributes.len(), event.dropped_attributes_count),
                (128, 9_872)
            );
        },
    );
}

#[test]
fn a_panic_with_a_message_of_ten_megabytes_is_told_in_brief() {
    let _alone = memory::alone();
    let collector = Faulty::start([]);
    let otlp = Otlp::to(Some(endpoint(&collector, "traces")), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).build());
    bench.run_with("fetch", Ending::Panicked(&"p".repeat(HUGE)), || {});
    assert_eq!(bench.shutdown(LONG).spans.exported, 1);
    assert!(collector.longest() < MOST, "{}", collector.longest());
}

#[test]
fn a_name_of_ten_megabytes_does_not_stop_the_metrics() {
    let _alone = memory::alone();
    let collector = Faulty::start([]);
    let otlp = Otlp::to(None, Some(endpoint(&collector, "metrics")));
    let bench = Bench::new(Otel::builder().exporter(otlp).build());
    let names: Vec<String> = ('a'..'e')
        .map(|letter| letter.to_string().repeat(HUGE))
        .collect();
    let growth = Growth::begin();
    names.iter().for_each(|name| bench.run(name));
    growth.assert_below(MIB);
    bench.shutdown(LONG);
    assert!(collector.longest() < MOST, "{}", collector.longest());
}

#[test]
fn a_span_that_is_too_large_for_any_request_takes_no_other_with_it() {
    let _alone = memory::alone();
    let collector = Faulty::start([]);
    let otlp = Otlp::to(Some(endpoint(&collector, "traces")), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).build());
    let tracer = bench.pipeline.tracer("user").unwrap();
    bench.run_many(10);
    let mut span = tracer.start("huge");
    for number in 0..128 {
        span.set_attribute(KeyValue::new(format!("key {number}"), "x".repeat(100_000)));
    }
    drop(span);
    bench.run_many(10);
    assert_eq!(bench.shutdown(LONG).spans.exported, 21);
    assert!(collector.attempts() > 1, "it is sent by itself");
}

/// Text that a test can read while an exporter holds the other end.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_from_anywhere_moves_the_cursor_of_who_reads_the_console() {
    let page = Page::default();
    let otel = Otel::builder().exporter(Console::to(page.clone()));
    let bench = Bench::new(otel.metric_interval(Duration::MAX).build());
    let evil = "\x1b[2J\0\u{9b}2J\rX\u{202e}";
    bench.run_with(evil, Ending::Panicked(evil), || {
        let context = Context::current();
        context.span().set_attribute(KeyValue::new(evil, evil));
        context
            .span()
            .add_event(evil, vec![KeyValue::new(evil, evil)]);
    });
    let tracer = bench.pipeline.tracer("user").unwrap();
    tracer.in_span(evil, |context| {
        context.span().set_status(Status::error(evil));
    });
    assert_eq!(bench.shutdown(LONG).spans.exported, 2);
    let page = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert!(page.contains("2J"), "{page:?}");
    let evil = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
    assert!(!page.contains(evil), "{page:?}");
}
