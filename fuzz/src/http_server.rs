//! What does a server do with whatever comes on a connection? It is served as on a socket: by `serve`,
//! with axum and with spans and metrics, on a pipe in memory, in a time that passes as soon as
//! nothing else is to be done. However the peer behaves, the connection ends, and with it all that
//! was begun for it.

use std::future::{Ready, pending, ready};
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use telemetry_rt::io::{AsyncWriteExt, DuplexStream, duplex, sink, split};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, yield_now};
use telemetry_rt::time::{sleep, timeout};
use telemetry_rt_http::{Accepted, CloseReason, Limits, Listener, Report, ServerLayer, serve};

use crate::http_world::{World, total};

/// How a peer behaves that has sent its bytes, and how it sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// At once; then it reads whatever comes, and stays.
    Whole,
    /// In pieces, each after all the server could do with those before.
    Pieces,
    /// It is gone when all was sent.
    Gone,
    /// It reads nothing for longer than anybody waits.
    Deaf,
}

/// More than all of the server's limits together.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// Longer than each of them.
const WHILE: Duration = Duration::from_secs(120);
const LARGE: usize = 64 * 1024;

/// What a peer sends on one connection.
pub fn http_server(bytes: &[u8]) {
    let world = World::get();
    for manner in [Manner::Whole, Manner::Pieces, Manner::Gone, Manner::Deaf] {
        let report = world.runtime.block_on(exchange(bytes, manner));
        assert_eq!(
            (report.accepted, report.closed_in_all()),
            (1, 1),
            "{manner:?}"
        );
        let unwanted = [
            CloseReason::Panic,
            CloseReason::Shutdown,
            CloseReason::Deadline,
        ];
        for reason in unwanted {
            assert_eq!(report.closed(reason), 0, "{manner:?}: {reason:?}");
        }
        assert_is_over(world, manner);
    }
}

/// Nothing is left of the connection, and each request was recorded once.
fn assert_is_over(world: &World, manner: Manner) {
    let metrics = world.metrics();
    for name in [
        "http.server.active_requests",
        "http.server.connections.open",
    ] {
        assert_eq!(total(&metrics, name), 0, "{manner:?}: {name}");
    }
    let (started, ended) = world.spans();
    assert_eq!(
        started, ended,
        "{manner:?}: spans that were started, and ended"
    );
    let durations = total(&metrics, "http.server.request.duration")
        + total(&metrics, "http.client.request.duration");
    assert_eq!(durations, ended as i64, "{manner:?}: durations, and spans");
    let tasks = world.runtime.handle().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "{manner:?}: tasks");
}

async fn exchange(bytes: &[u8], manner: Manner) -> Report {
    static LAYER: LazyLock<ServerLayer> = LazyLock::new(|| {
        let provider = World::get().provider.clone();
        ServerLayer::builder().tracer_provider(provider).build()
    });
    let (own, others) = duplex(room(manner));
    let (ended, end) = oneshot::channel();
    let server = serve(Pipe(Some(others)), router())
        .layer(LAYER.clone())
        .limits(Limits::default().max_body_bytes(1 << 20))
        .with_graceful_shutdown(async { drop(end.await) });
    let server = task::spawn(server.into_future());
    let visit = timeout(LONGEST_LIFE, visit(own, bytes, manner)).await;
    visit.unwrap_or_else(|_| panic!("{manner:?}: the connection never ends"));
    // The server is shut down only when the connection has ended by itself.
    sleep(WHILE).await;
    ended.send(()).expect("the server waits for it");
    let report = server.await.expect("the server does not panic");
    report.expect("the listener does not fail")
}

/// Little for those who read nothing, so that they are noticed.
fn room(manner: Manner) -> usize {
    match manner {
        Manner::Deaf => 1024,
        _ => 64 * 1024,
    }
}

async fn visit(mut pipe: DuplexStream, bytes: &[u8], manner: Manner) {
    match manner {
        Manner::Whole => converse(pipe, bytes, bytes.len().max(1)).await,
        Manner::Pieces => converse(pipe, bytes, 1 + bytes.len() / 24).await,
        Manner::Gone => drop(pipe.write_all(bytes).await),
        Manner::Deaf => {
            let _ = pipe.write_all(bytes).await;
            sleep(WHILE).await;
            converse(pipe, &[], 1).await;
        }
    }
}

/// Sends, and reads until the server closes its side.
async fn converse(pipe: DuplexStream, bytes: &[u8], piece: usize) {
    let (mut reads, mut writes) = split(pipe);
    let send = async {
        for piece in bytes.chunks(piece) {
            // A server that refuses what it has read reads no more.
            if writes.write_all(piece).await.is_err() {
                break;
            }
            yield_now().await;
        }
    };
    let mut nowhere = sink();
    let read = telemetry_rt::io::copy(&mut reads, &mut nowhere);
    let ((), _) = telemetry_rt::join!(send, read);
}

fn router() -> Router {
    static ROUTER: LazyLock<Router> = LazyLock::new(|| {
        Router::new()
            .route("/", get(async || "hello"))
            .route("/echo", post(async |body: Bytes| body))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route("/wait", get(wait))
            .route("/fails", get(async || StatusCode::INTERNAL_SERVER_ERROR))
    });
    ROUTER.clone()
}

async fn wait() {
    sleep(Duration::from_secs(1)).await;
}

/// One connection.
struct Pipe(Option<DuplexStream>);

impl Listener for Pipe {
    type Io = DuplexStream;
    type Handshake = Ready<io::Result<DuplexStream>>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
        match self.0.take() {
            None => pending().await,
            Some(pipe) => Ok(Accepted {
                handshake: ready(Ok(pipe)),
                peer: None,
                local: None,
            }),
        }
    }
}
