//! Spans and metrics of requests that go out, around any service that sends them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};

mod body;
mod builder;
mod facts;
mod failure;
mod hooks;
mod live;
mod metrics;
mod settings;
mod telemetry;

pub use self::body::TracedBody;
pub use self::builder::ClientLayerBuilder;
pub use self::facts::{ResendCount, UrlTemplate};
pub use self::failure::Failure;
pub(super) use self::settings::Settings;
pub(super) use self::telemetry::Telemetry;

use self::live::Live;

/// A tower layer that records what a client of HTTP sends: a span and metrics for each request, whose
/// context goes along in its headers. [`Client`](crate::Client) has it in it; this is for others, such
/// as a client of hyper-util that an application has already.
///
/// Each request that passes is one span, so that layers which send a request again, after a redirect
/// or a failure, belong above this one; they can say so by [`ResendCount`].
///
/// # The span
///
/// Its kind is CLIENT, and its name the method, followed by the [`UrlTemplate`] if the request has
/// that extension. Its parent is what is current when the service is called. It is current
/// while the service works. It ends with the body of the response, or with its head if the connection
/// becomes something else; 4xx and 5xx are errors, as is whatever the service returns an error for.
/// `error.type` is the status, or what [`Error::error_type`](crate::Error::error_type) says; of
/// errors of other clients it is their type, unless a known one is among its causes.
///
/// A request that is dropped before there was an answer is no error: the span says
/// `telemetry_rt.http.outcome = cancelled`. A body that is dropped before its end is none either, and
/// there it says `body_unread`.
///
/// # Metrics
///
/// `http.client.request.duration`, `http.client.active_requests`, `http.client.request.body.size` and
/// `http.client.response.body.size`; each request that begins has exactly one duration, however it
/// ends. Like the span it lasts until the end of the body of the response.
///
/// # Left out
///
/// Requests that are made while telemetry is suppressed, and excluded URLs: they pass with neither
/// span nor metric, and their headers are left as they are.
///
/// # Example
///
/// ```
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use telemetry_rt_http::ClientLayer;
/// use tower::Layer;
///
/// let client: Client<_, Empty<bytes::Bytes>> =
///     Client::builder(TokioExecutor::new()).build_http();
/// let traced = ClientLayer::builder()
///     .propagate_to(|url| url.host().is_some_and(|host| host.ends_with(".internal")))
///     .build()
///     .layer(client);
/// # drop(traced);
/// ```
#[derive(Clone, Debug)]
pub struct ClientLayer {
    settings: Arc<Settings>,
}

impl ClientLayer {
    /// A layer with what the environment says, and the telemetry of the runtime.
    pub fn new() -> ClientLayer {
        ClientLayer::builder().build()
    }

    /// Makes a layer of another kind.
    pub fn builder() -> ClientLayerBuilder {
        ClientLayerBuilder::new()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }
}

impl Default for ClientLayer {
    fn default() -> ClientLayer {
        ClientLayer::new()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        ClientService {
            inner,
            settings: self.settings(),
        }
    }
}

/// A service that [`ClientLayer`] has made of another.
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for ClientService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: 'static>,
    B: Body,
    R: Body,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (request, live) = self.settings.begin(request);
        // The inner service may spawn, or build spans, before it is polled.
        let _current = live.as_ref().map(|live| live.context().clone().attach());
        ResponseFuture {
            inner: self.inner.call(request),
            live,
        }
    }
}

pin_project_lite::pin_project! {
    /// A request of a [`ClientService`] that waits for its response.
    ///
    /// Cancel safety: dropping it cancels the request, and ends the span.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // Before the span, so that what the service records when it is dropped is within it.
        #[pin]
        inner: F,
        live: Option<Live>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: 'static,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let current = this
            .live
            .as_ref()
            .map(|live| live.context().clone().attach());
        let mut outcome = ready!(this.inner.poll(cx));
        let mut live = this.live.take();
        if let Some(live) = &mut live {
            outcome = live.answered(outcome);
        }
        drop(current);
        Poll::Ready(outcome.map(|response| response.map(|body| TracedBody::new(body, live))))
    }
}
