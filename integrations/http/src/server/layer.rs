//! What does an application add to have its requests seen?

use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::builder::ServerLayerBuilder;
use super::config::Config;
use super::service::Server;
use super::telemetry::Telemetry;
use crate::common::by_runtime::ByRuntime;

/// A tower layer that makes a span of kind SERVER and the metrics of the semantic conventions for each
/// request.
///
/// The span is current wherever the service and the response's body run, so that the handler's own
/// spans, its tasks and its functions on the blocking pool nest under it, and while what they held is
/// dropped because the client went. It ends when the body has left, or the client has.
///
/// A request that comes through two of these layers has one span: the inner one adds what is known
/// only there, the route, and from then on its hooks and lists hold.
///
/// # Parents
///
/// The parent is the remote span that came with the request, if that is
/// [to be continued](super::RemoteParent); else a new trace begins. The task of the connection is not
/// the parent: all requests of a connection would be one trace. Nor is it linked, as each request would
/// have to pay for what `network.peer.address` and `network.peer.port` tell as well.
///
/// # Metrics
///
/// | name | unit | attributes |
/// |---|---|---|
/// | `http.server.request.duration` | s | method, scheme, status, route, `error.type`, version, outcome |
/// | `http.server.active_requests` | {request} | method, scheme |
/// | `http.server.request.body.size` | By | as the duration |
/// | `http.server.response.body.size` | By | as the duration |
/// | `telemetry_rt.http.propagation.dropped` | {header} | `header`, `reason` |
///
/// They are complete whatever the sampler says; a message without a body has no row of sizes. A request whose client went away before its end has
/// `telemetry_rt.http.outcome` = `client_disconnected`, and no error.
///
/// # Request bodies
///
/// What arrives of a body is counted if its type is `axum::body::Body`. Of others the length that they
/// announce is taken, and [`client_request_hook`](ServerLayerBuilder::client_request_hook) is not
/// called for them: their type is that of the service, and is left alone.
///
/// # Cost
///
/// Some 15 allocations and 2 µs for a request of a route, with spans and metrics of the SDK, half of which
/// are the SDK's.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use telemetry_rt_http::ServerLayer;
///
/// let router: Router = Router::new()
///     .route("/items/{id}", get(|| async { "an item" }))
///     .layer(ServerLayer::new());
/// ```
#[derive(Clone)]
pub struct ServerLayer {
    pub(super) shared: Arc<Settled>,
}

/// A layer as it was built.
pub(super) struct Settled {
    pub(super) config: Arc<Config>,
    pub(super) telemetry: ByRuntime<Telemetry>,
}

impl ServerLayer {
    /// A layer that is configured by the environment alone.
    pub fn new() -> ServerLayer {
        ServerLayer::builder().build()
    }

    /// Configures a layer.
    pub fn builder() -> ServerLayerBuilder {
        ServerLayerBuilder::default()
    }
}

impl Default for ServerLayer {
    fn default() -> ServerLayer {
        ServerLayer::new()
    }
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer")
            .field("config", &self.shared.config)
            .finish()
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, service: S) -> Server<S> {
        Server {
            service,
            layer: self.shared.clone(),
        }
    }
}
