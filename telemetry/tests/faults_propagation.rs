//! What headers from anywhere do to the propagators of the whole process; alone in its test binary
//! because of these.

mod common;

use std::collections::HashMap;
use std::sync::Once;

use common::{Bench, LONG};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use telemetry_rt_telemetry::export::{InMemory, Otel, install_globals};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn valid() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

/// The propagators are ours from here on, and the pipeline is gone: they stay.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let otel = Otel::builder().exporter(InMemory::new()).build();
        assert!(install_globals(&Bench::new(otel).pipeline));
    });
}

fn extract(headers: &[(&str, &str)]) -> Context {
    install();
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let headers: HashMap<String, String> = headers.iter().map(own).collect();
    global::get_text_map_propagator(|all| all.extract_with_context(&Context::new(), &headers))
}

fn inject(context: &Context) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    global::get_text_map_propagator(|all| all.inject_context(context, &mut headers));
    headers
}

#[test]
fn a_context_comes_out_as_it_went_in() {
    let context = extract(&[
        ("traceparent", &valid()),
        ("tracestate", "b=2,a=1"),
        ("baggage", "user=7"),
    ]);
    let sent = inject(&context);
    assert_eq!(sent["traceparent"], valid());
    assert_eq!(sent["tracestate"], "b=2,a=1");
    assert_eq!(sent["baggage"], "user=7");
}

#[test]
fn what_is_no_traceparent_begins_a_new_root() {
    let long = "0".repeat(100_000);
    for header in [
        "",
        "garbage",
        "00",
        "00--",
        "00---",
        "\0",
        "00-\u{fffd}\u{fffd}-\u{fffd}-01",
        &long,
        &"-".repeat(100_000),
        // Ids of nothing, and no digits of either.
        &format!("00-{}-{SPAN}-01", "0".repeat(32)),
        &format!("00-{TRACE}-{}-01", "0".repeat(16)),
        &format!("00-{}-{SPAN}-01", "x".repeat(32)),
        // Upper case, and the version that is none.
        &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        &format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        &format!("ff-{TRACE}-{SPAN}-01"),
        &format!("FF-{TRACE}-{SPAN}-01"),
        // Fields that are too short, too long, too many, or hold a sign.
        &format!("00-{}-{SPAN}-01", &TRACE[1..]),
        &format!("00-{TRACE}-{}-01", &SPAN[1..]),
        &format!("00-0{TRACE}-{SPAN}-01"),
        &format!("00-{TRACE}-0{SPAN}-01"),
        &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        &format!("0-{TRACE}-{SPAN}-01"),
        &format!("+0-{TRACE}-{SPAN}-01"),
        &format!("00-{TRACE}-{SPAN}-1"),
        &format!("00-{TRACE}-{SPAN}-001"),
        &format!("00-{TRACE}-{SPAN}-+1"),
        &format!("00-{TRACE}-{SPAN}-01-more"),
        &format!("00-{TRACE}-{SPAN}-01-"),
        &format!("00-{TRACE}-{SPAN}-01{long}"),
    ] {
        let context = extract(&[("traceparent", header)]);
        let shown: String = header.chars().take(70).collect();
        assert!(!context.span().span_context().is_valid(), "{shown:?}");
    }
}

#[test]
fn a_later_version_may_say_more() {
    for header in [
        format!("01-{TRACE}-{SPAN}-01"),
        format!("cc-{TRACE}-{SPAN}-01-more"),
    ] {
        let context = extract(&[("traceparent", &header)]);
        assert_eq!(
            context.span().span_context().span_id(),
            SpanId::from_hex(SPAN).unwrap()
        );
    }
}

#[test]
fn a_tracestate_that_is_none_costs_itself_and_not_the_parent() {
    let long = format!("a={}", "x".repeat(100_000));
    for state in ["=", "a", "\0=\0", "A=1", "a=1\r\nx: y", "\u{fffd}=1", &long] {
        let context = extract(&[("traceparent", &valid()), ("tracestate", state)]);
        assert!(context.span().span_context().is_valid());
        let sent = inject(&context).remove("tracestate").unwrap_or_default();
        assert!(!sent.contains(['\r', '\n', '\0']), "{sent:?}");
        assert!(sent.len() < 512, "{}", sent.len());
    }
}

#[test]
fn of_many_members_of_a_tracestate_the_first_are_kept() {
    let members: Vec<String> = (0..10_000).map(|number| format!("k{number}=v")).collect();
    let context = extract(&[
        ("traceparent", &valid()),
        ("tracestate", &members.join(",")),
    ]);
    assert_eq!(inject(&context)["tracestate"], members[..32].join(","));
}

#[test]
fn baggage_is_bounded_when_it_comes_and_when_it_goes() {
    let many: Vec<String> = (0..10_000).map(|number| format!("k{number}=v")).collect();
    let context = extract(&[("baggage", &many.join(","))]);
    assert!(
        context.baggage().is_empty(),
        "it is longer than all baggage may be"
    );
    let context = extract(&[("baggage", &many[..500].join(","))]);
    assert_eq!(context.baggage().len(), 64);
    assert_eq!(inject(&context)["baggage"].split(',').count(), 64);
    for long in [
        "x".repeat(100_000),
        "%41".repeat(30_000),
        ",".repeat(100_000),
        ";".repeat(8_000),
    ] {
        assert!(
            extract(&[("baggage", &format!("k={long}"))])
                .baggage()
                .len()
                <= 1
        );
        let context = extract(&[("baggage", &long)]);
        assert!(
            inject(&context)
                .get("baggage")
                .is_none_or(|sent| sent.len() < 10_000)
        );
    }
    let value = "x".repeat(100_000);
    let context = Context::new().with_baggage([KeyValue::new("k", value)]);
    assert!(
        inject(&context)
            .get("baggage")
            .is_none_or(|sent| sent.len() <= 8192)
    );
}

#[test]
fn what_baggage_holds_cannot_begin_a_header_of_its_own() {
    for baggage in [
        "k=a%0d%0aset-cookie:%20x",
        "k%0d%0a=a",
        "k=%00%ff",
        "k=\u{fffd}",
        "=,;;=,%",
    ] {
        for (_, value) in inject(&extract(&[("baggage", baggage)])) {
            assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
        }
    }
}

/// Headers of which a name or a value is no text are as if they were not there.
struct NoText;

impl Extractor for NoText {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate", "baggage"]
    }
}

#[test]
fn headers_that_are_no_text_begin_a_new_root_that_is_recorded() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    install();
    let context =
        global::get_text_map_propagator(|all| all.extract_with_context(&Context::new(), &NoText));
    let tracer = bench.pipeline.tracer("server").unwrap();
    for context in [context, extract(&[("traceparent", "\0garbage")])] {
        drop(tracer.start_with_context("GET", &context));
    }
    assert_eq!(bench.shutdown(LONG).spans.exported, 2);
    let spans = memory.spans();
    assert!(
        spans
            .iter()
            .all(|span| span.parent_span_id == SpanId::INVALID)
    );
}
