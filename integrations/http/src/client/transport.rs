//! Sends one request by a connection of the pool, within the time it has. Nothing here knows of spans.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::poll_fn;
use http::uri::Scheme;
use http::{Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use telemetry_rt::task;
use telemetry_rt::time::{Duration, Instant, timeout_at};
use tower::Service;

use self::sending::NotMade;
use super::body::Body;
use super::connector::Connector;
use super::credentials;
use super::error::{Error, Kind, find};
use super::open::{InUse, Using};
use super::retry::Deadline;

mod received;
mod sending;

pub(super) use self::sending::{Sending, SentBytes};
pub(super) use received::Received;

type Pool = legacy::Client<Connector, Sending>;

/// How long a server may take at most to answer a ping.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// How the pool keeps connections, and what they speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolConfig {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_idle_per_host: usize,
    pub(super) h2_only: bool,
    pub(super) h2_silence: Option<Duration>,
}

#[derive(Clone)]
pub(super) struct Transport {
    pool: Pool,
    head_timeout: Option<Duration>,
}

impl Transport {
    pub(super) fn new(
        connector: Connector,
        config: PoolConfig,
        head_timeout: Option<Duration>,
    ) -> Transport {
        let pool = legacy::Client::builder(Housekeeper)
            .timer(crate::rt::Timers)
            .pool_timer(crate::rt::Timers)
            .pool_idle_timeout(config.idle_timeout.filter(is_reached))
            .pool_max_idle_per_host(config.max_idle_per_host)
            .http2_only(config.h2_only)
            .http2_keep_alive_interval(config.h2_silence.filter(is_reached))
            .http2_keep_alive_timeout(config.h2_silence.unwrap_or(SIGN_OF_LIFE).min(SIGN_OF_LIFE))
            .build(connector);
        Transport { pool, head_timeout }
    }

    async fn exchange(self, request: Request<Body>) -> Result<Response<Received>, Error> {
        let method = request.method().clone();
        let uri = request.uri().clone();
        let exchanged = self.try_exchange(request).await;
        exchanged.map_err(|error| error.of(&method, &uri))
    }

    async fn try_exchange(self, mut request: Request<Body>) -> Result<Response<Received>, Error> {
        check(&request)?;
        let limits = Limits::new(&mut request, self.head_timeout);
        let about = (request.method().clone(), request.uri().clone());
        credentials::into_header(&mut request);
        let mut request = request.map(Sending::new);
        let fate = request.body().fate();
        sending::count(&mut request);
        let mut using = Using::waiting(capture_connection(&mut request));
        let response = self.pool.request(request);
        let response = limits.head(watched(response, &mut using)).await;
        match response {
            Ok(response) => {
                let in_use = using.settle(&response);
                Ok(response.map(|body| limits.body(body, in_use, about)))
            }
            Err(error) => {
                let not_made = fate.and_then(|fate| fate.failed());
                Err(not_made.map_or(error, of_body).by(using.connection()))
            }
        }
    }
}

/// Looks at each poll whether the connection is known by now.
async fn watched(
    mut response: legacy::ResponseFuture,
    using: &mut Using,
) -> Result<Response<Incoming>, Error> {
    let response = poll_fn(|cx| {
        let polled = Pin::new(&mut response).poll(cx);
        using.look();
        polled
    });
    response.await.map_err(failed)
}

/// The time that a request has.
struct Limits {
    head: Option<(Instant, Duration)>,
    whole: Option<Instant>,
}

impl Limits {
    fn new(request: &mut Request<Body>, head_timeout: Option<Duration>) -> Limits {
        let whole = request.extensions_mut().remove::<Deadline>();
        Limits {
            head: head_timeout.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))),
            whole: whole.map(|Deadline(deadline)| deadline),
        }
    }

    async fn head<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let deadline = match (self.head, self.whole) {
            (Some((head, _)), Some(whole)) => head.min(whole),
            (Some((head, _)), None) => head,
            (None, Some(whole)) => whole,
            (None, None) => return answer.await,
        };
        match timeout_at(deadline, answer).await {
            Ok(answered) => answered,
            Err(elapsed) => Err(self.over(deadline).because(elapsed)),
        }
    }

    fn over(&self, deadline: Instant) -> Error {
        let what = match self.head {
            Some((head, limit)) if head == deadline => {
                format!("no head of a response within {limit:?}")
            }
            _ => "the time for the whole call is over".to_owned(),
        };
        Error::new(Kind::Timeout, what)
    }

    fn body(&self, body: Incoming, in_use: Option<InUse>, about: (Method, Uri)) -> Received {
        Received::new(body, self.whole, in_use, about)
    }
}

/// Whether a time from now has a place on the clock. hyper-util adds without asking.
fn is_reached(limit: &Duration) -> bool {
    Instant::now().checked_add(*limit).is_some()
}

/// What is wrong with a request that nobody could send.
fn check(request: &Request<Body>) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::new(Kind::Request, what));
    let uri = request.uri();
    let Some(scheme) = uri.scheme() else {
        return wrong("the URL has no scheme: `http://` or `https://` is needed".to_owned());
    };
    if scheme != &Scheme::HTTP && scheme != &Scheme::HTTPS {
        return wrong(format!(
            "the scheme of the URL is `{scheme}`: `http` and `https` are accepted"
        ));
    }
    if scheme == &Scheme::HTTPS && !cfg!(feature = "tls") {
        return wrong("`https` needs the feature `tls` of telemetry_rt-http".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) {
        return wrong("the URL has no host".to_owned());
    }
    match request.version() {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => Ok(()),
        version => wrong(format!(
            "the version is {version:?}: HTTP/1.0, HTTP/1.1 and HTTP/2.0 are accepted"
        )),
    }
}

/// What the stream of the body failed with is only the cause of this: it is the application's, and
/// may be anything.
fn of_body(error: NotMade) -> Error {
    Error::new(Kind::Body, "the body of the request failed").because(error)
}

/// What the error of hyper's client comes to.
fn failed(error: legacy::Error) -> Error {
    if let Some(ours) = find::<Error>(&error) {
        return ours.clone();
    }
    let (kind, what) = judged(&error);
    let is_connect = error.is_connect();
    let judged = Error::new(kind, what).because(error);
    match is_connect {
        true => judged.while_connecting(),
        false => judged,
    }
}

fn judged(error: &(dyn StdError + 'static)) -> (Kind, String) {
    let deepest = super::error::chain(error).last().unwrap_or(error);
    let hyper = find::<hyper::Error>(error);
    let is = |question: fn(&hyper::Error) -> bool| hyper.is_some_and(question);
    if is(hyper::Error::is_body_write_aborted) {
        return (Kind::Body, "the body of the request ended early".to_owned());
    }
    if is(hyper::Error::is_user) {
        let what = format!("the task of the connection is gone: {deepest}");
        return (Kind::Closed, what);
    }
    if is(hyper::Error::is_timeout) {
        return (Kind::Timeout, "no sign of life from the server".to_owned());
    }
    if let Some(io) = find::<std::io::Error>(error) {
        return (Kind::Io(io.kind()), format!("the connection failed: {io}"));
    }
    if is(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed()) {
        let what = "the connection was closed before the head of the response";
        return (Kind::Closed, what.to_owned());
    }
    (Kind::Protocol, format!("the exchange failed: {deepest}"))
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Received>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Received>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

/// Runs the tasks of the pool. They serve many requests, so they belong to the trace of none; what
/// hyper spawns for each request besides would be a trace of its own, of one span that says nothing.
/// So they have no spans, and are counted as all tasks are.
#[derive(Clone, Copy, Debug)]
struct Housekeeper;

impl<F> hyper::rt::Executor<F> for Housekeeper
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let quiet = opentelemetry::Context::new().with_telemetry_suppressed();
        let _quiet = quiet.attach();
        drop(
            task::Builder::new()
                .name("http client connection")
                .spawn(future),
        );
    }
}
