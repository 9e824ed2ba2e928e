//! What the tests of the client share: servers that see what comes, and telemetry that keeps what it
//! is given.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, HistogramDataPoint, Metric, MetricData, SumDataPoint,
};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use parking_lot::Mutex;
use telemetry_rt::net::{TcpListener, TcpSocket, TcpStream};
use telemetry_rt::runtime::Builder;
use telemetry_rt_http::{Client, ClientBuilder, ClientLayer, ClientLayerBuilder};

/// Runs a test on a runtime of two workers, and fails it if it takes a minute.
#[track_caller]
pub fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    propagators();
    let (done, wait) = channel();
    let running = std::thread::spawn(move || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("the operating system has threads and descriptors left");
        runtime.block_on(test());
        drop(runtime);
        done.send(()).unwrap();
    });
    match wait.recv_timeout(Duration::from_mins(1)) {
        Err(RecvTimeoutError::Timeout) => panic!("the test takes longer than a minute"),
        _ => running
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Those that `OTEL_PROPAGATORS` names by default; the same for all tests of a program.
fn propagators() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let propagator = TextMapCompositePropagator::new(vec![
            Box::new(TraceContextPropagator::new()),
            Box::new(BaggagePropagator::new()),
        ]);
        opentelemetry::global::set_text_map_propagator(propagator);
    });
}

/// Keeps spans and metrics.
#[derive(Clone)]
pub struct Kept {
    spans: InMemorySpanExporter,
    pub tracers: SdkTracerProvider,
    metrics: InMemoryMetricExporter,
    pub meters: SdkMeterProvider,
}

impl Kept {
    pub fn new() -> Kept {
        let spans = InMemorySpanExporter::default();
        let tracers = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let metrics = InMemoryMetricExporter::default();
        let meters = SdkMeterProvider::builder()
            .with_reader(PeriodicReader::builder(metrics.clone()).build())
            .build();
        Kept {
            spans,
            tracers,
            metrics,
            meters,
        }
    }

    pub fn layer(&self) -> ClientLayerBuilder {
        ClientLayer::builder()
            .tracer_provider(self.tracers.clone())
            .meter_provider(self.meters.clone())
    }

    pub fn client(&self) -> ClientBuilder {
        Client::builder().telemetry(self.layer().build())
    }

    /// The spans that have ended, in that order.
    pub fn spans(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap()
    }

    /// The only span.
    #[track_caller]
    pub fn span(&self) -> SpanData {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans.remove(0)
    }

    /// Waits until so many spans have ended.
    pub async fn until(&self, spans: usize) {
        while self.spans().len() < spans {
            telemetry_rt::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// All metrics as lines: the name, the attributes in order, and how often, how much, or how many.
    pub fn metrics(&self) -> Vec<String> {
        self.metrics.reset();
        self.meters.force_flush().unwrap();
        let all = self.metrics.get_finished_metrics().unwrap();
        let scopes = all.iter().flat_map(|resource| resource.scope_metrics());
        let mut lines: Vec<_> = scopes
            .flat_map(|scope| scope.metrics().flat_map(lines).collect::<Vec<_>>())
            .collect();
        lines.sort();
        lines
    }

    /// The metrics of one name.
    pub fn metric(&self, name: &str) -> Vec<String> {
        let start = format!("{name}{{");
        let metrics = self.metrics().into_iter();
        metrics.filter(|line| line.starts_with(&start)).collect()
    }

    /// All that was exported, for a search.
    pub fn everything(&self) -> String {
        format!("{:?}\n{:?}", self.spans(), self.metrics())
    }
}

fn lines(metric: &Metric) -> Vec<String> {
    let name = metric.name();
    match metric.data() {
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
            let points = histogram.data_points();
            let count = |point: &HistogramDataPoint<f64>| {
                format!("{name}{} {}", labels(point.attributes()), point.count())
            };
            points.map(count).collect()
        }
        AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
            let points = histogram.data_points();
            let sum = |point: &HistogramDataPoint<u64>| {
                let (count, sum) = (point.count(), point.sum());
                format!("{name}{} {count} of {sum}", labels(point.attributes()))
            };
            points.map(sum).collect()
        }
        AggregatedMetrics::I64(MetricData::Sum(sum)) => {
            let value = |point: &SumDataPoint<i64>| {
                format!("{name}{} {}", labels(point.attributes()), point.value())
            };
            sum.data_points().map(value).collect()
        }
        other => vec![format!("{name} {other:?}")],
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut labels: Vec<_> = attributes
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    labels.sort();
    format!("{{{}}}", labels.join(","))
}

/// An attribute as text.
pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span
        .attributes
        .iter()
        .filter(|found| found.key.as_str() == key);
    let value = found.next().map(|found| match &found.value {
        Value::String(text) => text.as_str().to_owned(),
        other => other.to_string(),
    });
    assert!(found.next().is_none(), "{key} is there twice: {span:#?}");
    value
}

pub fn is_error(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

/// The id of the parent in a `traceparent`.
pub fn sent_id(headers: &HeaderMap) -> SpanId {
    let parent = headers["traceparent"].to_str().unwrap();
    SpanId::from_hex(parent.split('-').nth(2).unwrap()).unwrap()
}

/// A request that a server saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The number of its connection, from 1.
    pub connection: usize,
}

/// A server that answers each request at once.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

pub type Answer = Response<Full<Bytes>>;

impl Server {
    pub async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Server::accepting(address, answer, move |serve| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve.connection(stream);
            }
        })
    }

    /// A server whose connections come out of `accept`.
    pub fn accepting<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        accept: impl FnOnce(Serve) -> F,
    ) -> Server {
        let server = Server {
            address,
            seen: Arc::default(),
            connections: Arc::default(),
        };
        telemetry_rt::spawn(accept(Serve {
            seen: Arc::clone(&server.seen),
            connections: Arc::clone(&server.connections),
            answer: Arc::new(answer),
        }));
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

#[derive(Clone)]
pub struct Serve {
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    answer: Arc<dyn Fn(&Seen) -> Answer + Send + Sync>,
}

impl Serve {
    pub fn connection<S>(&self, stream: S)
    where
        S: telemetry_rt::io::AsyncRead + telemetry_rt::io::AsyncWrite + Unpin + Send + 'static,
    {
        let connection = self.connections.fetch_add(1, SeqCst) + 1;
        let serve = self.clone();
        telemetry_rt::spawn(async move {
            let service = service_fn(move |request| {
                let serve = serve.clone();
                async move { Ok::<_, Infallible>(serve.request(request, connection).await) }
            });
            let io = TokioIo::new(stream);
            // A peer that goes away is no error of the test.
            drop(
                auto::Builder::new(Spawn)
                    .serve_connection(io, service)
                    .await,
            );
        });
    }

    async fn request(&self, request: Request<Incoming>, connection: usize) -> Answer {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            body: body
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default(),
            connection,
        };
        let answer = (self.answer)(&seen);
        self.seen.lock().push(seen);
        answer
    }
}

#[derive(Clone)]
struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        drop(telemetry_rt::spawn(future));
    }
}

/// An answer with a status and a text.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

pub fn redirect(status: u16, to: impl AsRef<str>) -> Answer {
    Response::builder()
        .status(status)
        .header("location", to.as_ref())
        .body(Full::default())
        .unwrap()
}

/// A server of which each connection is given to `talk`.
pub async fn raw<F: Future<Output = ()> + Send + 'static>(
    talk: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    telemetry_rt::spawn(async move {
        for number in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            telemetry_rt::spawn(talk(stream, number));
        }
    });
    address
}

/// Reads to the end of a head.
pub async fn read_head(stream: &mut TcpStream) -> String {
    use telemetry_rt::io::AsyncReadExt;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// An address that refuses connections, for as long as the socket lives: it is bound, so that nobody
/// else gets it, and does not listen.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
