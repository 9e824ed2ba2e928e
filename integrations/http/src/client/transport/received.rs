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
    /// Until it has failed: what fails once has ended, and its connection is let go.
    body: Option<Incoming>,
    deadline: Option<Deadline>,
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
            body: Some(body),
            deadline: deadline.map(Deadline::new),
            in_use: in_use.filter(|_| !has_ended),
            about,
        }
    }

    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        // First, because a server that is faster than the reader always has a frame ready.
        if self.deadline.as_ref().is_some_and(Deadline::is_over) {
            return Poll::Ready(Some(Err(over())));
        }
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(cut_short)));
        }
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        deadline.poll(cx).map(|()| Some(Err(over())))
    }

    fn end(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, Error>>>) {
        match polled {
            Poll::Ready(None) => self.in_use = None,
            Poll::Ready(Some(Err(_))) => {
                self.body = None;
                self.in_use = None;
            }
            _ if self.is_end_stream() => self.in_use = None,
            _ => {}
        }
    }
}

/// When the body has to be there. A timer is set only for a body that lets itself be waited for.
struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(at: Instant) -> Deadline {
        Deadline { at, timer: None }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        timer.as_mut().poll(cx)
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
        self.end(&polled);
        let (method, uri) = &self.about;
        polled.map(|frame| Some(frame?.map_err(|error| error.of(method, uri))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
