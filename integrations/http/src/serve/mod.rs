//! Accepts connections, and serves them within limits.
//!
//! | file | the question |
//! |---|---|
//! | `listener.rs` | where do connections come from? |
//! | `limits.rs` | what does a server bear? |
//! | `report.rs` | what did it do, and why did connections end? |
//! | `run.rs` | the loop: accept, look after connections, end |
//! | `patrol.rs` | which connections have to end? |
//! | `drive.rs` | the task of a connection |
//! | `vitals.rs` | the signs that a connection shows, the orders that it gets |
//! | `socket.rs` | its socket |
//! | `requests.rs` | from hyper's request to the service's |
//! | `body.rs`, `refusal.rs` | bounds of bodies, and answers in the place of the service |
//! | `app.rs` | the service with all that is around it |
//! | `house.rs` | what all connections share |

mod app;
mod body;
mod drive;
mod house;
mod limits;
mod listener;
mod patrol;
mod refusal;
mod report;
mod requests;
mod run;
mod socket;
mod vitals;

pub use body::{BodyTimeout, RequestBody};
pub use limits::Limits;
pub use listener::{Accepted, Listener};
pub use refusal::LimitedBody;
pub use report::{CloseReason, Report};

pub(crate) use house::House;
pub(crate) use vitals::Vitals;

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::{BoxError, Service};

use crate::server::ServerLayer;
use run::{Closing, run};

/// Serves HTTP/1 and HTTP/2 on the connections of `listener`, until the returned future is dropped, or
/// told to end by [`with_graceful_shutdown`](Serve::with_graceful_shutdown).
///
/// `service` is a `Router` of axum, or any tower service that takes hyper's requests. Each request
/// has a [`Connection`](crate::Connection) among its extensions, and a span, by [`ServerLayer`]. Which
/// version of HTTP is spoken is told by the first bytes of a connection (HTTP/2 with prior knowledge,
/// also by those who have agreed on it in TLS).
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use telemetry_rt::net::TcpListener;
///
/// #[telemetry_rt::main]
/// async fn main() -> std::io::Result<()> {
///     let app = Router::new().route("/", get(async || "Hello, world!"));
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let shutdown = async { /* telemetry_rt::signal::ctrl_c().await.unwrap() */ };
///     telemetry_rt_http::serve(listener, app)
///         .with_graceful_shutdown(shutdown)
///         .await?;
///     Ok(())
/// }
/// ```
///
/// # Tasks
///
/// Accepting goes on in the future itself. Each connection is a task, named `http connection`, which
/// begins a trace of its own, with a link to what serves. Requests of HTTP/1 are handled in that task,
/// those of HTTP/2 in tasks of their own, named `http request`.
///
/// A handler that panics ends its connection (of HTTP/2: its stream); others go on. `CatchPanicLayer`
/// of tower-http makes an answer of it.
///
/// # What it guards against
///
/// Slow, silent and greedy clients: see [`Limits`]. Requests that are ambiguous about where they end
/// are refused by hyper. An answer that is given while the client is still sending reaches it:
/// closing waits up to a second for the client to stop.
///
/// # Upgrades
///
/// `hyper::upgrade::on(request)` gives the connection to the application after the answer 101. It is
/// counted as open until it is dropped; but it is no longer looked after, told of a shutdown, or
/// waited for. axum's own extractor of web sockets spawns on tokio and cannot be used: take
/// `hyper::upgrade::on` and tokio-tungstenite.
///
/// # Metrics
///
/// | name | instrument | attributes |
/// |---|---|---|
/// | `http.server.connections.open` | up-down counter, `{connection}` | |
/// | `http.server.connections.closed` | counter, `{connection}` | `reason`: see [`CloseReason`] |
/// | `http.server.limits.hit` | counter, `{hit}` | `limit`: `max_connections`, `max_body_bytes`, `body_timeout` |
/// | `http.server.accept.errors` | counter, `{error}` | `error.type` |
pub fn serve<L, S, B>(listener: L, service: S) -> Serve<L, S>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error: fmt::Display + Into<BoxError>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    Serve {
        listener,
        service,
        layer: Some(ServerLayer::new()),
        limits: Limits::default(),
        closing: Closing {
            signal: Box::pin(pending()),
            deadline: SHUTDOWN_DEADLINE,
        },
    }
}

/// As orchestrators wait between asking a process to end and killing it.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// A server that is about to begin: what [`serve`] returns, to be awaited.
#[must_use = "nothing is served until it is awaited"]
pub struct Serve<L, S> {
    listener: L,
    service: S,
    layer: Option<ServerLayer>,
    limits: Limits,
    closing: Closing,
}

impl<L, S> Serve<L, S> {
    /// Ends when `signal` is ready: the listener is closed, each connection is told (by
    /// `connection: close`, or `GOAWAY`) and closed when the requests in flight are answered. Those
    /// that are left at the [deadline](Serve::shutdown_deadline) are dropped.
    pub fn with_graceful_shutdown<F>(mut self, signal: F) -> Serve<L, S>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.closing.signal = Box::pin(signal);
        self
    }

    /// How long a graceful shutdown waits for requests in flight. Default 30 s.
    pub fn shutdown_deadline(mut self, time: Duration) -> Serve<L, S> {
        self.closing.deadline = time;
        self
    }

    /// Bounds other than the default ones.
    pub fn limits(mut self, limits: Limits) -> Serve<L, S> {
        self.limits = limits;
        self
    }

    /// Instruments requests by `layer` instead of by the default one.
    pub fn layer(mut self, layer: ServerLayer) -> Serve<L, S> {
        self.layer = Some(layer);
        self
    }

    /// Leaves requests without spans and metrics of their own, as for a service that has a
    /// [`ServerLayer`] in it already.
    pub fn without_telemetry(mut self) -> Serve<L, S> {
        self.layer = None;
        self
    }
}

impl<L, S, B> IntoFuture for Serve<L, S>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error: fmt::Display + Into<BoxError>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Output = io::Result<Report>;
    type IntoFuture = Serving;

    fn into_future(self) -> Serving {
        Serving(Box::pin(self.run()))
    }
}

impl<L: Listener, S> Serve<L, S> {
    async fn run<B>(self) -> io::Result<Report>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: fmt::Display + Into<BoxError>>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let house = Arc::new(House::new(self.limits));
        #[cfg(feature = "axum")]
        let service = match app::as_a::<axum::Router, S>(self.service) {
            Ok(router) => {
                let router = app::of_router(router, self.layer, &house);
                return run::<_, _, RequestBody, _>(self.listener, router, house, self.closing)
                    .await;
            }
            Err(service) => service,
        };
        #[cfg(not(feature = "axum"))]
        let service = self.service;
        let service = app::of_service(service, self.layer, &house);
        run::<_, _, Incoming, _>(self.listener, service, house, self.closing).await
    }
}

impl<L, S> fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("limits", &self.limits)
            .field("shutdown_deadline", &self.closing.deadline)
            .finish_non_exhaustive()
    }
}

/// A server: the future of [`Serve`].
///
/// # Errors
///
/// That of the listener which ended it, if that could not go on, as when the runtime is shut down.
///
/// # Cancel safety
///
/// Dropping it ends the server at once: the listener is closed, and the tasks of all connections are
/// aborted, with the requests in them. A connection that was upgraded is left alone.
///
/// # Panics
///
/// When it is polled outside of a runtime, or on one without timers.
#[must_use = "nothing is served until it is awaited"]
pub struct Serving(Pin<Box<dyn Future<Output = io::Result<Report>> + Send>>);

impl Future for Serving {
    type Output = io::Result<Report>;

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<Report>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
