//! A server on a runtime of its own, and clients that know nothing of it: raw sockets and `curl`.
//!
//! Clients block, so that tests read from top to bottom. No wait is longer than [`LIMIT`], whatever
//! hangs.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use telemetry_rt::net::TcpListener;
use telemetry_rt::runtime::Builder;
use telemetry_rt::sync::oneshot;
use telemetry_rt_http::{Report, Serve, serve};

/// Far longer than anything takes on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    report: mpsc::Receiver<io::Result<Report>>,
}

impl Server {
    pub fn start(router: Router) -> Server {
        Server::with(router, |serve| serve)
    }

    /// Serves `router` as `configured`.
    pub fn with(
        router: Router,
        configured: impl FnOnce(Serve<TcpListener, Router>) -> Serve<TcpListener, Router>
        + Send
        + 'static,
    ) -> Server {
        Server::run(async move |listener, stopped: oneshot::Receiver<()>| {
            configured(serve(listener, router))
                .with_graceful_shutdown(async {
                    let _ = stopped.await;
                })
                .await
        })
    }

    /// Runs `serving` with a listener, until what it gets besides is ready.
    pub fn run<F>(serving: F) -> Server
    where
        F: AsyncFnOnce(TcpListener, oneshot::Receiver<()>) -> io::Result<Report> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let (address, bound) = mpsc::channel();
        let (done, report) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let served = runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                serving(listener, stopped).await
            });
            let _ = done.send(served);
        });
        Server {
            address: bound.recv_timeout(LIMIT).expect("the server begins"),
            stop: Some(stop),
            report,
        }
    }

    /// Tells the server to shut down.
    pub fn tell(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Shuts the server down, and waits for its end.
    pub fn stop(mut self) -> Report {
        self.tell();
        let report = self.report.recv_timeout(LIMIT);
        report.expect("the server ends").expect("it ends well")
    }

    pub fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// All that comes back for `request` until the server closes the connection.
    pub fn answer_to(&self, request: &str) -> String {
        let mut raw = self.connect();
        raw.send(request);
        raw.rest()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Calls `curl` for `path`, and returns what it writes to its standard output.
    #[track_caller]
    pub fn curl(&self, path: &str, arguments: &[&str]) -> String {
        let output = self.try_curl(path, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_curl(&self, path: &str, arguments: &[&str]) -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30"])
            .args(arguments)
            .arg(self.url(path))
            .env_clear()
            .output()
            .expect("curl is installed")
    }
}

/// A client that sends what it is told to, byte by byte.
pub struct Raw {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw {
            stream,
            unread: Vec::new(),
        }
    }

    #[track_caller]
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(text.as_ref())
    }

    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// What comes up to and with `end`.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        loop {
            let found = find(&self.unread, end.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + end.len());
                let text = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8(text).unwrap();
            }
            let read = self.read_more().expect("more comes");
            let so_far = String::from_utf8_lossy(&self.unread);
            assert!(read > 0, "closed before {end:?}, after {so_far:?}");
        }
    }

    /// A head, and a body of the length that it tells.
    #[track_caller]
    pub fn response(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").to_ascii_lowercase();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.read_more().unwrap() > 0, "closed within a body");
        }
        let rest = self.unread.split_off(length);
        let body = std::mem::replace(&mut self.unread, rest);
        (head, String::from_utf8(body).unwrap())
    }

    /// What comes until the server closes the connection, in whichever way.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        loop {
            match self.read_more() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server does not close the connection: {error}"),
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The value of a header in the text of a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
