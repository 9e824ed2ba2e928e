//! Trees and tables, as text.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use telemetry_rt_telemetry::export::render::{TreeOptions, escaped, metrics_table, span_tree};
use telemetry_rt_telemetry::export::{HistogramPoint, Metric, MetricData, Number, NumberPoint};

fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

fn span(id: u64, parent: u64, name: &str, start: u64, end: u64) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(1),
            SpanId::from(id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.to_owned().into(),
        start_time: at(start),
        end_time: at(end),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn spans() -> Vec<SpanData> {
    let mut failed = span(4, 2, "query", 30, 1_530);
    failed.status = Status::error("returned Err(app::Gone)");
    vec![
        span(3, 1, "second", 50, 60),
        failed,
        span(2, 1, "first", 20, 12_345_678),
        span(6, 99, "orphan", 5, 6),
        span(1, 0, "root", 10, 123_010),
    ]
}

#[test]
fn spans_are_an_indented_tree_in_the_order_they_started() {
    assert_eq!(
        span_tree(&spans(), TreeOptions::default()),
        "… orphan 1.00 µs\n\
         root 123 ms\n\
         \x20 first 12.3 s\n\
         \x20   query 1.50 ms ! returned Err(app::Gone)\n\
         \x20 second 10.0 µs\n"
    );
}

#[test]
fn durations_can_be_left_out_and_only_the_last_lines_kept() {
    let options = TreeOptions {
        most_lines: 2,
        durations: false,
    };
    assert_eq!(
        span_tree(&spans(), options),
        "(3 lines before)\n    query ! returned Err(app::Gone)\n  second\n"
    );
    assert_eq!(span_tree(&[], options), "");
}

#[test]
fn spans_that_are_their_own_ancestors_do_not_hang_the_tree() {
    let text = span_tree(&[span(1, 1, "self", 0, 1)], TreeOptions::default());
    assert_eq!(text, "… self 1.00 µs\n");
}

#[test]
fn what_would_move_a_cursor_is_spelled_out() {
    assert_eq!(
        escaped("a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}é"),
        "a\\u{1b}[2Jb\\r\\nc\\u{202e}d\\u{9b}é"
    );
    let text = span_tree(
        &[span(1, 0, "x\u{1b}]0;owned\u{7}\ny", 0, 1)],
        TreeOptions::default(),
    );
    assert_eq!(
        text.chars().filter(|c| c.is_control()).count(),
        1,
        "{text:?}"
    );
}

#[test]
fn metrics_are_aligned_tables() {
    let histogram = Metric {
        scope: InstrumentationScope::builder("telemetry_rt").build(),
        name: "process.duration".into(),
        description: "".into(),
        unit: "s".into(),
        data: MetricData::Histogram {
            bounds: Arc::new([0.001, 0.01, 0.1]),
            points: vec![
                point("fetch", [98, 1, 1, 0], 0.05),
                point("l", [0, 0, 0, 1], 2.5),
            ],
        },
    };
    let counter = Metric {
        scope: InstrumentationScope::builder("telemetry_rt").build(),
        name: "process.count".into(),
        description: "".into(),
        unit: "{process}".into(),
        data: MetricData::Sum {
            monotonic: true,
            points: vec![NumberPoint {
                attributes: vec![KeyValue::new("name", "fe\u{1b}tch")],
                start: at(0),
                time: at(1),
                value: Number::Int(100),
            }],
        },
    };
    let empty = Metric {
        data: MetricData::Gauge { points: vec![] },
        ..counter.clone()
    };
    assert_eq!(
        metrics_table(&[histogram, counter, empty]),
        "process.duration [s]  count     mean      p50      p99      max\n\
         \x20 name=fetch            100  1.00 ms  1.00 ms  10.0 ms  50.0 ms\n\
         \x20 name=l                  1   100 ms   2.50 s   2.50 s   2.50 s\n\
         process.count [{process}]  value\n\
         \x20 name=fe\\u{1b}tch           100\n"
    );
}

fn point(name: &'static str, buckets: [u64; 4], max: f64) -> HistogramPoint {
    HistogramPoint {
        attributes: vec![KeyValue::new("name", name)],
        start: at(0),
        time: at(1),
        count: buckets.iter().sum(),
        sum: 0.1,
        min: Some(0.0001),
        max: Some(max),
        buckets: buckets.to_vec(),
        exemplars: Vec::new(),
    }
}
