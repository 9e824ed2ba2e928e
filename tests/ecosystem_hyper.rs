//! Does hyper 1 serve and ask, in both versions of HTTP, on our sockets and tasks?
//!
//! It asks for four things: I/O (`TokioIo` of hyper-util around a [`TcpStream`]), an executor and
//! a timer (`ecosystem/http.rs`), and somebody who accepts. Nothing of it knows which runtime
//! this is.

#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;
#[path = "ecosystem/http.rs"]
mod http;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bounded::on_each_runtime;
use bytes::Bytes;
use futures_util::stream;
use http::{Spawner, Timers};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::sync::mpsc;
use telemetry_rt::task::{JoinHandle, JoinSet};
use telemetry_rt::time::{sleep, timeout};

// ----- the server -----

/// Answers with the body that was sent, as it comes in.
async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    Ok(Response::new(request.into_body()))
}

struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves each connection on a task of its own, in the version that it asks for.
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = telemetry_rt::spawn(accept(listener, Arc::clone(&accepted)));
        Server {
            address,
            accepted,
            accepting,
        }
    }

    fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, accepted: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        telemetry_rt::spawn(async move {
            auto::Builder::new(Spawner)
                .serve_connection(TokioIo::new(stream), service_fn(echo))
                .await
                .unwrap();
        });
    }
}

// ----- the client -----

/// A connection in either version.
enum Client<B> {
    Http1(hyper::client::conn::http1::SendRequest<B>),
    Http2(hyper::client::conn::http2::SendRequest<B>),
}

impl<B> Client<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    async fn http1(address: SocketAddr) -> Client<B> {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        telemetry_rt::spawn(connection);
        Client::Http1(sender)
    }

    async fn http2(address: SocketAddr) -> Client<B> {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::Builder::new(Spawner)
            .timer(Timers)
            .keep_alive_interval(Duration::from_millis(20))
            .handshake(io)
            .await
            .unwrap();
        telemetry_rt::spawn(connection);
        Client::Http2(sender)
    }

    async fn send(&mut self, body: B) -> Response<Incoming> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("http://localhost/")
            .body(body)
            .unwrap();
        match self {
            Client::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Client::Http2(sender) => sender.send_request(request).await.unwrap(),
        }
    }

    async fn echoes(&mut self, body: B) -> Bytes {
        let response = self.send(body).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap().to_bytes()
    }
}

fn text(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

// ----- the tests -----

#[test]
fn requests_in_a_row_share_one_connection() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let server = Server::start().await;
            for mut client in [
                Client::http1(server.address).await,
                Client::http2(server.address).await,
            ] {
                for number in 0..20 {
                    let sent = format!("request {number}");
                    assert_eq!(client.echoes(text(sent.clone())).await, sent);
                }
            }
            assert_eq!(server.connections(), 2);
        });
    });
}

#[test]
fn requests_at_once_share_one_connection_of_http2() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let server = Server::start().await;
            let Client::Http2(sender) = Client::http2(server.address).await else {
                unreachable!("asked for HTTP/2");
            };
            let mut requests = JoinSet::new();
            for number in 0..50 {
                let mut client = Client::Http2(sender.clone());
                requests.spawn(async move {
                    let sent = format!("request {number}");
                    assert_eq!(client.echoes(text(sent.clone())).await, sent);
                });
            }
            requests.join_all().await;
            assert_eq!(server.connections(), 1);
        });
    });
}

/// One MiB in chunks, with a pause of the sender now and then.
fn mebibyte() -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static {
    const CHUNK: usize = 16 * 1024;
    let chunks = stream::unfold(0_u8, |number| async move {
        if number == 64 {
            return None;
        }
        if number % 16 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let chunk = Bytes::from(vec![number; CHUNK]);
        Some((Ok(Frame::data(chunk)), number + 1))
    });
    StreamBody::new(Box::pin(chunks))
}

#[test]
fn a_mebibyte_is_echoed_while_it_is_sent() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let server = Server::start().await;
            for mut client in [
                Client::http1(server.address).await,
                Client::http2(server.address).await,
            ] {
                let echoed = client.echoes(mebibyte()).await;
                assert_eq!(echoed.len(), 1 << 20);
                for (number, chunk) in echoed.chunks(16 * 1024).enumerate() {
                    assert!(chunk.iter().all(|&byte| usize::from(byte) == number));
                }
            }
        });
    });
}

#[test]
fn a_hundred_connections_at_once_are_served() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let server = Server::start().await;
            let address = server.address;
            let mut clients = JoinSet::new();
            for number in 0..100 {
                clients.spawn(async move {
                    let mut client = match number % 2 {
                        0 => Client::http1(address).await,
                        _ => Client::http2(address).await,
                    };
                    for request in 0..5 {
                        let sent = format!("{number}: {request}");
                        assert_eq!(client.echoes(text(sent.clone())).await, sent);
                    }
                });
            }
            clients.join_all().await;
            assert_eq!(server.connections(), 100);
        });
    });
}

/// Serves one connection slowly, and once its first request is there, ends gracefully.
async fn serve_one_slowly(listener: TcpListener) {
    let (in_flight, mut arrived) = mpsc::unbounded_channel();
    let service = service_fn(move |_: Request<Incoming>| {
        in_flight.send(()).unwrap();
        async {
            sleep(Duration::from_millis(30)).await;
            Ok::<_, Infallible>(Response::new(text("answered")))
        }
    });
    let (stream, _) = listener.accept().await.unwrap();
    let graceful = GracefulShutdown::new();
    let connection = auto::Builder::new(Spawner)
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let served = telemetry_rt::spawn(graceful.watch(connection));
    arrived.recv().await.unwrap();
    drop(listener);
    graceful.shutdown().await;
    served.await.unwrap().unwrap();
}

#[test]
fn a_graceful_shutdown_answers_what_is_in_flight_and_takes_no_more() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = telemetry_rt::spawn(serve_one_slowly(listener));

            let mut client = Client::http1(address).await;
            assert_eq!(client.echoes(text("hello")).await, "answered");
            server.await.unwrap();

            let Client::Http1(mut sender) = client else {
                unreachable!("asked for HTTP/1");
            };
            assert!(sender.ready().await.is_err());
            assert!(TcpStream::connect(address).await.is_err());
        });
    });
}

#[test]
fn a_client_that_never_finishes_its_head_is_cut_off_by_our_timer() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();

            let served = hyper::server::conn::http1::Builder::new()
                .timer(Timers)
                .header_read_timeout(Duration::from_millis(20))
                .serve_connection(TokioIo::new(stream), service_fn(echo))
                .await;
            assert!(served.unwrap_err().is_timeout());

            let mut answer = Vec::new();
            let read = timeout(Duration::from_secs(10), client.read_to_end(&mut answer));
            read.await.unwrap().unwrap();
        });
    });
}

// ----- the client with a pool -----

/// Our stream in `TokioIo`, as the pool of hyper-util wants it: able to tell what it is.
struct Pooled(TokioIo<TcpStream>);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// In place of `HttpConnector`, which connects with tokio's sockets.
async fn connect(to: Uri) -> io::Result<Pooled> {
    let host = to.host().expect("the requests of this test name a host");
    let port = to.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    Ok(Pooled(TokioIo::new(stream)))
}

#[test]
fn the_client_of_hyper_util_reuses_the_connections_of_its_pool() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let server = Server::start().await;
            let client = legacy::Client::builder(Spawner)
                .timer(Timers)
                .pool_timer(Timers)
                .pool_idle_timeout(Duration::from_secs(5))
                .build::<_, Full<Bytes>>(tower::service_fn(|to| Box::pin(connect(to))));
            for number in 0..10 {
                let sent = format!("request {number}");
                let request = Request::post(format!("http://{}/", server.address))
                    .body(text(sent.clone()))
                    .unwrap();
                let answer = client.request(request).await.unwrap();
                let echoed = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(echoed, sent);
                // The connection goes back to the pool on a task of its own.
                sleep(Duration::from_millis(2)).await;
            }
            assert!(server.connections() <= 2, "{} made", server.connections());
        });
    });
}
