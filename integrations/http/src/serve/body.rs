//! Bodies of requests that are bounded, in size and in time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::Incoming;
use telemetry_rt::time::{Sleep, sleep};
use tower::BoxError;

use super::house::{Hit, House};
use crate::connection::Connection;

/// The body of a request, within [`max_body_bytes`](super::Limits::max_body_bytes) and
/// [`body_timeout`](super::Limits::body_timeout).
///
/// The bodies that an axum `Router` gets are of this kind. Any other service gets hyper's `Incoming`,
/// of which only the announced length is looked at, unless the service is wrapped in
/// [`LimitedBody`](super::LimitedBody).
///
/// # Errors
///
/// `http_body_util::LengthLimitError` if the body is too large, which axum's extractors answer by 413;
/// [`BodyTimeout`] if the peer took too long; and hyper's error if the connection failed. A body that
/// has failed is not read any further: what follows the error is its end. Its connection is closed
/// after the answer.
///
/// # Cost
///
/// No allocation, unless the body has to be waited for: then a timer.
pub struct RequestBody {
    incoming: Limited<Incoming>,
    connection: Connection,
    patience: Option<Pin<Box<Sleep>>>,
    has_failed: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, connection: Connection) -> RequestBody {
        let house = connection.house();
        let bound = house.and_then(|house| house.limits.max_body_bytes);
        let bound = bound.map_or(usize::MAX, |bytes| bytes.try_into().unwrap_or(usize::MAX));
        RequestBody {
            incoming: Limited::new(incoming, bound),
            connection,
            patience: None,
            has_failed: false,
        }
    }

    /// Ready when the peer has taken too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<BodyTimeout> {
        let house = self.connection.house();
        let Some(time) = house.and_then(|house| house.limits.body_timeout) else {
            return Poll::Pending;
        };
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(patience.as_mut().poll(cx));
        count_hit(house, Hit::BodyTimeout);
        Poll::Ready(BodyTimeout(()))
    }

    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
        match frame {
            None => self.connection.vitals().end_body(),
            Some(Err(error)) => {
                self.has_failed = true;
                if error.is::<LengthLimitError>() {
                    count_hit(self.connection.house(), Hit::BodySize);
                }
            }
            Some(_) if self.incoming.is_end_stream() => self.connection.vitals().end_body(),
            Some(_) => {}
        }
    }
}

fn count_hit(house: Option<&Arc<House>>, hit: Hit) {
    if let Some(house) = house {
        house.count_hit(hit);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let timeout = ready!(self.poll_patience(cx));
            self.has_failed = true;
            return Poll::Ready(Some(Err(timeout.into())));
        };
        self.patience = None;
        self.note(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// The peer did not send the body of its request in time.
#[derive(Debug)]
pub struct BodyTimeout(());

impl fmt::Display for BodyTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the body of the request did not come in time (`body_timeout` of the server's limits)",
        )
    }
}

impl std::error::Error for BodyTimeout {}
