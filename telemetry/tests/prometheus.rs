//! What a scraper gets, and what a peer can do to the server that answers it.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Bench, FAILED, LONG, keep_warnings, sums, warnings};
use flate2::read::GzDecoder;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use telemetry_rt_telemetry::export::{
    InMemory, MetricData, Only, Otel, OtelBuilder, Prometheus, Signal,
};

const SHORT: Duration = Duration::from_millis(300);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// A server on a free port, and processes that it tells of.
fn served(with: impl FnOnce(OtelBuilder) -> OtelBuilder) -> (SocketAddr, Bench) {
    served_by(Prometheus::bind("127.0.0.1:0").unwrap(), with)
}

fn served_by(
    prometheus: Prometheus,
    with: impl FnOnce(OtelBuilder) -> OtelBuilder,
) -> (SocketAddr, Bench) {
    let address = prometheus.local_addr().unwrap();
    let otel = with(Otel::builder().exporter(prometheus));
    (address, Bench::new(otel.build()))
}

/// An answer, taken apart.
struct Answer {
    status: String,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].to_owned();
        Answer {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn length(&self) -> usize {
        self.header("Content-Length").unwrap().parse().unwrap()
    }

    /// The lines of the head that are the same in two answers with different numbers.
    fn unmoved_lines(&self) -> Vec<&str> {
        let moves = |line: &str| line.starts_with("Date: ") || line.starts_with("Content-Length: ");
        self.head.lines().filter(|line| !moves(line)).collect()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends these bytes, and reads until the server closes.
fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request).unwrap();
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::of(&bytes)
}

fn request(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

fn scrape(address: SocketAddr, headers: &str) -> Answer {
    let answer = exchange(address, &request("GET", "/metrics", headers));
    assert_eq!(answer.status, "200", "{}", answer.head);
    answer
}

/// The samples of a page: name with labels, and value. Checks what every page must hold to.
fn samples(page: &str) -> Vec<(String, f64)> {
    let mut samples: Vec<(String, f64)> = Vec::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let sample = line.split(" # ").next().unwrap();
        let (series, value) = sample.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        assert!(name.chars().all(word) && series.ends_with('}'), "{line}");
        assert!(samples.iter().all(|(known, _)| known != series), "{line}");
        samples.push((series.to_owned(), value.parse().unwrap()));
    }
    samples
}

/// The value of the only sample with this name and these labels.
#[track_caller]
fn value(page: &str, name: &str, labels: &str) -> f64 {
    let found: Vec<f64> = samples(page)
        .into_iter()
        .filter(|(series, _)| series.starts_with(&format!("{name}{{")) && series.contains(labels))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(found.len(), 1, "{name} {labels} in {page}");
    found[0]
}

#[test]
fn each_scrape_tells_what_has_ended_until_then() {
    let (address, bench) = served(|otel| otel);
    (0..3).for_each(|_| bench.run("fetch"));
    bench.run_with("fetch", FAILED, || {});
    let first = scrape(address, "");
    let first = first.text();
    let finished = "{type=\"task\",name=\"fetch\",state=\"finished\",otel_scope_name=";
    assert_eq!(value(first, "process_count_total", &finished[1..]), 3.0);
    assert!(first.contains(&format!("\nprocess_count_total{finished}")));
    let failed = "state=\"exception\",error_type=\"alloc::string::String\"";
    assert_eq!(value(first, "process_count_total", failed), 1.0);
    assert_eq!(value(first, "process_duration_seconds_count", failed), 1.0);

    (0..2).for_each(|_| bench.run("fetch"));
    let second = scrape(address, "");
    let second = second.text();
    assert_eq!(value(second, "process_count_total", &finished[1..]), 5.0);
    let later = samples(second);
    for (series, before) in samples(first) {
        let after = later.iter().find(|(known, _)| *known == series);
        assert!(after.is_some_and(|(_, now)| *now >= before), "{series}");
    }
}

#[test]
fn buckets_are_cumulative_and_the_last_holds_all() {
    let (address, bench) = served(|otel| otel);
    bench.run_many(50);
    let page = scrape(address, "");
    let buckets: Vec<f64> = samples(page.text())
        .into_iter()
        .filter(|(series, _)| series.starts_with("process_duration_seconds_bucket{"))
        .map(|(_, count)| count)
        .collect();
    assert!(buckets.len() > 50 && buckets.is_sorted(), "{buckets:?}");
    assert_eq!(
        value(
            page.text(),
            "process_duration_seconds_bucket",
            "le=\"+Inf\""
        ),
        50.0
    );
    assert_eq!(
        value(page.text(), "process_duration_seconds_count", "many"),
        50.0
    );
}

#[test]
fn the_format_is_the_one_that_was_asked_for() {
    let (address, bench) = served(|otel| otel);
    bench.run("fetch");
    let text = scrape(address, "");
    assert_eq!(
        text.header("Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(text.text().contains("# TYPE process_count_total counter\n"));
    let open = scrape(address, &format!("Accept: {OPEN_METRICS}\r\n"));
    assert_eq!(
        open.header("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().contains("# TYPE process_count counter\n"));
    assert!(
        open.text()
            .contains("# UNIT process_duration_seconds seconds\n")
    );
    assert!(open.text().ends_with("\n# EOF\n"));
}

#[test]
fn exemplars_lead_to_the_spans_of_processes() {
    let memory = InMemory::new();
    let (address, bench) = served(|otel| otel.exporter(memory.clone()));
    bench.run("fetch");
    bench.run_with("slow", common::FINISHED, || {
        std::thread::sleep(Duration::from_millis(12));
    });
    bench.flush();
    let page = scrape(address, &format!("Accept: {OPEN_METRICS}\r\n"));
    let exemplars: Vec<&str> = page
        .text()
        .lines()
        .filter(|line| line.contains(" # "))
        .filter(|line| {
            line.starts_with("process_duration_seconds_bucket{") && line.contains("slow")
        })
        .collect();
    let [line] = exemplars[..] else {
        panic!("{exemplars:?}");
    };
    let spans = memory.spans();
    let span = spans.iter().find(|span| span.name == "slow").unwrap();
    let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
    let labels = format!(" # {{trace_id=\"{trace}\",span_id=\"{id}\"}} ");
    let (sample, exemplar) = line.split_once(&labels).unwrap();
    assert!(sample.ends_with(" 1"), "{line}");
    let (value, date) = exemplar.split_once(' ').unwrap();
    assert!(value.parse::<f64>().unwrap() >= 0.012, "{line}");
    assert!(date.parse::<f64>().unwrap() > 1.6e9, "{line}");
    assert!(!scrape(address, "").text().contains("trace_id"));
}

#[test]
fn exemplars_are_pushed_as_well_the_latest_of_each_decade() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    for millis in [30, 2, 0, 30, 2] {
        bench.run_with("wait", common::FINISHED, || {
            std::thread::sleep(Duration::from_millis(millis));
        });
    }
    // A kind of its own, in the same series.
    bench.run("wait");
    bench.flush();
    let metrics = memory.metrics();
    let MetricData::Histogram { points, .. } = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    let exemplars = points[0].exemplars.iter();
    let traces: Vec<_> = exemplars.map(|exemplar| exemplar.trace_id).collect();

    let mut latest = BTreeMap::new();
    for span in memory.spans() {
        let length = span.end_time.duration_since(span.start_time).unwrap();
        let decade = length.as_nanos().max(100).ilog10();
        latest.insert(decade, span.span_context.trace_id());
    }
    assert_eq!(traces, latest.into_values().collect::<Vec<_>>());
    assert!(traces.len() >= 2, "{traces:?}");
}

#[test]
fn what_has_a_meaning_in_the_format_is_escaped() {
    let resource = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "sh\"op\n"))
        .build();
    let (address, bench) = served(|otel| otel.resource(resource));
    bench.run("a\"b\\c\nd} 7");
    let page = scrape(address, "");
    let name = "name=\"a\\\"b\\\\c\\nd} 7\"";
    assert_eq!(value(page.text(), "process_count_total", name), 1.0);
    assert!(
        page.text()
            .contains("\ntarget_info{service_name=\"sh\\\"op\\n\"} 1\n")
    );
}

#[test]
fn a_packed_answer_is_the_same() {
    let (address, bench) = served(|otel| otel);
    bench.run_many(10);
    let plain = scrape(address, "Accept-Encoding: identity\r\n");
    let packed = scrape(address, "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert_eq!(plain.header("Content-Encoding"), None);
    assert!(packed.body.len() * 5 < plain.body.len());
    let mut text = String::new();
    GzDecoder::new(&packed.body[..])
        .read_to_string(&mut text)
        .unwrap();
    // But for how long the worker was awake, which is more by now.
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines();
        let still = lines.filter(|line| !line.starts_with("executor_worker_busy_seconds_total"));
        still.map(str::to_owned).collect()
    };
    assert_eq!(lines(&text), lines(plain.text()));
}

#[test]
fn a_head_is_that_of_the_answer_without_the_body() {
    let (address, bench) = served(|otel| otel);
    bench.run("fetch");
    let whole = scrape(address, "");
    let head = exchange(address, &request("HEAD", "/metrics", ""));
    assert_eq!((head.status.as_str(), head.body.len()), ("200", 0));
    let nothing = exchange(address, &request("HEAD", "/", ""));
    assert_eq!((nothing.status.as_str(), nothing.body.len()), ("404", 0));
    assert_eq!(head.unmoved_lines(), whole.unmoved_lines());
    assert_eq!(whole.length(), whole.body.len());
    // The runtime's own numbers go on between the two, and may be a few digits longer.
    let difference = head.length().abs_diff(whole.length());
    assert!(
        difference <= whole.length() / 20,
        "{}, not {}",
        head.length(),
        whole.length()
    );
    assert!(
        whole
            .header("Date")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    assert_eq!(whole.header("Connection"), Some("close"));
}

#[test]
fn what_is_no_scrape_is_told_so() {
    let (address, _bench) = served(|otel| otel);
    let too_long = "x".repeat(9_000);
    for (bytes, status) in [
        (request("GET", "/metrics?x=y", ""), "200"),
        (request("GET", "http://localhost/metrics", ""), "200"),
        (request("GET", "/", ""), "404"),
        (request("GET", "/metrics/", ""), "404"),
        (request("POST", "/", ""), "404"),
        (request("POST", "/metrics", "Content-Length: 4\r\n"), "405"),
        (request("DELETE", "/metrics", ""), "405"),
        (request("GET", &format!("/{too_long}"), ""), "431"),
        (
            request("GET", "/metrics", &format!("a: {too_long}\r\n")),
            "431",
        ),
        (request("GET", "/metrics", &"a: b\r\n".repeat(100)), "431"),
        (b"GET /metrics HTTP/1.1\r\n\r\n".to_vec(), "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), "400"),
        (vec![0; 100], "400"),
    ] {
        let answer = exchange(address, &bytes);
        let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(answer.status, status, "{sent}");
        assert_eq!(answer.header("Allow").is_some(), status == "405", "{sent}");
    }
}

#[test]
fn a_request_in_pieces_is_put_together() {
    let (address, _bench) = served(|otel| otel);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in request("GET", "/metrics", "") {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(answer(&mut stream).status, "200");
}

#[test]
fn a_slow_peer_runs_into_the_time_limit_and_holds_up_nobody() {
    let prometheus = Prometheus::bind("127.0.0.1:0").unwrap().time_limit(SHORT);
    let (address, bench) = served_by(prometheus, |otel| otel);
    bench.run("fetch");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_read_timeout(Some(LONG)).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    scrape(address, "");
    assert_eq!(answer(&mut slow).status, "408");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn peers_that_say_nothing_make_room_for_one_that_asks_the_oldest_first() {
    let prometheus = Prometheus::bind("127.0.0.1:0").unwrap().time_limit(LONG);
    let (address, _bench) = served_by(prometheus, |otel| otel);
    // They are accepted in the order they came.
    let mut held: Vec<TcpStream> = (0..8).map(|_| connect(address)).collect();
    // Half a request is none.
    held[0].write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let mut ninth = connect(address);
    ninth.write_all(&request("GET", "/metrics", "")).unwrap();
    assert_eq!(answer(&mut ninth).status, "200");
    // It is cut off, and with bytes on their way that may be an error.
    assert!(matches!(held[0].read(&mut [0]), Ok(0) | Err(_)));
    for mut stream in held.into_iter().skip(1) {
        stream.write_all(&request("GET", "/metrics", "")).unwrap();
        assert_eq!(answer(&mut stream).status, "200");
    }
}

#[test]
fn a_peer_is_sent_away_while_as_many_as_there_is_room_for_are_answered() {
    let prometheus = Prometheus::bind("127.0.0.1:0").unwrap().time_limit(LONG);
    let (address, bench) = served_by(prometheus, |otel| otel);
    // More text than the buffers of a connection hold.
    (0..700).for_each(|number| bench.run(&format!("{}{number}", "x".repeat(80))));
    let held: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(&request("GET", "/metrics", "")).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    assert_eq!(answer(&mut connect(address)).status, "503");
    drop(held);
    let start = Instant::now();
    // The places are free once the threads have seen the end of the connections.
    while exchange_status(address) != Some("200".to_owned()) {
        assert!(start.elapsed() < LONG);
    }
}

/// As `exchange`, for a server that may send the peer away before it has read anything.
fn exchange_status(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(&request("GET", "/metrics", "")).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    Some(Answer::of(&bytes).status)
}

fn by_variables(host: &str, port: u16) -> Otel {
    let get = |name: &str| match name {
        "OTEL_METRICS_EXPORTER" => Some("prometheus".to_owned()),
        "OTEL_EXPORTER_PROMETHEUS_HOST" => Some(host.to_owned()),
        "OTEL_EXPORTER_PROMETHEUS_PORT" => Some(port.to_string()),
        _ => None,
    };
    let otel = Otel::from_variables(&get);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
    otel
}

#[test]
fn a_port_in_use_is_a_warning() {
    keep_warnings();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    assert!(Prometheus::bind(("127.0.0.1", port)).is_err());
    for host in ["127.0.0.1", "localhost"] {
        let bench = Bench::new(by_variables(host, port));
        bench.run("fetch");
        assert!(bench.shutdown(LONG).completed);
        let said = warnings(&format!("cannot listen at {host}:{port} "));
        assert_eq!(said.len(), 1, "{said:?}");
        for part in ["OTEL_EXPORTER_PROMETHEUS_PORT", "in use", "not served"] {
            assert!(said[0].contains(part), "{said:?}");
        }
    }
}

#[test]
fn a_port_that_is_left_to_the_system_is_told() {
    keep_warnings();
    let bench = Bench::new(by_variables("127.0.0.1", 0));
    bench.run("fetch");
    let said = warnings("OTEL_EXPORTER_PROMETHEUS_PORT is 0");
    let url = said[0].split("http://").nth(1).unwrap();
    let address = url.strip_suffix("/metrics").unwrap().parse().unwrap();
    assert!(scrape(address, "").text().contains("name=\"fetch\""));
}

#[test]
fn a_pull_takes_no_part_in_what_is_pushed() {
    let memory = InMemory::new();
    let (address, bench) = served(|otel| otel.exporter(Only::new(Signal::Metrics, memory.clone())));
    bench.run("fetch");
    scrape(address, "");
    bench.flush();
    let page = scrape(address, "");
    let finished = value(page.text(), "process_count_total", "fetch");
    let pushed = sums(&memory.metrics(), "process.count");
    assert_eq!((finished, pushed[0].1), (1.0, 1));
    let failures = sums(&memory.metrics(), "executor.export.failures");
    assert_eq!(failures, [("exporter=memory signal=metrics".to_owned(), 0)]);
    // Nobody takes spans, so none are recorded.
    assert_eq!(bench.shutdown(LONG).spans.produced, 0);
}

#[test]
fn a_shutdown_ends_all_connections_and_frees_the_port() {
    for host in ["127.0.0.1", "0.0.0.0"] {
        let prometheus = Prometheus::bind((host, 0)).unwrap();
        let (address, bench) = served_by(prometheus, |otel| otel);
        let address = SocketAddr::new([127, 0, 0, 1].into(), address.port());
        let mut idle = TcpStream::connect(address).unwrap();
        idle.set_read_timeout(Some(LONG)).unwrap();
        scrape(address, "");
        let start = Instant::now();
        assert!(bench.shutdown(LONG).completed);
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        assert!(TcpStream::connect(address).is_err());
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn an_answer_that_is_not_taken_does_not_hold_up_a_shutdown() {
    let (address, bench) = served(|otel| otel);
    // More text than the buffers of a connection hold.
    (0..700).for_each(|number| bench.run(&format!("{}{number}", "x".repeat(80))));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&request("GET", "/metrics", "")).unwrap();
    let mut bytes = vec![0; 1000];
    stream.read_exact(&mut bytes).unwrap();
    let start = Instant::now();
    assert!(bench.shutdown(LONG).completed);
    assert!(start.elapsed() < Duration::from_secs(3));
    // That the connection was cut off may be an error as well.
    let _ = stream.read_to_end(&mut bytes);
    let answer = Answer::of(&bytes);
    let whole: usize = answer.header("Content-Length").unwrap().parse().unwrap();
    assert!(answer.body.len() < whole, "all {whole} bytes came");
}

#[test]
fn a_peer_that_hangs_up_is_not_missed() {
    let (address, _bench) = served(|otel| otel);
    for _ in 0..20 {
        let stream = TcpStream::connect(address).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let start = Instant::now();
    while exchange_status(address) != Some("200".to_owned()) {
        assert!(start.elapsed() < LONG);
    }
}
