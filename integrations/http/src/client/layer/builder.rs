//! How a layer is told what to do. Nothing need be told.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Uri, request, response};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::{Span, SpanRef, Tracer, TracerProvider};

use super::ClientLayer;
use super::failure::Failure;
use super::hooks::Hooks;
use super::settings::Settings;
use crate::common::by_runtime::ByRuntime;
use crate::common::captured::HeaderList;
use crate::common::excluded::ExcludedUrls;
use crate::common::options::{HeaderVariables, Options};

const HEADERS: HeaderVariables = HeaderVariables {
    request: "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST",
    response: "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE",
};

/// Makes a [`ClientLayer`]. What is not said here is as the environment says.
///
/// | variable | meaning |
/// |---|---|
/// | `OTEL_RUST_HTTP_EXCLUDED_URLS`, `OTEL_RUST_{KEY}_EXCLUDED_URLS` | URLs that are left out: a comma list of regular expressions |
/// | `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST` | headers of requests that are attributes of their spans: a comma list of names or regular expressions |
/// | `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE` | the same for responses |
/// | `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS` | headers whose value is redacted, beside those that are known to be secret |
/// | `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` | methods that have names of their own; others are `_OTHER` |
///
/// # Hooks
///
/// They are called by the task that makes the request, and should be quick. If one panics the first
/// time is a warning on standard error, and the request goes on as if it had returned; if
/// [`propagate_to`](ClientLayerBuilder::propagate_to) does, the context stays here.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct ClientLayerBuilder {
    options: Options,
    hooks: Hooks,
}

impl ClientLayerBuilder {
    pub(super) fn new() -> ClientLayerBuilder {
        ClientLayerBuilder::default()
    }

    /// Leaves these URLs out, whatever the environment says.
    pub fn excluded_urls(mut self, excluded: ExcludedUrls) -> Self {
        self.options.excluded = Some(excluded);
        self
    }

    /// Has the URLs left out that the variable `OTEL_RUST_{key}_EXCLUDED_URLS` names, if it is set.
    pub fn excluded_urls_key(mut self, key: impl Into<String>) -> Self {
        self.options.excluded_key = Some(key.into());
        self
    }

    /// Makes these headers of requests attributes. Values of credentials are redacted.
    pub fn captured_request_headers(mut self, headers: HeaderList) -> Self {
        self.options.request_headers = Some(headers);
        self
    }

    /// Makes these headers of responses attributes. Values of credentials are redacted.
    pub fn captured_response_headers(mut self, headers: HeaderList) -> Self {
        self.options.response_headers = Some(headers);
        self
    }

    /// Shows the values of these headers although they look like credentials.
    pub fn shown_headers(mut self, headers: HeaderList) -> Self {
        self.options.shown = headers;
        self
    }

    /// Redacts the values of these query parameters, beside those that are known to be secret.
    pub fn redacted_query_keys(mut self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.options.redaction.add(keys);
        self
    }

    /// Asks for the name and further attributes of each span, before it begins: a sampler sees them. An
    /// attribute takes the place of that by the conventions if it has the same key.
    ///
    /// ```
    /// use opentelemetry::KeyValue;
    /// use telemetry_rt_http::ClientLayer;
    ///
    /// let layer = ClientLayer::builder()
    ///     .span_details(|request| {
    ///         let host = request.uri.host().unwrap_or("?").to_owned();
    ///         (format!("{} {host}", request.method), vec![KeyValue::new("shop.call", true)])
    ///     })
    ///     .build();
    /// # drop(layer);
    /// ```
    pub fn span_details<N: Into<Cow<'static, str>>>(
        mut self,
        details: impl Fn(&request::Parts) -> (N, Vec<KeyValue>) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.details = Some(Box::new(move |parts| {
            let (name, attributes) = details(parts);
            (name.into(), attributes)
        }));
        self
    }

    /// Calls `hook` with each span that has begun, before its request is sent.
    pub fn request_hook(
        mut self,
        hook: impl Fn(&SpanRef<'_>, &request::Parts) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.request = Some(Box::new(hook));
        self
    }

    /// Calls `hook` with each span when the head of the response has come, or the error in its place.
    /// Not called for a request that is cancelled.
    pub fn response_hook(
        mut self,
        hook: impl Fn(&SpanRef<'_>, Result<&response::Parts, &Failure<'_>>) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.response = Some(Box::new(hook));
        self
    }

    /// Has the context go only to URLs for which `allowed` is true, so that ids and baggage do not
    /// leak to others: headers of context that a request has already, as one that is passed on does,
    /// are taken off. Asked for each redirect anew. Without this it goes along with every request.
    pub fn propagate_to(mut self, allowed: impl Fn(&Uri) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.may_propagate = Some(Box::new(allowed));
        self
    }

    /// Makes the spans by a tracer of this provider, not by that of the runtime.
    pub fn tracer_provider<P>(mut self, provider: P) -> Self
    where
        P: TracerProvider<
            Tracer: Tracer<Span: Span + Send + Sync + 'static> + Send + Sync + 'static,
        >,
    {
        self.options.given.tracer_of(&provider);
        self
    }

    /// Makes the metrics by a meter of this provider, not by that of the runtime.
    pub fn meter_provider(mut self, provider: impl MeterProvider) -> Self {
        self.options.given.meter_of(&provider);
        self
    }

    /// Makes the metrics by this meter.
    pub fn meter(mut self, meter: Meter) -> Self {
        self.options.given.meter = Some(meter);
        self
    }

    /// Makes the layer. The environment is read here.
    pub fn build(self) -> ClientLayer {
        let settled = self.options.settle(&HEADERS);
        let settings = Settings {
            excluded: settled.excluded,
            request_headers: settled.request_headers,
            response_headers: settled.response_headers,
            redaction: settled.redaction,
            hooks: self.hooks,
            telemetry: ByRuntime::new(settled.given),
        };
        ClientLayer {
            settings: Arc::new(settings),
        }
    }
}
