//! The task of a connection: it obeys orders, and says why it ended.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use telemetry_rt::io::{AsyncRead, AsyncWrite};
use tower::{BoxError, Service};

use super::house::Seat;
use super::limits::{HEADERS_WITHOUT_ALLOCATION, Limits};
use super::report::CloseReason;
use super::requests::{Requests, Taken};
use super::socket::Socket;
use super::vitals::Order;
use crate::connection::Connection;
use crate::rt::{Spawner, Timers};

/// hyper's part of a server.
pub(super) type Http = auto::Builder<Spawner>;

/// hyper with those of the limits that are its own. Its timeout of heads is off: it costs a timer and
/// two allocations a request, and the server's patrol knows the same.
pub(super) fn http(limits: &Limits) -> Http {
    let mut http = auto::Builder::new(Spawner("http request"));
    http.http1()
        .timer(Timers)
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes());
    if limits.max_headers != HEADERS_WITHOUT_ALLOCATION {
        http.http1().max_headers(limits.max_headers);
    }
    http.http2()
        .timer(Timers)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes()).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    http
}

/// Serves one connection to its end.
pub(super) async fn drive<H, Io, S, B, R>(
    handshake: H,
    seat: Seat,
    connection: Connection,
    service: S,
    http: &Http,
) -> CloseReason
where
    H: Future<Output = io::Result<Io>>,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send + 'static>,
    S: Clone + Send + 'static,
    B: Taken + Send + 'static,
    R: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let io = match shake_hands(handshake, &connection).await {
        Ok(io) => io,
        Err(reason) => return reason,
    };
    let socket = TokioIo::new(Socket::new(io, connection.clone(), seat));
    let requests = Requests::new(service, connection.clone());
    let http = http.serve_connection_with_upgrades(socket, requests);
    let reason = obey(http, &connection).await;
    connection.vitals().hand_over();
    reason
}

/// Nothing was asked for yet, so any order ends it.
async fn shake_hands<Io>(
    handshake: impl Future<Output = io::Result<Io>>,
    connection: &Connection,
) -> Result<Io, CloseReason> {
    let mut handshake = pin!(handshake);
    let mut orders = connection.vitals().listen();
    poll_fn(|cx| {
        if let Poll::Ready(io) = handshake.as_mut().poll(cx) {
            return Poll::Ready(io.map_err(|_| CloseReason::Handshake));
        }
        match orders.order(cx.waker()) {
            Some(Order::Finish(reason) | Order::Leave(reason) | Order::Close(reason)) => {
                Poll::Ready(Err(reason))
            }
            None => Poll::Pending,
        }
    })
    .await
}

async fn obey<C>(http: C, connection: &Connection) -> CloseReason
where
    C: GracefulConnection<Error = BoxError>,
{
    let mut http = pin!(http);
    let vitals = connection.vitals();
    let mut told = None;
    let mut is_finishing = false;
    let mut orders = vitals.listen();
    let mut step = |cx: &mut Context<'_>| loop {
        // What has come is taken before orders are: a request that has begun is answered.
        if let Poll::Ready(end) = http.as_mut().poll(cx) {
            return Poll::Ready(reason(end, told));
        }
        // Until there is none: only who has looked in vain is woken for the next.
        while let Some(order) = orders.order(cx.waker()) {
            match order {
                Order::Close(reason) => return Poll::Ready(reason),
                Order::Leave(reason) if vitals.is_quiet() => return Poll::Ready(reason),
                Order::Leave(_) => {}
                Order::Finish(reason) => told = told.or(Some(reason)),
            }
        }
        // hyper takes a connection within its second head for one that is idle, and would close it:
        // the request would be lost to a client that may not be able to repeat it. The patrol waits
        // a while for the rest.
        if told.is_none() || is_finishing || vitals.has_open_next_head() {
            return Poll::Pending;
        }
        is_finishing = true;
        http.as_mut().graceful_shutdown();
    };
    poll_fn(&mut step).await
}

fn reason(end: Result<(), BoxError>, told: Option<CloseReason>) -> CloseReason {
    match end {
        Ok(()) => told.unwrap_or(CloseReason::Finished),
        Err(error) => match told {
            // Before the first byte a graceful end is an error to hyper-util.
            Some(told) if is_interrupted(&error) => told,
            _ => of_error(&error),
        },
    }
}

fn is_interrupted(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::Interrupted)
}

fn of_error(error: &BoxError) -> CloseReason {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse_too_large() => CloseReason::HeaderSize,
        Some(error) if error.is_parse() => CloseReason::Malformed,
        Some(error) if error.is_user() => CloseReason::Service,
        Some(error) if error.is_timeout() => CloseReason::PingTimeout,
        Some(error) if is_break(error) => CloseReason::Disconnected,
        Some(_) => CloseReason::Malformed,
        None => CloseReason::Disconnected,
    }
}

/// What is left are errors of the socket, and those of the protocol of HTTP/2.
fn is_break(error: &hyper::Error) -> bool {
    let by_itself = error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.is_canceled()
        || error.is_closed()
        || error.is_shutdown();
    by_itself || std::iter::successors(error.source(), |&error| error.source()).any(is_io)
}

fn is_io(error: &(dyn Error + 'static)) -> bool {
    error.is::<io::Error>()
}
