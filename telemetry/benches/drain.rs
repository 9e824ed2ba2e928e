//! What it costs to take spans from the workers to an exporter, and how many are lost.
//!
//! `cargo bench -p telemetry_rt-telemetry --features otlp --bench drain [-- PART [BATCH [RING]]]`
//! runs the rows whose name contains PART, with other sizes of batches and rings. A thread plays one
//! worker: it records processes of one poll each, at the rate that the row says. For each row:
//! spans that were produced, exported and dropped (by a ring, by the queue), CPU time of the threads `rt-drain` and `rt-export` a span (the operating system's account of each
//! thread, in `/proc`, so only on Linux), and how far the resident memory rose.
//!
//! `http` goes to a thread of this program that reads requests and answers 200. `encoded` is all of
//! that but the network, `prost` the same by the library that knows the protocol. The last rows
//! show the SDK's own batch processor under the same burst.
//!
//! `users` is what a span of an HTTP request costs from the queue on: encoded, and freed. Instructions
//! instead of times: `valgrind --tool=callgrind --toggle-collect='*export_users*' BENCH users`.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanEvents, SpanExporter, SpanLinks};
use prost::Message;
use telemetry_rt_telemetry::export::otlp::{Discard, Endpoint, Otlp};
use telemetry_rt_telemetry::export::{
    Account, Dropped, ExportError, Exporter, Otel, OtelBuilder, Pipeline, Sdk, Signal, collect,
};
use telemetry_rt_telemetry::record::{
    Ending, Lineage, Meta, Outcome, PollEnd, PollGuard, ProcessType, Recorder, Scribe, Spawning,
};

/// Bytes of bodies that sinks have read.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

const LONG: Duration = Duration::from_secs(60);
const BURST: u64 = 300_000;

fn main() {
    let words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'));
    let words: Vec<String> = words.collect();
    let part = words.first().map_or("", String::as_str);
    let size = |index: usize| words.get(index).map(|size| size.parse().expect("a number"));
    let (batch_size, ring_size) = (size(1), size(2));
    let [name, produced, exported, ring, queue] = ["row", "produced", "exported", "ring", "queue"];
    let [rate, drain, export, bytes, memory] = ["k/s", "drain ns", "exprt ns", "bytes", "RSS MB"];
    println!(
        "{name:<28}{produced:>10}{exported:>10}{ring:>9}{queue:>9}{rate:>7}{drain:>9}{export:>9}\
         {bytes:>7}{memory:>8}"
    );
    for row in rows().iter().filter(|row| row.name.contains(part)) {
        row.run(batch_size, ring_size);
    }
    if "collect".contains(part) {
        collect_metrics();
    }
    if "users".contains(part) {
        users();
    }
}

/// How long it takes to encode and to free spans of users.
fn users() {
    const BATCH: u64 = 2048;
    const ROUNDS: u64 = 8;
    let mut discard = Discard::new();
    let batches: Vec<Vec<SpanData>> = (0..ROUNDS)
        .map(|round| (0..BATCH).map(|id| request(round * BATCH + id)).collect())
        .collect();
    let begun = Instant::now();
    for batch in batches {
        export_users(&mut discard, batch);
    }
    let each = begun.elapsed().as_nanos() / u128::from(ROUNDS * BATCH);
    let (spans, bytes) = (discard.spans(), discard.bytes());
    println!(
        "users: {each} ns and {} bytes for each of {spans} spans",
        bytes / spans
    );
}

#[inline(never)]
fn export_users(discard: &mut Discard, spans: Vec<SpanData>) {
    let resource = Resource::builder_empty().with_service_name("shop").build();
    let sent = discard.export_batch(&mut spans.into(), &resource);
    sent.expect("nothing refuses it");
}

/// A span as the middleware of an HTTP server makes it.
fn request(id: u64) -> SpanData {
    let trace = TraceId::from(u128::from(id + 1) << 64 | 1);
    let sampled = TraceFlags::SAMPLED;
    let start = SystemTime::now();
    SpanData {
        span_context: SpanContext::new(
            trace,
            SpanId::from(id + 1),
            sampled,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from(7),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: "GET /users/{id}".into(),
        start_time: start,
        end_time: start + Duration::from_micros(250),
        attributes: vec![
            KeyValue::new("http.request.method", "GET"),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("url.path", format!("/users/{id}")),
            KeyValue::new("server.address", "127.0.0.1".to_owned()),
            KeyValue::new("server.port", 8080),
            KeyValue::new("client.address", "127.0.0.1".to_owned()),
            KeyValue::new("network.peer.address", "127.0.0.1".to_owned()),
            KeyValue::new("network.peer.port", 40_000 + (id % 1_000) as i64),
            KeyValue::new("network.protocol.version", "1.1"),
            KeyValue::new("http.route", "/users/{id}"),
            KeyValue::new("http.response.status_code", 200),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("telemetry_rt-http")
            .with_version("0.1.0")
            .build(),
    }
}

/// How long it takes to read the metrics of many kinds of processes.
fn collect_metrics() {
    const NAMES: usize = 1_000;
    const ROUNDS: u32 = 50;
    let otel = Otel::builder().exporter(Null).without_spans().build();
    let recorder = Recorder::new(otel.recorder_config(2));
    let workers = [recorder.worker(0), recorder.worker(1)];
    for id in 0..2 * NAMES {
        let name = format!("name{}", id / 2);
        end_one(&recorder, &workers[id % 2], id as u64, Some(&name));
    }
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(collect(&recorder, &Dropped::default(), SystemTime::now()));
    }
    let each = begun.elapsed().as_nanos() / u128::from(ROUNDS) / NAMES as u128;
    println!("collect: {each} ns for each of {NAMES} names on 2 workers");
}

/// One row of the table.
struct Row {
    name: &'static str,
    way: Way,
    load: Load,
}

enum Way {
    Ours(fn(OtelBuilder) -> OtelBuilder),
    /// The SDK's batch processor.
    SdkNull,
    SdkHttp,
}

fn rows() -> Vec<Row> {
    let full = Load::new(2_000_000, None);
    let steady = Load::new(2_000_000, Some(1_000_000));
    let modest = Load::new(300_000, Some(100_000));
    let burst = Load::new(BURST, None);
    let row = |name, load, way| Row { name, way, load };
    let ours = |name, load, exporter| row(name, load, Way::Ours(exporter));
    vec![
        ours("encoded, unasked", full, |otel| {
            otel.exporter(Discard::new())
        }),
        ours("encoded, 1M/s", steady, |otel| {
            otel.exporter(Discard::new())
        }),
        ours("encoded, 100k/s", modest, |otel| {
            otel.exporter(Discard::new())
        }),
        ours("prost, 1M/s", steady, |otel| otel.exporter(Prost)),
        ours("SpanData, unasked", full, |otel| otel.exporter(Null)),
        ours("SpanData, 1M/s", steady, |otel| otel.exporter(Null)),
        ours("SpanData, 100k/s", modest, |otel| otel.exporter(Null)),
        ours("sdk exporter, 1M/s", steady, |otel| {
            otel.exporter(Sdk::new(NullSdk))
        }),
        ours("http, 100k/s", modest, |otel| otel.exporter(http(false))),
        ours("http gzip, 100k/s", modest, |otel| {
            otel.exporter(http(true))
        }),
        ours("http, burst 300k", burst, |otel| otel.exporter(http(false))),
        ours("http gzip, burst 300k", burst, |otel| {
            otel.exporter(http(true))
        }),
        row("SDK batch, burst 300k", burst, Way::SdkNull),
        row("SDK batch, http, burst 300k", burst, Way::SdkHttp),
    ]
}

impl Row {
    fn run(&self, batch: Option<usize>, ring: Option<usize>) {
        SEEN.store(0, Ordering::Relaxed);
        RECEIVED.store(0, Ordering::Relaxed);
        match self.way {
            Way::Ours(exporter) => {
                let otel = exporter(Otel::builder());
                let otel = match batch {
                    Some(size) => otel.batch_size(size),
                    None => otel,
                };
                let otel = match ring {
                    Some(size) => otel.span_ring(size),
                    None => otel,
                };
                run(self.name, otel.build(), self.load);
            }
            Way::SdkNull => sdk_burst(self.name, NullSdk),
            Way::SdkHttp => sdk_burst(self.name, Through(Mutex::new(http(false)))),
        }
    }
}

// ----- a worker -----

#[derive(Clone, Copy)]
struct Load {
    spans: u64,
    a_second: Option<u64>,
}

impl Load {
    fn new(spans: u64, a_second: Option<u64>) -> Load {
        Load { spans, a_second }
    }
}

struct Fetch;

static TASK: Meta = Meta::of::<Fetch, Result<(), String>>(ProcessType::Task);

fn run(name: &str, otel: Otel, load: Load) {
    let before = resident();
    let recorder = Recorder::new(otel.recorder_config(1));
    let worker = recorder.worker(0);
    let pipeline = Pipeline::start(otel, recorder.clone()).expect("two threads are to be had");
    let begun = Instant::now();
    work(&recorder, &worker, load);
    let took = begun.elapsed();
    pipeline.force_flush(LONG);
    let [drain, export] = ["rt-drain", "rt-export"].map(cpu_nanos);
    let account = pipeline.shutdown(LONG).spans;
    assert!(account.is_balanced(), "{account:?}");
    let each = |nanos: u64| nanos as f64 / account.exported.max(1) as f64;
    show(name, account, took, [each(drain), each(export)], before);
}

/// Ends as many spans as asked for, as fast as asked for: in steps of a tenth of a millisecond.
fn work(recorder: &Recorder, worker: &Scribe, load: Load) {
    let begun = Instant::now();
    let step = load.a_second.map_or(1_000, |rate| (rate / 10_000).max(1));
    let mut id = 0;
    while id < load.spans {
        for _ in 0..step {
            id += 1;
            end_one(recorder, worker, id, None);
        }
        if let Some(rate) = load.a_second {
            let due = Duration::from_nanos(id * 1_000_000_000 / rate);
            wait_until(begun + due);
        }
    }
}

fn wait_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

fn end_one(recorder: &Recorder, worker: &Scribe, id: u64, name: Option<&str>) {
    let mut account = recorder.spawned(Spawning {
        meta: &TASK,
        name,
        site: Location::caller(),
        lineage: Lineage::Inherit,
    });
    let wake = account.first_wake();
    let process = &mut account.process(id, ProcessType::Task);
    worker.resumed();
    let mut poll = PollGuard::default();
    worker.poll_started(&mut poll, process, &wake);
    let end = PollEnd {
        wakes: 1,
        waiting: None,
        exhausted: false,
    };
    worker.poll_ended(&mut poll, process, end);
    drop(worker.ended(process, Ending::Returned(Outcome::Finished)));
}

// ----- exporters -----

/// Wants spans, and looks at none.
struct Null;

impl Exporter for Null {}

/// Makes messages as the crate `opentelemetry-proto` does, and throws them away.
struct Prost;

impl Exporter for Prost {
    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        let resource = ResourceAttributesWithSchema::from(resource);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans.to_vec(), &resource),
        };
        black_box(request.encode_to_vec());
        Ok(())
    }
}

/// Counts, as an exporter of the SDK.
#[derive(Debug)]
struct NullSdk;

static SEEN: AtomicU64 = AtomicU64::new(0);

impl SpanExporter for NullSdk {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        SEEN.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Our sender, as an exporter of the SDK.
#[derive(Debug)]
struct Through(Mutex<Otlp>);

impl SpanExporter for Through {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        SEEN.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let resource = Resource::builder_empty().build();
        let sent = self.0.lock().unwrap().export_spans(&batch, &resource);
        sent.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }
}

fn http(gzip: bool) -> Otlp {
    let endpoint = Endpoint::new(&format!("{}/v1/traces", sink())).expect("it is a URL");
    let endpoint = if gzip { endpoint.gzip() } else { endpoint };
    Otlp::to(Some(endpoint), None)
}

/// The SDK's own way, from a tracer to an exporter.
fn sdk_burst(name: &str, exporter: impl SpanExporter + 'static) {
    let before = resident();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build();
    let tracer = provider.tracer("bench");
    let begun = Instant::now();
    for _ in 0..BURST {
        tracer.start("fetch").end();
    }
    let took = begun.elapsed();
    // It says how many were lost only in a log.
    let _ = provider.shutdown();
    let exported = SEEN.load(Ordering::Relaxed);
    let mut account = Account {
        produced: BURST,
        exported,
        ..Account::default()
    };
    account.dropped.queue_full = BURST - exported;
    show(name, account, took, [f64::NAN; 2], before);
}

// ----- the sink -----

/// Reads requests and answers them, on a thread for each connection.
fn sink() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is to be had");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}")
}

fn serve(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut body = Vec::new();
    loop {
        let length = head(&mut reader)?;
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
        RECEIVED.fetch_add(length as u64, Ordering::Relaxed);
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

/// How long the body is.
fn head(reader: &mut impl BufRead) -> Option<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        match line.trim_end().split_once(':') {
            None if line.trim_end().is_empty() => return Some(length),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            _ => {}
        }
    }
}

// ----- what is shown -----

fn show(name: &str, account: Account, took: Duration, each: [f64; 2], before: f64) {
    let rate = account.produced as f64 / took.as_secs_f64() / 1e3;
    let Account {
        produced,
        exported,
        dropped,
        ..
    } = account;
    let ring = dropped.ring_full;
    let queue = dropped.total() - ring;
    let [drain, export] = each;
    let bytes = RECEIVED.load(Ordering::Relaxed) / exported.max(1);
    let memory = resident() - before;
    println!(
        "{name:<28}{produced:>10}{exported:>10}{ring:>9}{queue:>9}{rate:>7.0}{drain:>9.1}{export:>9.1}\
         {bytes:>7}{memory:>8.1}"
    );
}

/// Nanoseconds that the thread of this name has run.
fn cpu_nanos(name: &str) -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let paths = threads.flatten().map(|thread| thread.path());
    let of_name = paths.filter(|path| {
        let comm = std::fs::read_to_string(path.join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    });
    let nanos = of_name.filter_map(|path| {
        let run = std::fs::read_to_string(path.join("schedstat")).ok()?;
        run.split(' ').next()?.parse::<u64>().ok()
    });
    nanos.sum()
}

/// The most memory that was ever resident, in megabytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|number| number.trim().parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}
