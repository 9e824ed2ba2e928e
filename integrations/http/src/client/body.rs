//! What is sent, and what is received.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::poll_fn;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};

use super::error::{Error, Kind};
use super::layer::TracedBody;
use super::transport::Received;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request: nothing, bytes, or a stream of them.
///
/// Text, bytes and nothing can be sent again, for retries and redirects that ask for it; a stream
/// cannot.
///
/// ```
/// use telemetry_rt_http::Body;
///
/// let text: Body = "hello".into();
/// let streamed = Body::new(http_body_util::Full::new(bytes::Bytes::from("hello")));
/// assert!(text.try_clone().is_some());
/// assert!(streamed.try_clone().is_none());
/// ```
#[derive(Default)]
pub struct Body(Content);

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Streamed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// A body that sends nothing.
    pub fn empty() -> Body {
        Body::default()
    }

    /// A body that sends what `body` gives. Text and bytes are better converted with `into`, so that
    /// they can be sent again.
    ///
    /// Cost: an allocation.
    pub fn new<B>(body: B) -> Body
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Body(Content::Streamed(body.map_err(Into::into).boxed_unsync()))
    }

    /// The same body once more, unless it is a stream.
    pub fn try_clone(&self) -> Option<Body> {
        match &self.0 {
            Content::Empty => Some(Body::empty()),
            Content::Whole(bytes) => Some(bytes.clone().into()),
            Content::Streamed(_) => None,
        }
    }

    pub(super) fn is_streamed(&self) -> bool {
        matches!(self.0, Content::Streamed(_))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        match bytes.is_empty() {
            true => Body::empty(),
            false => Body(Content::Whole(bytes)),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Body {
        Body::empty()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Bytes::from_static(bytes).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Empty => true,
            Content::Whole(_) => false,
            Content::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Empty => f.write_str("Body(empty)"),
            Content::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Content::Streamed(_) => f.write_str("Body(streamed)"),
        }
    }
}

/// The body of a response of [`Client`](super::Client).
///
/// The span of the request ends with it. Dropped before its end it closes the connection, if that is
/// HTTP/1.1 and more was to come.
pub struct ResponseBody {
    pub(super) inner: TracedBody<Received>,
}

impl ResponseBody {
    /// All of it. There is no limit to what a server may send: see
    /// [`bytes_up_to`](ResponseBody::bytes_up_to).
    ///
    /// # Errors
    ///
    /// If the connection ends before the body does, or the time for the call is over.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        Ok(self.collect().await?.to_bytes())
    }

    /// All of it, unless it is longer than `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`bytes`](ResponseBody::bytes), and if the body is longer.
    pub async fn bytes_up_to(self, limit: usize) -> Result<Bytes, Error> {
        let collected = Limited::new(self, limit).collect().await;
        match collected {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) => Err(match error.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(_) => too_long(limit),
            }),
        }
    }

    /// All of it, as text.
    ///
    /// # Errors
    ///
    /// As [`bytes`](ResponseBody::bytes), and if it is not UTF-8.
    pub async fn text(self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            Error::new(Kind::Body, "the body of the response is not UTF-8").because(error)
        })
    }

    /// The next piece of it; `None` at its end. Trailers are left out.
    ///
    /// Cancel safety: no piece is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`bytes`](ResponseBody::bytes).
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(Pin::new(&mut *self).poll_frame(cx)).transpose()? {
                None => return Poll::Ready(Ok(None)),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
            }
        }
    }
}

fn too_long(limit: usize) -> Error {
    Error::new(
        Kind::Body,
        format!("the body of the response is longer than {limit} bytes"),
    )
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size", &self.size_hint().exact())
            .finish()
    }
}
