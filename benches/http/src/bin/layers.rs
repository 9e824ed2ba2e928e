//! axum on tokio, with what people put around a `Router` to have it in OpenTelemetry: a span for each
//! request by tower-http's `TraceLayer`, tracing-opentelemetry and the SDK's batch processor, and the
//! metrics of the conventions by a middleware. Its spans and metrics say what those of telemetry_rt
//! say.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use axum::middleware::{self, Next};
use axum::response::Response;
use http_contenders::{announce, asked_to_stop, hello, workers};
use opentelemetry::metrics::{Histogram, MeterProvider, UpDownCounter};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Those that the conventions ask for, in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("tokio starts");
    // Their threads and clients are made outside of the runtime: they block.
    let spans = install_tracing();
    let meters = meter_provider();
    let metrics = Metrics::new(&meters);
    runtime.block_on(serve(metrics));
    spans.shutdown().expect("all spans are exported");
    meters.shutdown().expect("all metrics are exported");
}

async fn serve(metrics: Metrics) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(listener.local_addr().expect("its address"));
    axum::serve(listener, instrumented(metrics))
        .with_graceful_shutdown(asked_to_stop())
        .await
        .expect("it serves");
}

fn instrumented(metrics: Metrics) -> Router {
    hello()
        .layer(middleware::from_fn_with_state(metrics, measured))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span_of)
                .on_request(())
                .on_response(say_status),
        )
}

fn install_tracing() -> SdkTracerProvider {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = SpanExporter::builder().with_http().build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.expect("an exporter of spans"))
        .build();
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("hello")))
        .init();
    provider
}

fn span_of(request: &Request) -> Span {
    let route = route_of(request);
    let method = request.method().as_str();
    let agent = request.headers().get(USER_AGENT);
    let span = info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.path = request.uri().path(),
        url.scheme = "http",
        network.protocol.version = "1.1",
        user_agent.original = agent.and_then(|agent| agent.to_str().ok()).unwrap_or(""),
        server.address = host_of(request),
    );
    let parent = global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(request.headers()))
    });
    let _ = span.set_parent(parent);
    span
}

fn say_status(response: &Response, _latency: Duration, span: &Span) {
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

fn route_of(request: &Request) -> &str {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str)
}

fn host_of(request: &Request) -> &str {
    let host: Option<&HeaderValue> = request.headers().get("host");
    host.and_then(|host| host.to_str().ok()).unwrap_or("")
}

fn meter_provider() -> SdkMeterProvider {
    let exporter = MetricExporter::builder().with_http().build();
    SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.expect("an exporter of metrics"))
        .build()
}

#[derive(Clone)]
struct Metrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

impl Metrics {
    fn new(provider: &SdkMeterProvider) -> Metrics {
        let meter = provider.meter("hello");
        Metrics {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_boundaries(BOUNDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .build(),
        }
    }
}

async fn measured(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let of_active = [
        KeyValue::new("http.request.method", request.method().to_string()),
        KeyValue::new("url.scheme", "http"),
    ];
    let route = KeyValue::new("http.route", route_of(&request).to_owned());
    metrics.active.add(1, &of_active);
    let response = next.run(request).await;
    metrics.active.add(-1, &of_active);
    let [method, scheme] = of_active;
    let status = i64::from(response.status().as_u16());
    metrics.duration.record(
        start.elapsed().as_secs_f64(),
        &[
            method,
            scheme,
            route,
            KeyValue::new("http.response.status_code", status),
            KeyValue::new("network.protocol.version", "1.1"),
        ],
    );
    response
}
