//! How much of a request's body arrives?
//!
//! A service says which type of body it wants, and a layer that hands it another one does not fit
//! around it. So the type stays, and only such a body is measured that can hide another in itself:
//! axum's. A request without a body is not touched.

use std::sync::Arc;

use http_body::Body;

use super::in_flight::Shared;

#[cfg(feature = "axum")]
pub(super) use of_axum::{is_measured, measured};

#[cfg(not(feature = "axum"))]
pub(super) fn is_measured(_: &impl Body) -> bool {
    false
}

#[cfg(not(feature = "axum"))]
pub(super) fn measured<B: Body>(body: B, _: &Arc<Shared>) -> B {
    body
}

#[cfg(feature = "axum")]
mod of_axum {
    use std::any::{Any, TypeId};
    use std::pin::Pin;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::{Context, Poll, ready};

    use axum::body::Body as AxumBody;
    use bytes::Bytes;
    use http_body::{Frame, SizeHint};
    use opentelemetry::trace::TraceContextExt;

    use super::{Arc, Body, Shared};
    use crate::server::hooks::Received;

    /// Whether [`measured`] can do something for this body.
    pub(in crate::server) fn is_measured<B: Body + 'static>(body: &B) -> bool {
        TypeId::of::<B>() == TypeId::of::<AxumBody>() && !body.is_end_stream()
    }

    /// The same body, counted as it arrives.
    ///
    /// Cost: an allocation if there is a body.
    pub(in crate::server) fn measured<B: Body + 'static>(body: B, shared: &Arc<Shared>) -> B {
        if !shared.is_measured {
            return body;
        }
        let mut slot = Some(body);
        let any: &mut dyn Any = &mut slot;
        if let Some(known) = any.downcast_mut::<Option<AxumBody>>() {
            let shared = shared.clone();
            *known = known
                .take()
                .map(|inner| AxumBody::new(Measured { inner, shared }));
        }
        slot.expect("what was taken was put back")
    }

    struct Measured {
        inner: AxumBody,
        shared: Arc<Shared>,
    }

    impl Body for Measured {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            saw(&self.shared, &frame);
            Poll::Ready(frame)
        }

        fn is_end_stream(&self) -> bool {
            self.inner.is_end_stream()
        }

        fn size_hint(&self) -> SizeHint {
            self.inner.size_hint()
        }
    }

    fn saw(shared: &Shared, frame: &Option<Result<Frame<Bytes>, axum::Error>>) {
        let (hooks, span) = (shared.hooks(), shared.context.span());
        match frame {
            None => hooks.received(&span, Received::End),
            Some(Err(_)) => {}
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    // Relaxed: see where it is read.
                    shared.received.fetch_add(data.len() as u64, Relaxed);
                    hooks.received(&span, Received::Data(data.len()));
                }
                if let Some(trailers) = frame.trailers_ref() {
                    hooks.received(&span, Received::Trailers(trailers));
                }
            }
        }
    }
}
