//! Requests that go out.
//!
//! A call goes down through these, and its answer comes up again:
//!
//! ```text
//! Client::request            the time of the call
//!   redirect                 tower-http follows, we say where to
//!     retry                  again, after a pause
//!       layer                a span and metrics for each attempt, its context into the headers
//!         transport          limits, hyper-util's pool
//!           connector        names, sockets, TLS
//! ```

mod body;
mod builder;
mod connector;
mod credentials;
mod dial;
mod error;
mod layer;
mod open;
mod redirect;
mod request;
mod retry;
mod tls;
mod transport;

pub use self::body::{Body, ResponseBody};
pub use self::builder::ClientBuilder;
pub use self::error::Error;
pub use self::layer::{
    ClientLayer, ClientLayerBuilder, ClientService, Failure, ResendCount, ResponseFuture,
    TracedBody, UrlTemplate,
};
pub use self::request::RequestBuilder;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response, Uri};
use telemetry_rt::time::{Duration, Instant};
use tower::{Service, ServiceExt};
use tower_http::follow_redirect::FollowRedirect;

use self::redirect::{Allowed, Redirects};
use self::retry::{Call, Retrying};
use self::transport::Transport;

/// Sends requests by HTTP/1.1 and HTTP/2, over connections that it keeps and uses again.
///
/// Each request is a span and has metrics: see [`ClientLayer`]. Redirects and retries are
/// requests of their own below the same parent, that say by `http.request.resend_count` how many there
/// were before them.
///
/// A clone is the same client: it has the same connections. Their tasks live on the runtime that the
/// client is used on, so a client belongs to one runtime.
///
/// There are no proxies, no cookies and no decompression here: layers have them.
///
/// # Metrics
///
/// Beside those of [`ClientLayer`]: `http.client.open_connections`, by state, and
/// `http.client.connection.duration`. An upgraded connection is idle in the sense of these.
///
/// # Cost
///
/// A clone is one count.
///
/// # Example
///
/// ```
/// use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
/// use telemetry_rt::net::TcpListener;
/// use telemetry_rt_http::Client;
///
/// #[telemetry_rt::main]
/// async fn main() {
///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
///     let address = listener.local_addr().unwrap();
///     telemetry_rt::spawn(async move {
///         let (mut stream, _) = listener.accept().await.unwrap();
///         stream.read(&mut [0; 1024]).await.unwrap();
///         let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
///         stream.write_all(answer).await.unwrap();
///     });
///
///     let client = Client::new();
///     let response = client.get(format!("http://{address}/")).send().await.unwrap();
///     assert_eq!(response.status(), 200);
///     assert_eq!(response.into_body().text().await.unwrap(), "hello");
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    service: ClientService<Transport>,
    redirects: Allowed,
    retries: u32,
    timeout: Option<Duration>,
}

/// The time for one call, in place of the client's. In the extensions of a request.
#[derive(Clone, Copy, Debug)]
struct CallTimeout(Duration);

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    pub fn new() -> Client {
        Client::builder()
            .build()
            .expect("without certificates of others nothing can be wrong")
    }

    /// Makes a client of another kind.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Begins a GET request.
    pub fn get<U>(&self, url: U) -> RequestBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        self.method(Method::GET, url)
    }

    /// Begins a POST request.
    pub fn post<U>(&self, url: U) -> RequestBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        self.method(Method::POST, url)
    }

    /// Begins a request.
    pub fn method<U>(&self, method: Method, url: U) -> RequestBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        RequestBuilder::new(self.clone(), method, url)
    }

    /// Sends a request, whose URL has a scheme and a host. The response is there when its head has
    /// come; its body follows.
    ///
    /// The span's parent is what is current when this is called, and the time for the call begins here;
    /// nothing is sent before the future is polled. A status of 4xx or 5xx is no error here. The extensions of the response hold the
    /// [`Connection`](crate::Connection) that it came by.
    ///
    /// User and password in the URL go into the header `authorization`, unless there is one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request and ends its span. The server may have it already. The
    /// connection is closed, if it is HTTP/1.1 and the request was on it.
    ///
    /// # Errors
    ///
    /// If the request cannot be sent, the connection fails or is closed before the head of the
    /// response, redirects lead where they may not, or the time is over: see [`Error`].
    pub fn request(
        &self,
        request: Request<impl Into<Body>>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Error>> + Send + 'static {
        self.send(request.map(Into::into))
    }

    fn send(&self, mut request: Request<Body>) -> Sending {
        let own = request.extensions_mut().remove();
        let limit = own.map(|CallTimeout(limit)| limit).or(self.shared.timeout);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let service = Retrying {
            inner: self.shared.service.clone(),
            call: Call::new(deadline, self.shared.retries),
        };
        let redirects = Redirects::new(self.shared.redirects);
        let following = FollowRedirect::with_policy(service, redirects);
        Box::pin(async move {
            let response = following.oneshot(request).await?;
            Ok(response.map(|inner| ResponseBody { inner }))
        })
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Error>> + Send>>;

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Sending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Sending {
        self.send(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("redirects", &self.shared.redirects)
            .field("retries", &self.shared.retries)
            .field("timeout", &self.shared.timeout)
            .finish_non_exhaustive()
    }
}
