//! How does a request get its response?

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::in_flight::{End, Failure, Watch};
use super::response_body::ServerBody;

pin_project! {
    /// The future of a [`Server`](super::Server)'s response.
    ///
    /// Dropped before it is ready, it ends the request as one whose client has gone.
    pub struct ServerFuture<F> {
        // There until this is dropped.
        #[pin]
        inner: Option<F>,
        watch: Watch,
    }

    impl<F> PinnedDrop for ServerFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // It belongs to the request, and goes before that ends.
            let _current = this.watch.enter_unended();
            this.inner.set(None);
        }
    }
}

impl<F> ServerFuture<F> {
    pub(super) fn new(inner: F, watch: Watch) -> ServerFuture<F> {
        let inner = Some(inner);
        ServerFuture { inner, watch }
    }
}

impl<F> fmt::Debug for ServerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: fmt::Display,
{
    type Output = Result<Response<ServerBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner.as_pin_mut();
        let inner = inner.expect("it is there until this is dropped");
        let _current = this.watch.enter();
        let result = ready!(this.watch.run(|| inner.poll(cx)));
        let watch = std::mem::replace(this.watch, Watch::Through);
        Poll::Ready(match result {
            Ok(response) => Ok(answered(response, watch)),
            Err(error) => Err(failed(error, watch)),
        })
    }
}

fn answered<B: Body>(response: Response<B>, mut watch: Watch) -> Response<ServerBody<B>> {
    let (head, body) = response.into_parts();
    if let Watch::Traced(in_flight) = &mut watch {
        in_flight.head(&head, body.is_end_stream(), body.size_hint().exact());
    }
    Response::from_parts(head, ServerBody::new(body, watch))
}

#[cold]
fn failed<E: fmt::Display>(error: E, mut watch: Watch) -> E {
    if let Watch::Traced(in_flight) = &mut watch {
        in_flight.end(End::Failed(Failure::of(&error)));
    }
    error
}
