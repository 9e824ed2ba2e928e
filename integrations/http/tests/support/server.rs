//! What a test of the server's layer sees: all spans and metrics, as values and as text.
#![allow(dead_code, reason = "each test uses its part")]

use std::fmt::Write;
use std::sync::Once;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use opentelemetry::global;
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry::trace::Status;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use telemetry_rt::otel::Otel;
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt_http::{ServerLayer, ServerLayerBuilder};

pub const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const SPAN: &str = "b7ad6b7169203331";

/// Where spans and metrics of a test go.
pub struct Seen {
    pub tracers: SdkTracerProvider,
    pub meters: SdkMeterProvider,
    spans: InMemorySpanExporter,
    metrics: InMemoryMetricExporter,
}

impl Seen {
    pub fn new() -> Seen {
        Seen::sampled(Sampler::AlwaysOn)
    }

    pub fn sampled(sampler: Sampler) -> Seen {
        static PROPAGATORS: Once = Once::new();
        PROPAGATORS.call_once(|| {
            global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
                Box::new(TraceContextPropagator::new()),
                Box::new(BaggagePropagator::new()),
            ]));
        });
        let (spans, metrics) = (
            InMemorySpanExporter::default(),
            InMemoryMetricExporter::default(),
        );
        Seen {
            tracers: SdkTracerProvider::builder()
                .with_simple_exporter(spans.clone())
                .with_sampler(sampler)
                .build(),
            meters: SdkMeterProvider::builder()
                .with_reader(PeriodicReader::builder(metrics.clone()).build())
                .build(),
            spans,
            metrics,
        }
    }

    /// A builder whose layer shows here what it makes.
    pub fn builder(&self) -> ServerLayerBuilder {
        ServerLayer::builder()
            .tracer_provider(self.tracers.clone())
            .meter_provider(self.meters.clone())
    }

    pub fn layer(&self) -> ServerLayer {
        self.builder().build()
    }

    /// A runtime of one thread, whose own spans come here, too.
    pub fn runtime(&self) -> Runtime {
        let otel = Otel::builder()
            .foreign_tracer_provider(self.tracers.clone())
            .build();
        Builder::new_current_thread()
            .enable_all()
            .otel(otel)
            .build()
            .unwrap()
    }

    /// All spans of requests, in the order of their ends.
    pub fn spans(&self) -> Vec<SpanData> {
        let mut spans = self.all_spans();
        spans.retain(|span| span.instrumentation_scope.name() == "telemetry_rt-http");
        spans
    }

    pub fn all_spans(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap()
    }

    /// The one span of a request.
    #[track_caller]
    pub fn span(&self) -> SpanData {
        let mut spans = self.spans();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }

    /// The rows of a metric: its attributes in order, then how many there were and their sum.
    pub fn rows(&self, name: &str) -> Vec<String> {
        let mut rows = self.metrics(name, |metric| rows_of(metric.data())).concat();
        rows.sort();
        rows
    }

    /// A metric that there is.
    #[track_caller]
    pub fn metric<R>(&self, name: &str, then: impl Fn(&Metric) -> R) -> R {
        self.metrics(name, then)
            .pop()
            .unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn metrics<R>(&self, name: &str, then: impl Fn(&Metric) -> R) -> Vec<R> {
        self.meters.force_flush().unwrap();
        let latest = self.metrics.get_finished_metrics().unwrap().pop();
        let scopes = latest.iter().flat_map(|resource| resource.scope_metrics());
        let metrics = scopes.flat_map(|scope| scope.metrics());
        metrics
            .filter(|metric| metric.name() == name)
            .map(then)
            .collect()
    }

    /// How many requests were counted, and how many are still in flight.
    pub fn counts(&self) -> (u64, i64) {
        let last = |row: &String| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let durations = self.rows("http.server.request.duration");
        let active = self.rows("http.server.active_requests");
        let count = |row: &String| {
            let mut words = row.rsplit(' ');
            words.next();
            words.next().unwrap().parse::<u64>().unwrap()
        };
        (
            durations.iter().map(count).sum(),
            active.iter().map(last).sum::<f64>() as i64,
        )
    }
}

fn rows_of(data: &AggregatedMetrics) -> Vec<String> {
    match data {
        AggregatedMetrics::F64(data) => rows_of_number(data),
        AggregatedMetrics::U64(data) => rows_of_number(data),
        AggregatedMetrics::I64(data) => rows_of_number(data),
    }
}

fn rows_of_number<T: Copy + std::fmt::Display + std::fmt::Debug>(
    data: &MetricData<T>,
) -> Vec<String> {
    match data {
        MetricData::Sum(sum) => {
            let row = |point: &opentelemetry_sdk::metrics::data::SumDataPoint<T>| {
                format!("{} {}", joined(point.attributes()), point.value())
            };
            sum.data_points().map(row).collect()
        }
        MetricData::Histogram(histogram) => {
            let row = |point: &opentelemetry_sdk::metrics::data::HistogramDataPoint<T>| {
                format!(
                    "{} {} {}",
                    joined(point.attributes()),
                    point.count(),
                    point.sum()
                )
            };
            histogram.data_points().map(row).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn joined<'k>(attributes: impl Iterator<Item = &'k opentelemetry::KeyValue>) -> String {
    let mut texts: Vec<_> = attributes
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    texts.sort();
    texts.join(",")
}

/// A span as text: name, kind and status, then its attributes and events in order.
pub fn shown(span: &SpanData) -> String {
    let mut text = format!("{} {:?} {}\n", span.name, span.span_kind, status(span));
    let mut lines: Vec<_> = span
        .attributes
        .iter()
        .map(|attribute| format!("  {}={}\n", attribute.key, attribute.value))
        .collect();
    lines.sort();
    text.extend(lines);
    for event in &span.events.events {
        writeln!(
            text,
            "  * {} {}",
            event.name,
            joined(event.attributes.iter())
        )
        .unwrap();
    }
    text
}

/// The status of a span, as text.
pub fn status(span: &SpanData) -> String {
    match &span.status {
        Status::Unset => "unset".to_owned(),
        Status::Ok => "ok".to_owned(),
        Status::Error { description } => format!("error {description:?}"),
    }
}

/// The value of an attribute, as text.
pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut values = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key.as_str() == key);
    values
        .next_back()
        .map(|attribute| attribute.value.to_string())
}

pub fn get(uri: &str) -> Request<axum::body::Body> {
    Request::get(uri).body(axum::body::Body::empty()).unwrap()
}

/// Reads a response to its end, as a server does that sends it.
pub async fn read<B>(response: Response<B>) -> Bytes
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    response.into_body().collect().await.unwrap().to_bytes()
}
