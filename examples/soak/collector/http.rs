//! How is a request read and answered? As much of HTTP/1.1 as our exporter speaks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request.
pub struct Request {
    pub path: String,
    /// Who sent it: the value of [`SOURCE`].
    pub source: String,
    pub body: Vec<u8>,
}

/// The header by which runtimes say who they are.
pub const SOURCE: &str = "x-soak-runtime";

/// How often whoever waits for a request looks whether it is to go on waiting.
const LOOK: Duration = Duration::from_millis(20);

/// A connection, and what was read of the next request.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(Connection {
            stream,
            read: Vec::new(),
        })
    }

    /// Waits until there is something to read, and leaves it there. `false` at the end.
    pub fn wait(&mut self, go_on: impl Fn() -> bool) -> bool {
        while self.read.is_empty() && go_on() {
            match self.stream.peek(&mut [0]) {
                Ok(read) => return read > 0,
                Err(error) if is_early(&error) => {}
                Err(_) => return false,
            }
        }
        !self.read.is_empty() && go_on()
    }

    /// `None` when the peer or `go_on` ends it.
    pub fn request(&mut self, go_on: impl Fn() -> bool) -> Option<Request> {
        let head = loop {
            match find(&self.read, b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read_more(&go_on)?,
            }
        };
        let text = String::from_utf8_lossy(&self.read[..head]).into_owned();
        let path = text.split(' ').nth(1)?.to_owned();
        let length: usize = header(&text, "content-length")?.parse().ok()?;
        let end = head + 4 + length;
        while self.read.len() < end {
            self.read_more(&go_on)?;
        }
        let body = self.read[head + 4..end].to_vec();
        self.read.drain(..end);
        Some(Request {
            path,
            source: header(&text, SOURCE).unwrap_or_default(),
            body,
        })
    }

    fn read_more(&mut self, go_on: &impl Fn() -> bool) -> Option<()> {
        let mut buffer = [0; 64 * 1024];
        while go_on() {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => {
                    self.read.extend_from_slice(&buffer[..read]);
                    return Some(());
                }
                Err(error) if is_early(&error) => {}
                Err(_) => return None,
            }
        }
        None
    }

    pub fn answer(&mut self, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.write(&[head.as_bytes(), body].concat())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}
