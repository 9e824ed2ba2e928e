//! When has a response left? When its body has: then the request ends.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::TraceContextExt;
use pin_project_lite::pin_project;

use super::hooks::Sent;
use super::in_flight::{End, Failure, InFlight, Watch};

const IS_THERE: &str = "the body is there until it is dropped";

pin_project! {
    /// The body of a [`Server`](super::Server)'s response.
    ///
    /// Dropped before its end, it ends the request as one whose client has gone.
    pub struct ServerBody<B> {
        // There until this is dropped.
        #[pin]
        inner: Option<B>,
        watch: Watch,
    }

    impl<B> PinnedDrop for ServerBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // It belongs to the request, and goes before that ends.
            let _current = this.watch.enter_unended();
            this.inner.set(None);
        }
    }
}

impl<B> ServerBody<B> {
    pub(super) fn new(inner: B, watch: Watch) -> ServerBody<B> {
        let inner = Some(inner);
        ServerBody { inner, watch }
    }
}

impl<B: Default> Default for ServerBody<B> {
    fn default() -> ServerBody<B> {
        ServerBody::new(B::default(), Watch::Through)
    }
}

impl<B: fmt::Debug> fmt::Debug for ServerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<B> Body for ServerBody<B>
where
    B: Body,
    B::Error: fmt::Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let watch = this.watch;
        let mut inner = this.inner.as_pin_mut().expect(IS_THERE);
        let _current = watch.enter();
        let (frame, is_last) = ready!(watch.run(|| {
            let frame = inner.as_mut().poll_frame(cx);
            frame.map(|frame| (frame, inner.is_end_stream()))
        }));
        if let Watch::Traced(in_flight) = watch {
            saw(in_flight, &frame);
            // Who asks may not ask again.
            if is_last {
                in_flight.end_well();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().expect(IS_THERE).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().expect(IS_THERE).size_hint()
    }
}

fn saw<D: Buf, E: fmt::Display>(in_flight: &mut InFlight, frame: &Option<Result<Frame<D>, E>>) {
    match frame {
        None => in_flight.end_well(),
        Some(Err(error)) => in_flight.end(End::Failed(Failure::of(error))),
        Some(Ok(frame)) => {
            if let Some(data) = frame.data_ref() {
                in_flight.sent(data.remaining());
            }
            if let Some(trailers) = frame.trailers_ref() {
                let shared = in_flight.shared();
                shared
                    .hooks()
                    .sent(&shared.context.span(), Sent::Trailers(trailers));
            }
        }
    }
}
