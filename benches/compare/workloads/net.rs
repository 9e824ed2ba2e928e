//! Servers, with their clients in another process.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Body, Done, Workload};
use crate::load::{CHUNK, Kind, Load, MESSAGE};
use crate::runtime::Runtime;

/// Connections of [`Kind::Echo`] and [`Kind::Http`].
const CONNECTIONS: usize = 64;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("tcp_echo", 3_200, |runtime| server(runtime, Kind::Echo)),
        Workload::new("tcp_stream", 800, |runtime| server(runtime, Kind::Stream)),
        Workload::new("http_hello", 3_200, |runtime| server(runtime, Kind::Http)),
    ]
}

/// Starts a server with a task for each connection, and a load process that is connected to it.
fn server<R: Runtime>(runtime: &R, kind: Kind) -> Body<R> {
    let connections = match kind {
        Kind::Stream => 1,
        Kind::Echo | Kind::Http => CONNECTIONS,
    };
    let (listener, address) = runtime.block_on(R::listen());
    let listener = Arc::new(listener);
    runtime.spawn_outside_detached(async move {
        for _ in 0..connections {
            let stream = R::accept(&listener).await;
            match kind {
                Kind::Echo => R::spawn_detached(echo::<R>(stream)),
                Kind::Stream => R::spawn_detached(stream_chunks::<R>(stream)),
                Kind::Http => R::spawn_detached(http::<R>(stream)),
            }
        }
    });
    let mut load = Load::start();
    load.connect(kind, address.port(), connections);
    assert_eq!(load.answer(), "connected");
    // The connections, who accepts them, and the `block_on` above.
    let mut before = connections + 2;
    Box::new(move |_, size| {
        let size = size.next_multiple_of(connections);
        Done::checked((size, std::mem::take(&mut before)), load.send(size), size)
    })
}

/// Sends back what it gets, until the client is gone.
async fn echo<R: Runtime>(mut stream: R::Stream) {
    let mut buffer = [0; MESSAGE];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Sends as many chunks as it is asked for, again and again.
async fn stream_chunks<R: Runtime>(mut stream: R::Stream) {
    let chunk = vec![7; CHUNK];
    while let Ok(chunks) = stream.read_u64().await {
        for _ in 0..chunks {
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
        }
    }
}

async fn http<R: Runtime>(stream: R::Stream) {
    let service = service_fn(hello);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error: the client is gone.
    let _ = connection.await;
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(
        b"Hello, world!",
    ))))
}
