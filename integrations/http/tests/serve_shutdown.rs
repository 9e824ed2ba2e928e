//! Does a server end when it is told to, with every request answered or counted?

#![cfg(feature = "axum")]

#[path = "support/serve.rs"]
mod support;

use std::future::{IntoFuture, pending};
use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::{Raw, Server, eventually};
use telemetry_rt::net::TcpListener;
use telemetry_rt::sync::Notify;
use telemetry_rt_http::{CloseReason, Report, serve};

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// A handler that waits until it is let go, and counts.
#[derive(Clone, Default)]
struct Held {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Held {
    fn router(&self) -> Router {
        let held = self.clone();
        let handler = async move || {
            let _dropped = Dropped(held.dropped);
            held.begun.fetch_add(1, Ordering::SeqCst);
            held.go.notified().await;
            "done"
        };
        let router = Router::new().route("/held", get(handler));
        router.route("/", get(async || "hello"))
    }

    #[track_caller]
    fn wait_for(&self, begun: usize) {
        let what = "the requests are there";
        eventually(what, || self.begun.load(Ordering::SeqCst) == begun);
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

fn held_request(server: &Server) -> Raw {
    let mut client = server.connect();
    client.send("GET /held HTTP/1.1\r\nHost: here\r\n\r\n");
    client
}

fn http2(server: &Server, path: &str) -> std::process::Child {
    Command::new("curl")
        .args(["--silent", "--http2-prior-knowledge", "--max-time", "30"])
        .arg(server.url(path))
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed")
}

#[track_caller]
fn refuses_connections(server: &Server) {
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(server.address).is_err()
    });
}

#[test]
fn a_server_that_nobody_uses_ends_at_once() {
    let server = Server::start(Router::new());
    assert_eq!(server.stop(), Report::default());
}

#[test]
fn requests_in_flight_are_answered_and_connections_without_one_are_closed() {
    let held = Held::default();
    let mut server = Server::start(held.router());
    let mut silent = server.connect();
    let mut idle = server.connect();
    idle.send(GET);
    assert_eq!(idle.response().1, "hello");
    let mut busy = held_request(&server);
    let multiplexed = http2(&server, "/held");
    held.wait_for(2);
    server.tell();
    refuses_connections(&server);
    assert_eq!(idle.rest(), "");
    assert_eq!(silent.rest(), "");
    held.go.notify_waiters();
    // Whether the head says that the connection will be closed is a matter of which came first, the
    // order or the answer; it is closed in any case.
    assert_eq!(busy.response().1, "done");
    assert_eq!(busy.rest(), "");
    let output = multiplexed.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"done");
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Shutdown), 4, "{report:?}");
    assert_eq!(report.requests_cut_off, 0);
    assert_eq!(report.accepted, 4);
}

#[test]
fn a_peer_that_does_not_say_farewell_is_not_waited_for_until_the_deadline() {
    let mut server = Server::with(Held::default().router(), |serve| {
        serve.shutdown_deadline(10 * support::LIMIT)
    });
    // One has greeted in HTTP/2, and will answer nothing; one is within a head.
    let mut multiplexed = server.connect();
    multiplexed.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    multiplexed.until("\x04");
    let mut slow = server.connect();
    slow.send(GET);
    slow.response();
    slow.send("GET / HT");
    // So that the server has taken it, and nothing but its orders wakes the connection.
    std::thread::sleep(Duration::from_millis(200));
    server.tell();
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Shutdown), 2, "{report:?}");
}

/// A client that cannot know whether it may send its request again.
#[test]
fn a_request_whose_head_has_begun_is_answered_although_the_connection_was_idle_before() {
    let mut server = Server::start(Held::default().router());
    let mut client = server.connect();
    client.send(GET);
    client.response();
    let (begin, rest) = GET.split_at(8);
    client.send(begin);
    // So that the server has taken it.
    std::thread::sleep(Duration::from_millis(200));
    server.tell();
    refuses_connections(&server);
    client.send(rest);
    let (head, body) = client.response();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "hello");
    assert_eq!(client.rest(), "");
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Shutdown), 1, "{report:?}");
}

#[test]
fn requests_that_are_not_answered_by_the_deadline_are_dropped_and_counted() {
    let held = Held::default();
    let server = Server::with(held.router(), |serve| {
        serve.shutdown_deadline(Duration::from_millis(100))
    });
    let mut client = held_request(&server);
    let multiplexed = http2(&server, "/held");
    held.wait_for(2);
    let report = server.stop();
    assert_eq!(report.requests_cut_off, 2, "{report:?}");
    assert_eq!(report.closed(CloseReason::Deadline), 2, "{report:?}");
    // Not after the server's end, but before it.
    assert_eq!(held.dropped(), 2);
    assert_eq!(client.rest(), "");
    assert!(!multiplexed.wait_with_output().unwrap().status.success());
}

#[test]
fn a_server_that_is_dropped_takes_its_connections_with_it() {
    let held = Held::default();
    let router = held.router();
    let server = Server::run(async move |listener: TcpListener, stopped| {
        telemetry_rt::select! {
            report = serve(listener, router).into_future() => report,
            _ = stopped => {
                // The rest is seen by the client, so the runtime must not end with the server.
                telemetry_rt::spawn(pending::<()>());
                Ok(Report::default())
            }
        }
    });
    let mut client = held_request(&server);
    held.wait_for(1);
    server.stop();
    assert_eq!(client.rest(), "");
    eventually("the request is dropped", || held.dropped() == 1);
}

#[test]
fn a_listener_that_fails_for_good_ends_the_server_with_its_error() {
    use telemetry_rt::net::TcpStream;
    use telemetry_rt_http::{Accepted, Listener};

    struct Fails(usize);

    impl Listener for Fails {
        type Io = TcpStream;
        type Handshake = std::future::Ready<io::Result<TcpStream>>;

        async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
            self.0 += 1;
            // ECONNABORTED a few times, then EBADF.
            Err(io::Error::from_raw_os_error(if self.0 < 4 {
                103
            } else {
                9
            }))
        }
    }

    let error = telemetry_rt::block_on(async { serve(Fails(0), Router::new()).await });
    assert_eq!(error.unwrap_err().raw_os_error(), Some(9));
}
