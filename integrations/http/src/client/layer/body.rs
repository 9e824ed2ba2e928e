//! The body of a response that its span waits for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::live::Live;

pin_project_lite::pin_project! {
    /// The body of a response of a [`ClientService`](super::ClientService). The span of the request
    /// ends with it.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        inner: B,
        // Until the span has ended.
        live: Option<Live>,
    }
}

impl<B: Body> TracedBody<B> {
    pub(super) fn new(inner: B, live: Option<Live>) -> TracedBody<B> {
        let is_at_end = inner.is_end_stream();
        let live = live.and_then(|live| live.waits_for_body(is_at_end));
        TracedBody { inner, live }
    }
}

fn end_read(live: &mut Option<Live>) {
    if let Some(mut live) = live.take() {
        live.read_to_end();
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Error: 'static>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let Some(live) = this.live else {
            return Poll::Ready(frame);
        };
        match &frame {
            Some(Ok(frame)) => live.received(frame.data_ref().map_or(0, Buf::remaining)),
            Some(Err(error)) => {
                live.failed(error);
                *this.live = None;
            }
            None => {}
        }
        if frame.is_none() || this.inner.is_end_stream() {
            end_read(this.live);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
