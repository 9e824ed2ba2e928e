//! From hyper's request to the service's: the connection goes into it, and it is counted until its
//! answer is complete.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::Service;
use tower::util::{Oneshot, ServiceExt};

use super::body::RequestBody;
use crate::connection::Connection;

/// The requests of one connection. `B` is the body that the service takes.
pub(super) struct Requests<S, B> {
    service: S,
    connection: Connection,
    body: PhantomData<fn() -> B>,
}

impl<S, B> Requests<S, B> {
    pub(super) fn new(service: S, connection: Connection) -> Requests<S, B> {
        Requests {
            service,
            connection,
            body: PhantomData,
        }
    }
}

/// A body that a service may take.
pub(super) trait Taken: Sized {
    fn take(incoming: Incoming, connection: &Connection) -> Self;
}

impl Taken for Incoming {
    fn take(incoming: Incoming, _: &Connection) -> Incoming {
        incoming
    }
}

impl Taken for RequestBody {
    fn take(incoming: Incoming, connection: &Connection) -> RequestBody {
        RequestBody::new(incoming, connection.clone())
    }
}

impl<S, B, R> hyper::service::Service<Request<Incoming>> for Requests<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Taken,
{
    type Response = Response<Answered<R>>;
    type Error = S::Error;
    type Future = Answer<Oneshot<S, Request<B>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let flight = Flight::begin(&self.connection, request.version(), request.body());
        request.extensions_mut().insert(self.connection.clone());
        let request = request.map(|incoming| B::take(incoming, &self.connection));
        Answer {
            answer: self.service.clone().oneshot(request),
            flight: Some(flight),
        }
    }
}

/// A request whose answer is not complete.
struct Flight(Connection);

impl Flight {
    fn begin(connection: &Connection, version: Version, body: &Incoming) -> Flight {
        let has_body = !body.is_end_stream();
        connection.vitals().begin_request(version, has_body);
        Flight(connection.clone())
    }
}

impl Flight {
    /// Of HTTP/1 the socket itself shows that the peer takes nothing.
    fn owe(&self) -> Owed {
        if !self.0.vitals().is_multiplexed() {
            return Owed::default();
        }
        self.0.vitals().owe();
        Owed(Some(self.0.clone()))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.vitals().end_request();
    }
}

/// A part of an answer that hyper has taken, but did not come back for more: in HTTP/2 it waits for
/// the window of the stream.
#[derive(Default)]
struct Owed(Option<Connection>);

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.vitals().owe_no_more();
        }
    }
}

pin_project! {
    /// The future of an answer.
    pub(super) struct Answer<F> {
        #[pin]
        answer: F,
        flight: Option<Flight>,
    }
}

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Answered<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx))?;
        let flight = this.flight.take();
        Poll::Ready(Ok(answer.map(|body| Answered {
            body,
            owed: Owed::default(),
            flight,
        })))
    }
}

pin_project! {
    /// The body of an answer; the request is in flight until it is dropped.
    pub(super) struct Answered<R> {
        #[pin]
        body: R,
        owed: Owed,
        flight: Option<Flight>,
    }
}

impl<R: Body> Body for Answered<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let this = self.project();
        *this.owed = Owed::default();
        let frame = this.body.poll_frame(cx);
        if let (Poll::Ready(Some(_)), Some(flight)) = (&frame, &*this.flight) {
            *this.owed = flight.owe();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
