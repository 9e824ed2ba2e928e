//! Spans and metrics at a collector that answers as it is told.

#[path = "collector/alike.rs"]
mod alike;
mod collector;
mod common;

use std::time::{Duration, Instant};

use alike::{assert_alike, end_rich_spans};
use collector::{Collector, Reply};
use common::{Bench, LONG, keep_warnings, sums, warnings};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, Tracer, TracerProvider};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, HistogramDataPoint};
use opentelemetry_sdk::Resource;
use prost::Message;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, Otel};

fn endpoint(collector: &Collector, signal: &str) -> Endpoint {
    Endpoint::new(&format!("{}/v1/{signal}", collector.url())).unwrap()
}

fn traces_to(endpoint: Endpoint) -> Bench {
    Bench::new(
        Otel::builder()
            .exporter(Otlp::to(Some(endpoint), None))
            .build(),
    )
}

#[test]
fn spans_and_metrics_arrive_and_their_numbers_agree() {
    let collector = Collector::start([]);
    let otlp = Otlp::to(
        Some(
            endpoint(&collector, "traces")
                .header("api-key", "secret")
                .unwrap(),
        ),
        Some(endpoint(&collector, "metrics")),
    );
    let resource = Resource::builder_empty().with_service_name("shop").build();
    let bench = Bench::new(Otel::builder().exporter(otlp).resource(resource).build());
    bench.run_many(1_500);
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.exported, 1_500);

    let spans = collector.spans();
    assert_eq!(spans.len(), 1_500);
    assert!(
        spans
            .iter()
            .all(|span| span.name == "many" && span.flags & 1 == 1)
    );
    assert!(
        spans
            .iter()
            .all(|span| span.end_time_unix_nano >= span.start_time_unix_nano)
    );
    let requests = collector.requests();
    assert_eq!(requests[0].header("api-key"), Some("secret"));
    assert_eq!(
        requests[0].header("content-type"),
        Some("application/x-protobuf")
    );
    let traces = requests[0].traces().resource_spans.remove(0);
    assert_eq!(traces.resource.unwrap().attributes[0].key, "service.name");
    assert_eq!(
        traces.scope_spans[0].scope.as_ref().unwrap().name,
        "telemetry_rt"
    );

    let scopes = requests.last().unwrap().scopes();
    let names = scopes
        .iter()
        .map(|scope| &scope.scope.as_ref().unwrap().name);
    assert_eq!(names.collect::<Vec<_>>(), ["telemetry_rt"]);
    let metrics = collector.last_metrics();
    assert_eq!(metrics[0].name, "process.duration");
    let Some(Data::Histogram(histogram)) = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    let point = &histogram.data_points[0];
    assert_eq!(
        histogram.aggregation_temporality(),
        AggregationTemporality::Cumulative
    );
    assert_eq!(
        (point.count, point.bucket_counts.iter().sum::<u64>()),
        (1_500, 1_500)
    );
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert!(point.min.is_some() && point.max.is_some() && point.sum() > 0.0);
}

#[test]
fn the_environment_leads_to_the_collector() {
    let collector = Collector::start([]);
    let url = collector.url();
    let get = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(url.clone()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=a%2Cb".to_owned()),
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION" => Some("gzip".to_owned()),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => Some("lowmemory".to_owned()),
        _ => None,
    };
    let otel = Otel::from_variables(&get);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
    let bench = Bench::new(otel);
    bench.run("fetch");
    assert_eq!(bench.shutdown(LONG).spans.exported, 1);

    let requests = collector.requests();
    assert_eq!(requests[0].header("api-key"), Some("a,b"));
    assert_eq!(requests[0].header("content-encoding"), None);
    assert_eq!(requests[1].header("content-encoding"), Some("gzip"));
    assert_eq!(collector.spans()[0].name, "fetch");
    let Some(Data::Sum(sum)) = &collector.last_metrics()[1].data else {
        panic!("the second metric is the count");
    };
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
}

#[test]
fn requests_are_compressed_when_asked() {
    let collector = Collector::start([]);
    let bench = traces_to(endpoint(&collector, "traces").gzip());
    bench.run_many(10);
    bench.shutdown(LONG);
    assert_eq!(
        collector.requests()[0].header("content-encoding"),
        Some("gzip")
    );
    assert_eq!(collector.spans().len(), 10);
}

#[test]
fn spans_of_users_arrive_whole_also_compressed_and_in_pieces() {
    for (gzip, count) in [(false, 3), (true, 3), (true, 400)] {
        let collector = Collector::start([]);
        let endpoint = endpoint(&collector, "traces");
        let endpoint = if gzip { endpoint.gzip() } else { endpoint };
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(Otlp::to(Some(endpoint), None))
            .exporter(memory.clone());
        let bench = Bench::new(otel.build());
        end_rich_spans(&bench.pipeline.tracer("user").unwrap(), count);
        assert_eq!(bench.shutdown(LONG).spans.exported, count as u64);
        assert_alike(&memory, collector.spans());
        let sizes = collector
            .requests()
            .into_iter()
            .map(|request| request.size());
        assert_eq!(sizes.len() > 1, count > 3, "they are more than 4 MB");
    }
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    for reply in [
        Reply::status(503),
        Reply::status(429).with_header("Retry-After: 0"),
        Reply::status(502),
        Reply::Close,
    ] {
        let collector = Collector::start([reply]);
        let bench = traces_to(endpoint(&collector, "traces"));
        bench.run("fetch");
        assert!(bench.flush().completed);
        let report = bench.shutdown(LONG);
        assert_eq!(
            (report.spans.exported, report.spans.dropped.total()),
            (1, 0)
        );
        assert_eq!(collector.requests().len(), 2);
    }
}

#[test]
fn a_refusal_is_not_repeated_and_its_text_is_shown() {
    keep_warnings();
    let collector = Collector::start([Reply::status(400).with_body(b"bad \x1b[31mspan")]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run("refused");
    bench.flush();
    bench.run("accepted");
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (1, 1)
    );
    assert_eq!(collector.requests().len(), 2);
    let said = warnings(&collector.url());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("400 Bad Request: bad \\u{1b}[31mspan"),
        "{said:?}"
    );
}

#[test]
fn a_redirect_is_refused() {
    let elsewhere = Collector::start([]);
    let header = format!("Location: {}/v1/traces", elsewhere.url());
    let collector = Collector::start([Reply::status(307).with_header(&header)]);
    let bench = traces_to(
        endpoint(&collector, "traces")
            .header("api-key", "secret")
            .unwrap(),
    );
    bench.run("fetch");
    assert_eq!(bench.shutdown(LONG).spans.dropped.export_failed, 1);
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn spans_that_the_collector_rejects_are_lost() {
    let reply = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 4,
            error_message: "too old".to_owned(),
        }),
    };
    let collector = Collector::start([Reply::status(200).with_body(&reply.encode_to_vec())]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run_many(10);
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (6, 4)
    );
}

#[test]
fn a_collector_that_is_down_is_warned_about_once_and_a_shutdown_is_soon_over() {
    keep_warnings();
    // A port below those that the system hands out, on which nothing listens.
    let url = "http://127.0.0.1:1/v1/traces";
    let otlp = Otlp::to(Some(Endpoint::new(url).unwrap()), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(100).build());
    bench.run_many(500);
    let start = Instant::now();
    let report = bench.shutdown(Duration::from_secs(2));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (report.spans.exported, report.spans.dropped.total()),
        (0, 500)
    );
    let said = warnings(url);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("exporter otlp: traces are not exported: POST "),
        "{said:?}"
    );
}

#[test]
fn a_collector_that_hangs_does_not_hold_a_shutdown_up_and_is_named() {
    keep_warnings();
    let collector = Collector::start([Reply::Hang]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run_many(10);
    let start = Instant::now();
    let report = bench.shutdown(Duration::from_millis(500));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(report.spans.dropped.export_failed, 10);
    assert!(report.completed);
    let said = warnings(&collector.url());
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn spans_at_a_collector_that_hung_before_the_shutdown_are_said_to_be_lost() {
    keep_warnings();
    let collector = Collector::start([Reply::Hang]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run_many(7);
    bench.pipeline.force_flush(Duration::from_millis(100));
    let report = bench.shutdown(Duration::from_millis(300));
    assert_eq!(report.spans.dropped.shutdown_deadline, 7);
    let said = warnings("7 spans are lost");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_collector_that_wants_to_rest_is_left_alone() {
    let reply = Reply::status(429).with_header("Retry-After: 1");
    let collector = Collector::start([reply]);
    let endpoint = endpoint(&collector, "traces").timeout(Duration::from_millis(300));
    let otlp = Otlp::to(Some(endpoint), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(10).build());
    let start = Instant::now();
    bench.run_many(50);
    assert!(bench.flush().completed);
    assert!(
        start.elapsed() > Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (40, 10)
    );
}

#[test]
fn a_shutdown_does_not_wait_for_a_collector_that_rests() {
    let reply = Reply::status(429).with_header("Retry-After: 3600");
    let collector = Collector::start([reply]);
    let endpoint = endpoint(&collector, "traces").timeout(Duration::from_secs(1));
    let otlp = Otlp::to(Some(endpoint), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(10).build());
    bench.run_many(50);
    bench.pipeline.force_flush(Duration::from_millis(200));
    let start = Instant::now();
    let report = bench.shutdown(LONG);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((report.completed, report.spans.exported), (true, 40));
}

#[test]
fn a_request_may_have_all_the_time_there_is() {
    let collector = Collector::start([Reply::status(503)]);
    let bench = traces_to(endpoint(&collector, "traces").timeout(Duration::MAX));
    bench.run("fetch");
    assert!(bench.flush().completed);
    assert_eq!(bench.shutdown(LONG).spans.exported, 1);
}

#[test]
fn a_batch_with_long_values_is_cut_and_sent_in_pieces() {
    let collector = Collector::start([Reply::status(200), Reply::status(400)]);
    let bench = traces_to(endpoint(&collector, "traces"));
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    for _ in 0..32 {
        let mut span = tracer.start("long");
        for key in ["a", "b", "c", "d"] {
            span.set_attribute(KeyValue::new(key, "x".repeat(100_000)));
        }
    }
    let report = bench.shutdown(LONG);
    // 32 spans of 256 KiB: fifteen in a request, and the second one is refused.
    let sizes: Vec<usize> = collector
        .requests()
        .iter()
        .map(|sent| sent.size())
        .collect();
    assert!(sizes.iter().all(|&size| size < 4 << 20), "{sizes:?}");
    assert_eq!((report.spans.exported, collector.spans().len()), (17, 17));
    assert_eq!(report.spans.dropped.export_failed, 15);
}

#[test]
fn a_collectors_text_reaches_no_terminal_as_it_is() {
    keep_warnings();
    let reply = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: format!("too \x1b[31mold{}", "!".repeat(500)),
        }),
    };
    let collector = Collector::start([Reply::status(200).with_body(&reply.encode_to_vec())]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run("fetch");
    bench.shutdown(LONG);
    let said = warnings("too \\u{1b}[31mold!");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].matches('!').count() < 200, "{said:?}");
}

#[test]
fn a_shutdown_ends_the_pause_between_two_attempts() {
    let reply = Reply::status(503).with_header("Retry-After: 8");
    let collector = Collector::start([reply]);
    let bench = traces_to(endpoint(&collector, "traces"));
    bench.run("fetch");
    bench.pipeline.force_flush(Duration::from_millis(300));
    let start = Instant::now();
    let report = bench.shutdown(Duration::from_secs(5));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(report.spans.exported, 1);
}

#[test]
fn differences_are_those_since_the_last_acknowledged_export() {
    // The second request of the metrics is refused; what it said comes with the third.
    let collector = Collector::start([Reply::status(200), Reply::status(400), Reply::status(200)]);
    let otlp = Otlp::to(None, Some(endpoint(&collector, "metrics"))).with_delta();
    let bench = Bench::new(Otel::builder().exporter(otlp).build());
    for count in [3, 4, 5] {
        bench.run_many(count);
        assert!(bench.flush().completed);
    }
    let points: Vec<HistogramDataPoint> = collector
        .requests()
        .iter()
        .map(|request| request.metrics())
        .map(|metrics| match &metrics[0].data {
            Some(Data::Histogram(histogram)) => {
                assert_eq!(
                    histogram.aggregation_temporality(),
                    AggregationTemporality::Delta
                );
                histogram.data_points[0].clone()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let counts: Vec<u64> = points.iter().map(|point| point.count).collect();
    assert_eq!(counts, [3, 4, 9]);
    assert_eq!(points[2].bucket_counts.iter().sum::<u64>(), 9);
    assert_eq!(points[2].start_time_unix_nano, points[0].time_unix_nano);
    assert!(points[0].max.is_some() && points[2].max.is_none());
    bench.shutdown(LONG);
}

#[test]
fn failures_of_one_signal_are_seen_in_the_other_exporter() {
    let collector = Collector::start([Reply::status(400)]);
    let memory = InMemory::new();
    let otlp = Otlp::to(Some(endpoint(&collector, "traces")), None);
    let bench = Bench::new(
        Otel::builder()
            .exporter(otlp)
            .exporter(memory.clone())
            .build(),
    );
    bench.run_many(2);
    bench.shutdown(LONG);
    let dropped = sums(&memory.metrics(), "executor.spans.dropped");
    assert!(
        dropped.contains(&("cause=export_failed".to_owned(), 2)),
        "{dropped:?}"
    );
    let failures = sums(&memory.metrics(), "executor.export.failures");
    assert!(
        failures.contains(&("exporter=otlp signal=traces".to_owned(), 1)),
        "{failures:?}"
    );
}
