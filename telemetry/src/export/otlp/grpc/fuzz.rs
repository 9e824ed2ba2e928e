//! Does any answer of a gRPC server do harm? For the fuzzer, which makes up the bytes of one.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use shiguredo_http2::HeaderField;
use telemetry_rt_clock::instant;

use super::connection::{Answer, Connection};
use super::stream::Stream;
use super::{failure, message, plain, status};
use crate::export::otlp::client::MOST_REPLY;
use crate::export::otlp::fuzz::check;

/// A peer that says these bytes, some at a time, and then nothing more.
struct Peer {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl Read for Peer {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(self.piece).min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        match count {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => Ok(count),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
    fn until(&mut self, _deadline: Instant) {}
}

/// Two calls on a connection whose peer says these bytes; the first byte says in what pieces.
pub fn grpc_reply(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else {
        return;
    };
    let peer = Peer {
        bytes: bytes.to_vec(),
        at: 0,
        piece: 1 << (piece % 12),
    };
    let mut connection = Connection::over(Box::new(peer)).expect("nothing was said yet");
    for _ in 0..2 {
        if !connection.is_usable() {
            return;
        }
        match call(&mut connection) {
            Ok(answer) => {
                assert!(answer.body.len() <= MOST_REPLY);
                check(status::reply_of(&answer));
            }
            Err(error) => return check(Err(failure(error))),
        }
    }
}

fn call(connection: &mut Connection) -> io::Result<Answer> {
    let head = vec![
        plain(":method", "POST"),
        plain(":scheme", "http"),
        plain(":path", "/a/b"),
        plain(":authority", "h"),
    ];
    let deadline = instant() + Duration::from_secs(60);
    connection.call(head, &message::enveloped(b"spans", false), deadline)
}

/// The end of a call: lines that are the status, the message, the details, and the status of
/// HTTP; then the body.
pub fn grpc_status(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let names = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
    let mut fields = |names: &[&str]| -> Vec<HeaderField> {
        let fields = names.iter().map(|name| {
            let value = parts.next().filter(|value| !value.is_empty())?;
            HeaderField::new(*name, value).ok()
        });
        fields.flatten().collect()
    };
    let (trailers, head) = (fields(&names), fields(&[":status"]));
    let body = parts.next().unwrap_or_default().to_vec();
    check(status::reply_of(&Answer {
        head,
        body,
        trailers,
        ended: true,
    }));
}
