//! One request and its answer, with a peer that may be slow, broken or hostile.
//!
//! Of a request only its head is read, up to [`MOST_HEAD`] bytes and for as long as the time limit
//! lets it; the answer has the same time to be taken. Each connection is closed after its answer:
//! a scrape every few seconds gains nothing from keeping it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use telemetry_rt_clock::{instant, wall};

use super::negotiate::takes_gzip;
use crate::export::collect::MetricSource;
use crate::export::deadline::deadline_after;
use crate::export::gzip::gzip;

const MOST_HEAD: usize = 8 * 1024;
const MOST_HEADERS: usize = 64;

/// How long a peer that is sent away may take to read that.
const REFUSAL: Duration = Duration::from_millis(100);

/// What is read and thrown away after the answer, so that the peer gets to see it: to close a
/// connection with unread bytes in it is to reset it.
const MOST_LEFT: usize = 64 * 1024;
const LINGER: Duration = Duration::from_millis(500);

/// Reads a request, answers it if `may_answer` lets it, and closes the connection.
pub(super) fn serve(
    stream: &TcpStream,
    source: &MetricSource,
    time_limit: Duration,
    may_answer: impl FnOnce() -> bool,
) {
    let request = read_request(stream, deadline_after(time_limit));
    if matches!(request, Err(Unread::Gone)) || !may_answer() {
        return;
    }
    let answer = match request {
        Ok(request) => request.answer(source),
        Err(Unread::Refused(status, reason)) => Answer::plain(status, reason),
        Err(Unread::Gone) => return,
    };
    if write_until(stream, &answer.bytes(), deadline_after(time_limit)).is_ok() {
        linger(stream);
    }
}

/// Sends a peer away for whom there is no room.
pub(super) fn refuse(stream: &TcpStream) {
    let answer = Answer::plain("503 Service Unavailable", "too many connections");
    // It will see the end of the connection in any case.
    let _ = write_until(stream, &answer.bytes(), deadline_after(REFUSAL));
}

/// Why there is no request.
enum Unread {
    /// The status that says it, and why in words.
    Refused(&'static str, &'static str),
    /// The peer has left.
    Gone,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Unread::Refused("408 Request Timeout", "the request took too long")
            }
            _ => Unread::Gone,
        }
    }
}

fn read_request(stream: &TcpStream, deadline: Instant) -> Result<Request, Unread> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        let count = match (&mut &*stream).read(&mut chunk) {
            Ok(0) => return Err(Unread::Gone),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        head.extend_from_slice(&chunk[..count]);
        if let Some(request) = Request::parse(&head)? {
            return Ok(request);
        }
        if head.len() > MOST_HEAD {
            return Err(TOO_LARGE);
        }
    }
}

const TOO_LARGE: Unread = Unread::Refused(
    "431 Request Header Fields Too Large",
    "the request is too large",
);
const BROKEN: Unread = Unread::Refused("400 Bad Request", "this is no HTTP/1.1 request");

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(instant());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

fn write_until(stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(time_left(deadline)?))?;
        match (&mut &*stream).write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for the peer to close, while throwing away what it still sends.
fn linger(stream: &TcpStream) {
    let deadline = deadline_after(LINGER);
    let mut left = MOST_LEFT;
    let mut chunk = [0; 1024];
    // All that can go wrong here means that there is nothing to wait for.
    let _ = stream.shutdown(Shutdown::Write);
    while let Ok(time) = time_left(deadline) {
        let _ = stream.set_read_timeout(Some(time));
        match (&mut &*stream).read(&mut chunk) {
            Ok(count) if count > 0 && count < left => left -= count,
            _ => return,
        }
    }
}

/// For the fuzzer: reads these bytes as a request, and what its headers ask for.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    match Request::parse(bytes) {
        Ok(Some(request)) => {
            assert!(!request.method.is_empty());
            assert!(path_of(&request.target).len() <= request.target.len());
            let (_, _) = (
                super::negotiate::Format::accepted(&request.accept),
                takes_gzip(&request.accept_encoding),
            );
        }
        Ok(None) | Err(Unread::Gone) => {}
        Err(Unread::Refused(status, reason)) => drop(Answer::plain(status, reason).bytes()),
    }
}

/// What matters of a request.
#[derive(Debug, Default)]
struct Request {
    method: String,
    target: String,
    accept: String,
    accept_encoding: String,
}

impl Request {
    /// The request that these bytes begin with, or `None` when they are too few.
    fn parse(head: &[u8]) -> Result<Option<Request>, Unread> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(size)) if size <= MOST_HEAD => {
                Request::of(&parsed).map(Some)
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
                Err(TOO_LARGE)
            }
            Err(_) => Err(BROKEN),
        }
    }

    fn of(parsed: &httparse::Request<'_, '_>) -> Result<Request, Unread> {
        let hosts = all(parsed, "host").len();
        // By RFC 9112, 3.2 a request of HTTP/1.1 names its host, once.
        if hosts > 1 || (parsed.version == Some(1) && hosts == 0) {
            return Err(BROKEN);
        }
        Ok(Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            accept: all(parsed, "accept").join(","),
            accept_encoding: all(parsed, "accept-encoding").join(","),
        })
    }

    fn answer(&self, source: &MetricSource) -> Answer {
        let answer = match (path_of(&self.target), self.method.as_str()) {
            ("/metrics", "GET" | "HEAD") => self.metrics(source),
            ("/metrics", _) => Answer {
                more: "Allow: GET, HEAD\r\n".to_owned(),
                ..Answer::plain("405 Method Not Allowed", "accepted: GET, HEAD")
            },
            _ => Answer::plain("404 Not Found", "metrics are at /metrics"),
        };
        Answer {
            shows_body: self.method != "HEAD",
            ..answer
        }
    }

    fn metrics(&self, source: &MetricSource) -> Answer {
        let scrape = source.scrape(Some(&self.accept));
        let mut answer = Answer {
            status: "200 OK",
            content_type: scrape.content_type,
            more: "Vary: Accept, Accept-Encoding\r\n".to_owned(),
            body: scrape.body,
            shows_body: true,
        };
        if takes_gzip(&self.accept_encoding) {
            answer.body = gzip(&answer.body);
            answer.more += "Content-Encoding: gzip\r\n";
        }
        answer
    }
}

/// The values of all headers of this name.
fn all<'a>(request: &httparse::Request<'_, 'a>, name: &str) -> Vec<&'a str> {
    let found = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name));
    // What is no text asks for nothing that we have.
    found
        .map(|header| std::str::from_utf8(header.value).unwrap_or_default())
        .collect()
}

/// The path in `/path?query` or `http://host/path?query`.
fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    path.split('?').next().unwrap_or_default()
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    /// Further headers, each with its end of line.
    more: String,
    body: Vec<u8>,
    shows_body: bool,
}

impl Answer {
    fn plain(status: &'static str, text: &str) -> Answer {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            more: String::new(),
            body: format!("{text}\n").into_bytes(),
            shows_body: true,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let Answer {
            status,
            content_type,
            more,
            body,
            ..
        } = self;
        let date = httpdate::HttpDate::from(wall());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n{more}Connection: close\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        if self.shows_body {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &str) -> Option<&'static str> {
        match Request::parse(head.as_bytes()) {
            Ok(Some(_)) => Some("200"),
            Ok(None) => None,
            Err(Unread::Refused(status, _)) => Some(&status[..3]),
            Err(Unread::Gone) => unreachable!("parsing reads nothing"),
        }
    }

    #[test]
    fn requests_are_whole_or_wanting_or_wrong() {
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(64));
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(MOST_HEAD));
        for (head, status) in [
            ("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", Some("200")),
            ("GET /metrics HTTP/1.0\r\n\r\n", Some("200")),
            ("GET /metrics HTTP/1.1\r\nHost: h\r\n", None),
            ("G", None),
            ("GET /metrics HTTP/1.1\r\n\r\n", Some("400")),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Some("400")),
            ("\u{16}\u{3}\u{1}", Some("400")),
            ("GET /metrics HTTP/2.0\r\n\r\n", Some("400")),
            (&many, Some("431")),
            (&long, Some("431")),
        ] {
            assert_eq!(status_of(head), status, "{head}");
        }
    }

    #[test]
    fn headers_that_come_twice_are_one_list() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\naccept: b\r\n\r\n";
        let request = Request::parse(head.as_bytes()).ok().flatten().unwrap();
        assert_eq!(request.accept, "a,b");
    }

    #[test]
    fn a_target_is_a_path_with_or_without_more() {
        for (target, path) in [
            ("/metrics", "/metrics"),
            ("/metrics?name[]=up", "/metrics"),
            ("http://h:9464/metrics?x", "/metrics"),
            ("http://h", "/"),
            ("/metrics?u=http://h/x", "/metrics"),
            ("*", "*"),
        ] {
            assert_eq!(path_of(target), path, "{target}");
        }
    }
}
