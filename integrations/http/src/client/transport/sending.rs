//! The body of a request on its way: it is polled by the task of the connection, so it brings the
//! context of its request along, and counts its bytes for the span.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::client::body::Body;

type BoxError = Box<dyn Error + Send + Sync>;

/// How many bytes of a body were sent. An extension of requests that want to know.
#[derive(Clone, Debug)]
pub(in crate::client) struct SentBytes(Arc<AtomicU64>);

/// Nobody counts: another client sends the request.
const NOT_COUNTED: u64 = u64::MAX;

impl SentBytes {
    pub(in crate::client) fn new() -> SentBytes {
        SentBytes(Arc::new(AtomicU64::new(NOT_COUNTED)))
    }

    pub(in crate::client) fn get(&self) -> Option<u64> {
        // Relaxed: a number about which nothing else is known.
        Some(self.0.load(Relaxed)).filter(|&bytes| bytes != NOT_COUNTED)
    }

    fn begin(&self) {
        // Relaxed: as above.
        self.0.store(0, Relaxed);
    }

    fn add(&self, bytes: usize) {
        // Relaxed: as above.
        self.0.fetch_add(bytes as u64, Relaxed);
    }
}

pub(in crate::client) struct Sending {
    body: Body,
    context: Option<opentelemetry::Context>,
    sent: Option<SentBytes>,
    fate: Option<Fate>,
}

impl Sending {
    pub(super) fn new(body: Body) -> Sending {
        let is_streamed = body.is_streamed();
        Sending {
            body,
            context: is_streamed.then(opentelemetry::Context::current),
            sent: None,
            fate: is_streamed.then(Fate::default),
        }
    }

    /// What will be known of the body; `None` if it cannot fail.
    pub(super) fn fate(&self) -> Option<Fate> {
        self.fate.clone()
    }

    /// A stream that panics has failed: the connection may have other requests.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = &mut self.body;
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        polled.unwrap_or_else(|_| {
            self.body = Body::empty();
            Poll::Ready(Some(Err("its stream panicked".into())))
        })
    }

    fn fail(&self, error: BoxError) -> NotMade {
        let error = NotMade(error.into());
        if let Some(Fate(failed)) = &self.fate {
            // A stream may be asked again after it has failed. The first answer counts.
            drop(failed.set(error.clone()));
        }
        error
    }
}

/// Why a body could not be made, for the request that waits for its answer: HTTP/2 tells that only
/// that its stream was reset.
#[derive(Clone, Default)]
pub(super) struct Fate(Arc<OnceLock<NotMade>>);

impl Fate {
    pub(super) fn failed(&self) -> Option<NotMade> {
        self.0.get().cloned()
    }
}

/// Has the bytes counted, if somebody asked for it.
pub(super) fn count(request: &mut Request<Sending>) {
    let sent: Option<SentBytes> = request.extensions_mut().remove();
    if let Some(sent) = &sent {
        sent.begin();
    }
    request.body_mut().sent = sent;
}

/// What the application's stream of a body failed with.
#[derive(Clone, Debug)]
pub(in crate::client) struct NotMade(Arc<dyn Error + Send + Sync>);

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of the request failed")
    }
}

impl Error for NotMade {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = NotMade;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let _context = self.context.clone().map(opentelemetry::Context::attach);
        let polled = self.poll_body(cx);
        if let (Some(sent), Poll::Ready(Some(Ok(frame)))) = (&self.sent, &polled) {
            sent.add(frame.data_ref().map_or(0, Bytes::len));
        }
        polled.map(|frame| Some(frame?.map_err(|error| self.fail(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
