//! What becomes of spans at a collector that breaks its protocol, its connections or its promises.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "what arrives is not looked at here")]
mod faulty;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Bench, LONG, assert_losses_are_exported, keep_warnings};
use faulty::{Fault, Faulty, head, total};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, Only, Otel, OtelBuilder, Report, Signal};

const SPANS: u64 = 25;

/// More than any of these exports may take; each has `SHORT` to end in.
const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(400);

fn otel(collector: &Faulty, time: Duration) -> OtelBuilder {
    let endpoint = Endpoint::new(&collector.url("traces")).unwrap();
    Otel::builder().exporter(Otlp::to(Some(endpoint.timeout(time)), None))
}

/// Exports spans while the runtime works, and checks the books: each span is exported or lost, what
/// is exported has arrived, and what is lost is told by the metrics.
#[track_caller]
fn export(collector: &Faulty, time: Duration) -> Report {
    keep_warnings();
    let memory = InMemory::new();
    let metrics = Only::new(Signal::Metrics, memory.clone());
    let bench = Bench::new(otel(collector, time).exporter(metrics).build());
    bench.run_many(SPANS as usize);
    let start = Instant::now();
    assert!(bench.flush().completed);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, SPANS);
    assert_losses_are_exported(&report, &memory.metrics());
    report
}

#[track_caller]
fn assert_arrive(script: impl IntoIterator<Item = Fault>, time: Duration) -> Faulty {
    let collector = Faulty::start(script);
    let report = export(&collector, time);
    assert_eq!(report.spans.exported, SPANS, "{report:?}");
    assert_eq!(collector.spans(), SPANS);
    collector
}

#[track_caller]
fn assert_lost(script: impl IntoIterator<Item = Fault>) -> Faulty {
    let collector = Faulty::start(script);
    let report = export(&collector, SHORT);
    assert_eq!(report.spans.dropped.export_failed, SPANS, "{report:?}");
    collector
}

/// The same for each attempt that there may be within [`SHORT`].
fn always(fault: Fault) -> Vec<Fault> {
    vec![fault; 50]
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_waited_for() {
    let pause = Duration::from_millis(2);
    let slow = Fault::Bytes(Vec::new(), head(200, "", 0), pause);
    assert_arrive([slow], LONG);
}

#[test]
fn an_answer_that_comes_too_slowly_is_given_up_at_the_timeout() {
    let pause = Duration::from_millis(50);
    assert_lost(always(Fault::Bytes(Vec::new(), head(200, "", 0), pause)));
}

#[test]
fn a_collector_that_never_answers_is_given_up_at_the_timeout() {
    assert_lost(always(Fault::Silence));
}

#[test]
fn a_body_that_comes_too_slowly_takes_nothing_back() {
    let body = vec![b'x'; 1000];
    let slow = Fault::Bytes(head(200, "", 1000), body, Duration::from_millis(50));
    let collector = assert_arrive([slow], SHORT);
    assert_eq!(collector.attempts(), 1, "a repetition would come twice");
}

#[test]
fn a_connection_that_is_reset_in_the_middle_is_tried_again() {
    let collector = assert_arrive([Fault::Reset, Fault::Reset], LONG);
    assert_eq!(collector.attempts(), 3);
}

#[test]
fn connections_that_are_always_reset_cost_the_spans() {
    assert_lost(always(Fault::Reset));
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_lost() {
    for (status, headers) in [(503, "Retry-After: 0\r\n"), (429, ""), (502, ""), (504, "")] {
        assert_arrive([Fault::answer(status, headers, b"")], LONG);
    }
    for status in [400, 401, 404, 413, 500] {
        let collector = assert_lost([Fault::answer(status, "", b"no")]);
        assert_eq!(collector.attempts(), 1);
    }
}

#[test]
fn a_redirect_is_no_answer() {
    let elsewhere = Faulty::start([]);
    let location = format!("Location: {}\r\n", elsewhere.url("traces"));
    for status in [301, 307, 308] {
        assert_lost([Fault::answer(status, &location, b"")]);
    }
    assert_eq!(elsewhere.attempts(), 0);
}

#[test]
fn an_answer_that_is_no_http_costs_the_spans() {
    for garbage in [
        b"SSH-2.0-OpenSSH_9.9\r\n".as_slice(),
        b"\x16\x03\x01\x00\x00",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200",
        b"\0\0\0\0\xff\xfe",
    ] {
        assert_lost(always(Fault::at_once(garbage)));
    }
}

#[test]
fn garbage_in_an_accepting_answer_takes_nothing_back() {
    for body in [b"\xff\xff\xff\xff\xff".as_slice(), b"<html>", b"\0"] {
        assert_arrive([Fault::answer(200, "", body)], LONG);
    }
}

#[test]
fn an_answer_that_ends_after_its_head_takes_nothing_back() {
    let collector = assert_arrive([Fault::at_once(head(200, "", 1000))], LONG);
    assert_eq!(collector.attempts(), 1);
}

/// As much is taken of an answer in any case: what a socket holds at both its ends.
const IN_SOCKETS: u64 = 16 << 20;

#[test]
fn a_body_without_an_end_is_read_no_further_than_a_bound() {
    let endless = b"HTTP/1.1 200 X\r\n\r\n".to_vec();
    let collector = assert_arrive([Fault::Endless(endless, b"x")], LONG);
    assert!(collector.written() < IN_SOCKETS, "{}", collector.written());
    let endless = b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let collector = assert_lost([Fault::Endless(endless, b"4\r\nhaha\r\n")]);
    assert!(collector.written() < IN_SOCKETS, "{}", collector.written());
}

#[test]
fn a_head_without_an_end_is_read_no_further_than_a_bound() {
    for piece in [b"X-A: haha\r\n".as_slice(), b"x", b"\r\n"] {
        let collector = Faulty::start([Fault::Endless(b"HTTP/1.1 200 X\r\n".to_vec(), piece)]);
        export(&collector, SHORT);
        assert!(collector.written() < IN_SOCKETS, "{}", collector.written());
    }
}

#[test]
fn interim_answers_without_an_end_are_given_up_at_the_timeout() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    let collector = Faulty::start(always(Fault::Endless(Vec::new(), interim)));
    let report = export(&collector, SHORT);
    assert_eq!(report.spans.dropped.export_failed, SPANS);
}

fn rejecting(rejected_spans: i64, message: &[u8]) -> Fault {
    let reply = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: "\u{1}".repeat(message.len()),
        }),
    };
    // Written over, because the type takes only what is UTF-8.
    let mut body = reply.encode_to_vec();
    let start = body.len() - message.len();
    body[start..].copy_from_slice(message);
    Fault::answer(200, "", &body)
}

#[test]
fn spans_that_are_rejected_are_lost_and_the_others_are_not() {
    for (rejected, lost) in [
        (4, 4),
        (25, 25),
        (1_000_000, 25),
        (i64::MAX, 25),
        (0, 0),
        (-1, 0),
    ] {
        let collector = Faulty::start([rejecting(rejected, b"too old")]);
        let spans = export(&collector, LONG).spans;
        assert_eq!(
            (spans.dropped.export_failed, spans.exported),
            (lost, SPANS - lost)
        );
    }
}

#[test]
fn a_rejection_counts_whatever_its_explanation_is_made_of() {
    for message in [b"\xff\xfe".as_slice(), b"\0", b"\x1b[2J\r\n", b"\xc3"] {
        let collector = Faulty::start([rejecting(4, message)]);
        let report = export(&collector, LONG);
        assert_eq!(report.spans.dropped.export_failed, 4, "{message:?}");
    }
}

#[test]
fn a_collector_that_is_down_at_the_start_is_told_of_the_losses_when_it_comes() {
    keep_warnings();
    // Nobody listens there for now. The port is taken again below.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = |signal: &str| {
        let endpoint = Endpoint::new(&format!("http://{address}/v1/{signal}")).unwrap();
        Some(endpoint.timeout(Duration::from_millis(100)))
    };
    let start = Instant::now();
    let otlp = Otlp::to(endpoint("traces"), endpoint("metrics"));
    let otel = Otel::builder()
        .exporter(otlp)
        .queue_size(100)
        .batch_size(50);
    let bench = Bench::new(otel.build());
    bench.run_many(500);
    assert!(start.elapsed() < SOON, "nothing waits for a collector");
    assert!(bench.flush().completed);
    let lost = bench.pipeline.account().dropped;
    assert_eq!(lost.total(), 500, "{lost:?}");

    let collector = Faulty::on(TcpListener::bind(address).unwrap(), []);
    bench.run_many(10);
    assert!(bench.flush().completed);
    let first = &collector.metrics()[0];
    assert_eq!(total(first, "executor.spans.dropped"), 500);
    assert!(total(first, "executor.export.failures") > 0);
    assert_eq!(total(first, "process.count"), 510, "no count is lost");
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.exported, collector.spans()), (10, 10));
}

/// The same protocol breakers before the exporter that speaks gRPC.
#[cfg(feature = "grpc")]
mod by_grpc {
    use super::*;

    /// An empty frame with the settings, which each side begins with.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0somebody";
    /// Four bytes of a body.
    const DATA: &[u8] = b"\0\0\x04\0\0\0\0\0\x01haha";
    /// A header that is to be continued, and goes on for ever.
    const CONTINUED: &[u8] = b"\0\0\x04\x09\0\0\0\0\x01\0\x01a\0";
    const PUSHED: &[u8] = b"\0\0\x04\x05\x04\0\0\0\x01\0\0\0\x02";

    #[track_caller]
    fn assert_lost(script: Vec<Fault>) -> Faulty {
        keep_warnings();
        let collector = Faulty::start(script);
        let url = collector.url("").replace("/v1/", "");
        let endpoint = Endpoint::grpc(&url).unwrap().timeout(SHORT);
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(Otlp::to(Some(endpoint), None))
            .exporter(Only::new(Signal::Metrics, memory.clone()));
        let bench = Bench::new(otel.build());
        bench.run_many(SPANS as usize);
        let start = Instant::now();
        assert!(bench.flush().completed);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        let report = bench.shutdown(LONG);
        assert_eq!(report.spans.dropped.export_failed, SPANS, "{report:?}");
        assert_losses_are_exported(&report, &memory.metrics());
        collector
    }

    #[test]
    fn a_collector_that_breaks_its_connections_costs_the_spans() {
        for fault in [
            Fault::Silence,
            Fault::Reset,
            Fault::at_once(b"".as_slice()),
            Fault::at_once(SETTINGS),
            Fault::at_once(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".as_slice()),
            Fault::Bytes(Vec::new(), SETTINGS.repeat(100), Duration::from_millis(30)),
        ] {
            assert_lost(always(fault));
        }
    }

    #[test]
    fn frames_without_an_end_are_given_up_at_the_timeout() {
        for frames in [SETTINGS, PING, DATA, CONTINUED, PUSHED, b"\0", b"\xff"] {
            assert_lost(always(Fault::Endless(SETTINGS.to_vec(), frames)));
        }
    }
}
