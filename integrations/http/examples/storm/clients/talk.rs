//! How do clients speak? As much of HTTP/1.1 as it takes to know where an answer ends.

use std::io;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::TcpStream;

pub const HELLO: &[u8] = b"GET / HTTP/1.1\r\nhost: storm\r\n\r\n";
pub const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nhost: storm\r\n\r\n";
pub const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nhost: storm\r\n\r\n";
pub const ECHO: &[u8] =
    b"POST /echo HTTP/1.1\r\nhost: storm\r\ncontent-length: 16\r\n\r\nsixteen letters.";

/// Reads an answer that says how long it is, to its end.
pub async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::with_capacity(256);
    let rest = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = find(&head, b"\r\n\r\n") {
            let length = length(&head[..end]).ok_or(io::ErrorKind::InvalidData)?;
            break (end + 4 + length).saturating_sub(head.len());
        }
    };
    skip(stream, rest).await
}

async fn skip(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let mut left = bytes;
    let mut chunk = [0; 4096];
    while left > 0 {
        let wanted = left.min(chunk.len());
        left -= stream.read_exact(&mut chunk[..wanted]).await?;
    }
    Ok(())
}

/// Reads until the server closes its side.
pub async fn read_to_the_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// The server closed the connection, as it was to be: an error, by which it is counted.
pub async fn wait_for_the_end(stream: &mut TcpStream) -> io::Result<()> {
    read_to_the_end(stream).await?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

pub async fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, length) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}
