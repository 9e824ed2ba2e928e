//! The body of a response as it comes: within the time of the call, and with errors that say so.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use telemetry_rt::time::{Instant, Sleep, sleep_until};

use crate::client::error::{Error, Kind, chain};
use crate::client::open::InUse;

pub(in crate::client) struct Received {
    body: Incoming,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The connection is in use until the body has ended.
    in_use: Option<InUse>,
    /// For errors.
    about: (Method, Uri),
}

impl Received {
    pub(super) fn new(
        body: Incoming,
        deadline: Option<Instant>,
        in_use: Option<InUse>,
        about: (Method, Uri),
    ) -> Received {
        let has_ended = body.is_end_stream();
        Received {
            body,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            in_use: in_use.filter(|_| !has_ended),
            about,
        }
    }

    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(cut_short)));
        }
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        deadline.as_mut().poll(cx).map(|()| Some(Err(over())))
    }
}

fn cut_short(error: hyper::Error) -> Error {
    let deepest = chain(&error).last().unwrap_or(&error).to_string();
    let what = format!("the body of the response ended early: {deepest}");
    Error::new(Kind::Body, what).because(error)
}

fn over() -> Error {
    Error::new(
        Kind::Timeout,
        "the time for the whole call was over before the body of the response",
    )
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_in_time(cx);
        let has_ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        if has_ended || self.body.is_end_stream() {
            self.in_use = None;
        }
        let (method, uri) = &self.about;
        polled.map(|frame| Some(frame?.map_err(|error| error.of(method, uri))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
