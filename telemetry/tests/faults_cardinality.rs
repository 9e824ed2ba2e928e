//! A million names of tasks and values of attributes: memory that is bounded, sums that are exact.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "nothing fails here")]
mod faulty;
mod memory;

use std::fmt::Write;

use common::{Bench, FAILED, FINISHED, LONG, sums};
use faulty::Faulty;
use memory::{Growth, MIB};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, Tracer};
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, MetricData, Only, Otel, Signal};

const MANY: u64 = 1_000_000;

/// As many kinds as a recorder tells apart, and one for all others.
const MOST_SERIES: usize = 2_001;

#[test]
fn a_million_names_are_two_thousand_series_and_one_for_all_others() {
    let _alone = memory::alone();
    let memory = InMemory::new();
    let metrics = Only::new(Signal::Metrics, memory.clone());
    let bench = Bench::new(Otel::builder().exporter(metrics).build());
    let growth = Growth::begin();
    let mut name = String::new();
    for number in 0..MANY {
        name.clear();
        write!(name, "task number {number}").unwrap();
        bench.run(&name);
    }
    // A series is a histogram of 1 kB, a kind, and a name.
    growth.assert_below(8 * MIB);
    bench.shutdown(LONG);

    let counts = sums(&memory.metrics(), "process.count");
    assert_eq!(counts.len(), MOST_SERIES);
    assert_eq!(
        counts.iter().map(|(_, count)| *count).sum::<i64>(),
        MANY as i64
    );
    let others = counts
        .iter()
        .filter(|(labels, _)| labels.contains("otel.metric.overflow=true"));
    let others: Vec<i64> = others.map(|(_, count)| *count).collect();
    assert_eq!(others, [MANY as i64 - (MOST_SERIES as i64 - 1)]);
    let metrics = memory.metrics();
    let Some(MetricData::Histogram { points, .. }) = metrics
        .iter()
        .find(|metric| metric.name == "process.duration")
        .map(|metric| &metric.data)
    else {
        panic!("{metrics:?}");
    };
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), MANY);
    assert!(
        points
            .iter()
            .all(|point| point.buckets.iter().sum::<u64>() == point.count)
    );
}

#[test]
fn as_many_series_as_there_may_be_fit_into_requests_that_collectors_take() {
    let _alone = memory::alone();
    for delta in [false, true] {
        let collector = Faulty::start([]);
        let endpoint = Endpoint::new(&collector.url("metrics")).unwrap();
        let otlp = Otlp::to(None, Some(endpoint));
        let otlp = if delta { otlp.with_delta() } else { otlp };
        let bench = Bench::new(Otel::builder().exporter(otlp).build());
        for number in 0..MOST_SERIES {
            let name = format!("task number {number}");
            for ending in [FINISHED, FAILED] {
                bench.run_with(&name, ending, || {});
            }
        }
        bench.shutdown(LONG);
        assert!(collector.longest() < 4 << 20, "{}", collector.longest());
        let counted: u64 = collector
            .metrics()
            .iter()
            .map(|metrics| counted(metrics))
            .sum();
        assert_eq!(counted, 2 * MOST_SERIES as u64, "by differences: {delta}");
    }
}

/// What all series of a request have counted; not each request has some.
fn counted(metrics: &[opentelemetry_proto::tonic::metrics::v1::Metric]) -> u64 {
    let of_processes = metrics
        .iter()
        .filter(|metric| metric.name == "process.count");
    of_processes
        .map(|metric| faulty::total(std::slice::from_ref(metric), "process.count"))
        .sum()
}

#[test]
fn values_of_attributes_leave_nothing_behind() {
    let _alone = memory::alone();
    let memory = InMemory::new();
    // Spans are thrown away, as if a collector had taken them.
    let bench = Bench::new(
        Otel::builder()
            .queue_size(2048)
            .exporter(Forgetful)
            .exporter(Only::new(Signal::Metrics, memory.clone()))
            .build(),
    );
    let tracer = bench.pipeline.tracer("user").unwrap();
    let run = |from: u64| {
        for number in from..from + MANY / 20 {
            let mut span = tracer.start("query");
            span.set_attribute(KeyValue::new(
                format!("key {number}"),
                format!("value {number}"),
            ));
        }
        assert!(bench.flush().completed);
    };
    run(0);
    let growth = Growth::begin();
    run(MANY);
    growth.assert_kept_below(2 * MIB);
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, MANY / 10);
}

struct Forgetful;

impl telemetry_rt_telemetry::export::Exporter for Forgetful {}
