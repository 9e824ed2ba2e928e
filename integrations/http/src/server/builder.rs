//! How is a layer configured?

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::{Span, SpanRef, Tracer, TracerProvider};

use super::config::{Config, RemoteParent, RouteOf, Trust};
use super::hooks::{Hooks, Received, Sent};
use super::layer::{ServerLayer, Settled};
use super::route::Route;
use crate::common::by_runtime::ByRuntime;
use crate::common::captured::HeaderList;
use crate::common::excluded::ExcludedUrls;
use crate::common::method::KnownMethods;
use crate::common::options::{HeaderVariables, Options};

const HEADERS: HeaderVariables = HeaderVariables {
    request: "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
    response: "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
};

/// Configures a [`ServerLayer`]. Nothing of it is needed.
///
/// A function that is given here and panics does not harm the request: it goes on as if the function
/// had done nothing, and the first panic is a warning.
///
/// # Example
///
/// ```
/// use opentelemetry::KeyValue;
/// use telemetry_rt_http::{ExcludedUrls, HeaderList, RemoteParent, ServerLayer};
///
/// let layer = ServerLayer::builder()
///     .excluded_urls(ExcludedUrls::parse("^/health").unwrap())
///     .remote_parent(RemoteParent::Link)
///     .captured_request_headers(HeaderList::parse("x-shop-.*").unwrap())
///     .server_request_hook(|span, parts| {
///         let has_cookie = parts.headers.contains_key("cookie");
///         span.set_attribute(KeyValue::new("shop.has_cookie", has_cookie));
///     })
///     .build();
/// # drop(layer);
/// ```
#[must_use = "nothing is seen by a layer that is not built"]
#[derive(Default)]
pub struct ServerLayerBuilder {
    options: Options,
    trust: Option<Trust>,
    believes_proxies: bool,
    route: Option<RouteOf>,
    hooks: Hooks,
}

impl fmt::Debug for ServerLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayerBuilder").finish_non_exhaustive()
    }
}

impl ServerLayerBuilder {
    /// URLs whose requests have neither span nor metrics; nor has anything that is done for them,
    /// which is suppressed. By default what the environment says, see [`ExcludedUrls::from_env`].
    pub fn excluded_urls(mut self, excluded: ExcludedUrls) -> ServerLayerBuilder {
        self.options.excluded = Some(excluded);
        self
    }

    /// Has excluded URLs read from the variable `OTEL_RUST_{KEY}_EXCLUDED_URLS`, if that is set.
    pub fn excluded_urls_key(mut self, key: impl Into<String>) -> ServerLayerBuilder {
        self.options.excluded_key = Some(key.into());
        self
    }

    /// Has the values of these query parameters redacted, beside those that the semantic conventions
    /// name and those that say of themselves that they are secret, like `access_token`. Case counts.
    pub fn redacted_query_keys(
        mut self,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> ServerLayerBuilder {
        self.options.redaction.add(keys);
        self
    }

    /// Headers of requests that become attributes `http.request.header.<name>`. By default what the
    /// variable `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST` lists. Those that hold
    /// credentials are redacted.
    pub fn captured_request_headers(mut self, list: HeaderList) -> ServerLayerBuilder {
        self.options.request_headers = Some(list);
        self
    }

    /// Headers of responses that become attributes `http.response.header.<name>`. By default what the
    /// variable `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE` lists.
    pub fn captured_response_headers(mut self, list: HeaderList) -> ServerLayerBuilder {
        self.options.response_headers = Some(list);
        self
    }

    /// Headers whose values are shown, although they seem to be secret.
    pub fn shown_headers(mut self, list: HeaderList) -> ServerLayerBuilder {
        self.options.shown = list;
        self
    }

    /// What becomes of the span and the baggage that requests bring along.
    pub fn remote_parent(mut self, remote: RemoteParent) -> ServerLayerBuilder {
        self.trust = Some(Trust::All(remote));
        self
    }

    /// The same by a function of the request's head: who is trusted may depend on the peer.
    pub fn remote_parent_fn(
        mut self,
        decide: impl Fn(&Parts) -> RemoteParent + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.trust = Some(Trust::Each(Box::new(decide)));
        self
    }

    /// Whether `Forwarded` and `X-Forwarded-*` are believed: for a server behind a proxy that sets
    /// them. Everybody else can write in them what he likes. Default: no.
    pub fn forwarded_headers(mut self, are_believed: bool) -> ServerLayerBuilder {
        self.believes_proxies = are_believed;
        self
    }

    /// Finds the route of a request by its head, where neither axum nor a [`Route`] in the extensions
    /// tells it.
    pub fn route(
        mut self,
        find: impl Fn(&Parts) -> Option<Route> + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.route = Some(Box::new(find));
        self
    }

    /// Makes the name of the span and further attributes from the request's head. They go before
    /// attributes of the same names, so that a path with secrets in it can be told differently.
    pub fn span_details<N: Into<Cow<'static, str>>>(
        mut self,
        details: impl Fn(&Parts) -> (N, Vec<KeyValue>) + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.hooks.details = Some(Box::new(move |parts| {
            let (name, attributes) = details(parts);
            (name.into(), attributes)
        }));
        self
    }

    /// Is called with the span of each request that begins.
    pub fn server_request_hook(
        mut self,
        hook: impl Fn(&SpanRef<'_>, &Parts) + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.hooks.request = Some(Box::new(hook));
        self
    }

    /// Is called with each piece of a request's body that arrives, see
    /// [`ServerLayer`](ServerLayer#request-bodies).
    pub fn client_request_hook(
        mut self,
        hook: impl Fn(&SpanRef<'_>, Received<'_>) + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.hooks.received = Some(Box::new(hook));
        self
    }

    /// Is called with each piece of a response that leaves.
    pub fn client_response_hook(
        mut self,
        hook: impl Fn(&SpanRef<'_>, Sent<'_>) + Send + Sync + 'static,
    ) -> ServerLayerBuilder {
        self.hooks.sent = Some(Box::new(hook));
        self
    }

    /// Where spans go, instead of where those of the runtime do.
    pub fn tracer_provider<P>(mut self, provider: P) -> ServerLayerBuilder
    where
        P: TracerProvider<
            Tracer: Tracer<Span: Span + Send + Sync + 'static> + Send + Sync + 'static,
        >,
    {
        self.options.given.tracer_of(&provider);
        self
    }

    /// Where metrics go, instead of where those of the runtime do.
    pub fn meter_provider(mut self, provider: impl MeterProvider) -> ServerLayerBuilder {
        self.options.given.meter_of(&provider);
        self
    }

    /// What metrics are made with.
    pub fn meter(mut self, meter: Meter) -> ServerLayerBuilder {
        self.options.given.meter = Some(meter);
        self
    }

    /// The layer. What was not said is read from the environment now; what is wrong there is a warning
    /// that names the variable.
    pub fn build(self) -> ServerLayer {
        let settled = self.options.settle(&HEADERS);
        let config = Config {
            excluded: settled.excluded,
            known_methods: KnownMethods::of_process(),
            redaction: settled.redaction,
            request_headers: settled.request_headers,
            response_headers: settled.response_headers,
            trust: self.trust.unwrap_or(Trust::All(RemoteParent::default())),
            believes_proxies: self.believes_proxies,
            route: self.route,
            hooks: self.hooks,
        };
        ServerLayer {
            shared: Arc::new(Settled {
                config: Arc::new(config),
                telemetry: ByRuntime::new(settled.given),
            }),
        }
    }
}
