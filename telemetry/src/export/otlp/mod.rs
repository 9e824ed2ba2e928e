//! OTLP over HTTP with protobuf bodies, or over gRPC, from a plain thread.
//!
//! Our own sender instead of the crate `opentelemetry-otlp`, for three reasons: aggregated
//! histograms cannot be put into the types that its exporter takes; each span that a collector
//! refuses must be counted here; and one sender serves both signals, with no async runtime in it.
//! The messages are those of `opentelemetry-proto`; spans are written without them, for their number.
//!
//! ```text
//! client.rs    one signal and its endpoint: when to send again, and when to give up
//! http.rs      one attempt by HTTP; grpc/ the same by gRPC
//! body.rs      spans as they come out of the queue, as bodies of requests
//! span.rs      one record as a span; user.rs one of the SDK; wire.rs the bytes
//! scopes.rs    spans of users by their scopes
//! reply.rs     what a collector that has accepted a request says of its parts
//! portions.rs  metrics that are too many for one request
//! encode.rs    metrics, by the types of the library
//! discard.rs   all of this with no network behind it
//! ```

mod body;
mod client;
mod delta;
mod discard;
mod encode;
mod endpoint;
mod failure;
#[cfg(all(fuzzing, feature = "grpc", feature = "prometheus"))]
pub(super) mod fuzz;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod identity;
mod long;
mod pieces;
mod portions;
mod reply;
mod scopes;
mod settings;
mod span;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_off.rs"]
mod tls;
mod url;
mod user;
mod wire;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use super::batch::SpanBatch;
use super::diagnostics::warn;
use super::env::{ConfigError, Env, process_variable};
use super::exporter::{ExportError, Exporter, Signal};
use super::metric::Metric;
use super::stop::Stop;
use body::BodyWriter;
use client::Client;
use delta::Delta;
use encode::Temporality;
use portions::portions;

pub use discard::Discard;
pub use endpoint::Endpoint;

/// Sends spans and metrics to an OpenTelemetry collector.
///
/// A request that fails in a way that may pass (no connection; 429, 502, 503, 504; for gRPC
/// `UNAVAILABLE` and what else the protocol lists) is repeated with growing pauses until the
/// timeout of its endpoint; after a shutdown has begun, once.
#[derive(Debug)]
pub struct Otlp {
    traces: Option<Client>,
    metrics: Option<Client>,
    /// Kept when differences are to be sent instead of totals.
    delta: Option<Delta>,
    body: BodyWriter,
}

impl Otlp {
    /// Sends to where the variables `OTEL_EXPORTER_OTLP_*` point, by default to
    /// `http://localhost:4318`, or by gRPC to `http://localhost:4317`.
    ///
    /// # Errors
    ///
    /// When a URL is not understood, or a file of certificates is not usable.
    pub fn from_env() -> Result<Otlp, ConfigError> {
        let env = Env::new(&process_variable);
        let traces = Endpoint::from_variables(&env, Signal::Traces)?;
        let metrics = Endpoint::from_variables(&env, Signal::Metrics)?;
        let otlp = Otlp {
            delta: delta_wanted(&env).then(Delta::default),
            ..Otlp::to(Some(traces), Some(metrics))
        };
        for warning in env.into_warnings() {
            warn(format_args!("{warning}"));
        }
        Ok(otlp)
    }

    /// Sends each signal to an endpoint of its own, and a signal without one nowhere.
    pub fn to(traces: Option<Endpoint>, metrics: Option<Endpoint>) -> Otlp {
        Otlp {
            traces: traces.map(|endpoint| Client::new(endpoint, Signal::Traces)),
            metrics: metrics.map(|endpoint| Client::new(endpoint, Signal::Metrics)),
            delta: None,
            body: BodyWriter::default(),
        }
    }

    /// Sends metrics as differences from what was acknowledged last, instead of as totals.
    pub fn with_delta(mut self) -> Otlp {
        self.delta = Some(Delta::default());
        self
    }

    /// Sends these signals to where the variables point. `None` when there is nowhere to send to.
    pub(super) fn from_variables(env: &Env<'_>, signals: &[Signal]) -> Option<Otlp> {
        let endpoint = |signal| {
            let wanted = signals.contains(&signal);
            wanted
                .then(|| Endpoint::from_variables(env, signal))?
                .inspect_err(|error| {
                    env.warn(format_args!("{error}; no {} are sent", signal.as_str()));
                })
                .ok()
        };
        let (traces, metrics) = (endpoint(Signal::Traces), endpoint(Signal::Metrics));
        let anywhere = traces.is_some() || metrics.is_some();
        anywhere.then(|| Otlp {
            delta: delta_wanted(env).then(Delta::default),
            ..Otlp::to(traces, metrics)
        })
    }
}

/// `lowmemory` asks for differences of the sums and histograms that are sent here, as `delta`.
fn delta_wanted(env: &Env<'_>) -> bool {
    const PREFERENCE: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let known = [("cumulative", false), ("delta", true), ("lowmemory", true)];
    env.word(PREFERENCE, &known).unwrap_or(false)
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn takes(&self, signal: Signal) -> bool {
        match signal {
            Signal::Traces => self.traces.is_some(),
            Signal::Metrics => self.metrics.is_some(),
        }
    }

    fn start(&mut self, stop: &Stop) {
        for client in [&mut self.traces, &mut self.metrics].into_iter().flatten() {
            client.stop_with(stop);
        }
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        let Some(client) = &self.traces else {
            return Ok(());
        };
        let post = &mut |body: &[u8]| post_spans(client, body);
        self.body.send(batch, resource, post)
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        let Some(client) = &self.traces else {
            return Ok(());
        };
        let post = &mut |body: &[u8]| post_spans(client, body);
        self.body.send_users(spans, resource, post)
    }

    fn export_metrics(
        &mut self,
        metrics: &[Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        let Some(client) = &self.metrics else {
            return Ok(());
        };
        let mut result = Ok(());
        for portion in portions(metrics) {
            let request = match &self.delta {
                Some(delta) => {
                    encode::metrics(&delta.since(&portion), resource, Temporality::Delta)
                }
                None => encode::metrics(&portion, resource, Temporality::Cumulative),
            };
            let reply = client.send(&request.encode_to_vec())?;
            if let Some(delta) = &mut self.delta {
                delta.acknowledge(&portion);
            }
            result = result.and(reply::result_of(&reply));
        }
        if let Some(delta) = &mut self.delta {
            delta.round_is_over(metrics);
        }
        result
    }
}

fn post_spans(client: &Client, body: &[u8]) -> Result<(), ExportError> {
    reply::result_of(&client.send(body)?)
}
