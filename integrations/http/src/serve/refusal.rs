//! Which requests are answered in the place of the service?
//!
//! * [`TooLarge`] refuses those that announce too large a body, before the service is called. It sits
//!   below the instrumentation, so that these requests have spans.
//! * [`LimitedBody`] gives bounded bodies to a service, and answers if the service returns their errors.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Empty, LengthLimitError};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::body::{BodyTimeout, RequestBody};
use super::house::{Hit, House};
use crate::connection::Connection;

/// The body of an answer of the service, or of ours.
type Answered<R> = Either<R, Empty<<R as Body>::Data>>;

fn refusal<R: Body>(status: StatusCode) -> Response<Answered<R>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

/// Makes [`TooLarge`].
#[derive(Clone, Debug)]
pub(super) struct TooLargeLayer(pub(super) Arc<House>);

impl<S> Layer<S> for TooLargeLayer {
    type Service = TooLarge<S>;

    fn layer(&self, service: S) -> TooLarge<S> {
        TooLarge {
            service,
            house: Arc::clone(&self.0),
        }
    }
}

/// Answers 413 to a request whose body is announced to be larger than it may be.
#[derive(Clone, Debug)]
pub(super) struct TooLarge<S> {
    service: S,
    house: Arc<House>,
}

impl<S, B, R> Service<Request<B>> for TooLarge<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<Answered<R>>;
    type Error = S::Error;
    type Future = Refusing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.house.limits.max_body_bytes {
            Some(bound) if announced(request.headers()) > bound => {
                self.house.count_hit(Hit::BodySize);
                Refusing::Refused
            }
            _ => Refusing::Asked {
                answer: self.service.call(request),
            },
        }
    }
}

/// The announced length of a body, zero without one. hyper has checked that it is one number.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

pin_project! {
    /// The future of [`TooLarge`].
    #[project = RefusingProjection]
    pub(super) enum Refusing<F> {
        Refused,
        Asked { #[pin] answer: F },
    }
}

impl<F, R, E> Future for Refusing<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<Answered<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RefusingProjection::Refused => Poll::Ready(Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE))),
            RefusingProjection::Asked { answer } => {
                let answer = ready!(answer.poll(cx))?;
                Poll::Ready(Ok(answer.map(Either::Left)))
            }
        }
    }
}

/// Gives a service that takes [`RequestBody`] to [`serve`](super::serve), so that the bodies of its
/// requests are bounded while they are read.
///
/// If the service returns an error that was caused by a bound, the request is answered by 413 or 408.
///
/// An axum `Router` needs no such wrapper.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use telemetry_rt::net::TcpListener;
/// use telemetry_rt_http::{Limits, LimitedBody, RequestBody, serve};
/// use tower::{BoxError, service_fn};
///
/// async fn length(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, BoxError> {
///     let body = request.into_body().collect().await?.to_bytes();
///     Ok(Response::new(Full::from(body.len().to_string())))
/// }
///
/// # #[telemetry_rt::main]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// serve(listener, LimitedBody::new(service_fn(length)))
///     .limits(Limits::default().max_body_bytes(1 << 20))
/// #     .with_graceful_shutdown(async {})
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LimitedBody<S> {
    service: S,
}

impl<S> LimitedBody<S> {
    /// Bounds the bodies of the requests to `service`.
    pub fn new(service: S) -> LimitedBody<S> {
        LimitedBody { service }
    }
}

impl<S, R> Service<Request<Incoming>> for LimitedBody<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>, Error: Into<BoxError>>,
    R: Body,
{
    type Response = Response<Answered<R>>;
    type Error = BoxError;
    type Future = Excusing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let connection = request.extensions().get::<Connection>().cloned();
        let connection = connection.unwrap_or_else(|| Connection::new(None, None));
        let request = request.map(|incoming| RequestBody::new(incoming, connection));
        Excusing {
            answer: self.service.call(request),
        }
    }
}

pin_project! {
    /// The future of [`LimitedBody`].
    pub struct Excusing<F> {
        #[pin]
        answer: F,
    }
}

impl<F, R, E> Future for Excusing<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<Answered<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match ready!(self.project().answer.poll(cx)) {
            Ok(response) => Ok(response.map(Either::Left)),
            Err(error) => excuse(error.into()),
        };
        Poll::Ready(answer)
    }
}

fn excuse<R: Body>(error: BoxError) -> Result<Response<Answered<R>>, BoxError> {
    if is_caused_by::<LengthLimitError>(&*error) {
        Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE))
    } else if is_caused_by::<BodyTimeout>(&*error) {
        Ok(refusal(StatusCode::REQUEST_TIMEOUT))
    } else {
        Err(error)
    }
}

fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<E>())
}
