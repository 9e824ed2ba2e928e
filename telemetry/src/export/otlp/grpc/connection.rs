//! One HTTP/2 connection, with one call at a time.
//!
//! The protocol is a state machine of its own, which takes the bytes that came, says what they
//! mean, and holds the bytes that are to go. Here is what drives it: a call is over when its
//! answer is whole, when the stream fails, or when that takes too long.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use shiguredo_http2::{
    Connection as Http2, Error, ErrorCode, Event, HeaderField, Limits, StreamId,
};
use telemetry_rt_clock::instant;

use super::stream::Stream;
use crate::export::otlp::client::MOST_REPLY;

/// As many bytes of headers are read.
const MOST_HEADERS: u32 = 16 * 1024;
/// As much of a message is handed over at a time.
const PIECE: usize = 16 * 1024;
/// Something between here and the collector may forget a connection that is idle for longer.
const MOST_IDLE: Duration = Duration::from_secs(30);
/// As long is waited for what has come already.
const MOMENT: Duration = Duration::from_millis(1);

pub(super) struct Connection {
    http2: Http2,
    stream: Box<dyn Stream>,
    /// The collector wants no further calls.
    going: bool,
    last_used: Instant,
    /// Whether anything came yet.
    heard: bool,
}

/// What came as the answer to a call, so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) head: Vec<HeaderField>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<HeaderField>,
    /// Nothing more will come.
    pub(super) ended: bool,
}

/// The value of a header.
pub(super) fn value<'a>(fields: &'a [HeaderField], name: &str) -> Option<&'a [u8]> {
    let found = fields.iter().find(|field| field.name() == name.as_bytes());
    found.map(HeaderField::value)
}

impl Connection {
    pub(super) fn over(stream: Box<dyn Stream>) -> io::Result<Connection> {
        let limits = Limits::builder().max_header_list_size(Some(MOST_HEADERS));
        let mut http2 = Http2::client(limits.build().map_err(io::Error::other)?);
        http2.initiate().map_err(broken)?;
        Ok(Connection {
            http2,
            stream,
            going: false,
            last_used: instant(),
            heard: false,
        })
    }

    /// Whether it is worth another call, as far as can be told: a collector that has gone, or is
    /// about to, has said so already.
    pub(super) fn is_usable(&mut self) -> bool {
        let idle = instant().saturating_duration_since(self.last_used);
        idle < MOST_IDLE && self.catch_up().is_ok() && !self.going
    }

    /// Reads what has come since the last call.
    fn catch_up(&mut self) -> io::Result<()> {
        self.stream.until(instant() + MOMENT);
        loop {
            match self.receive(None) {
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(()),
                result => result?,
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) fn call(
        &mut self,
        head: Vec<HeaderField>,
        message: &[u8],
        deadline: Instant,
    ) -> io::Result<Answer> {
        self.stream.until(deadline);
        let id = self.http2.start_stream(head, false).map_err(broken)?;
        let mut call = Call {
            id,
            unsent: Some(message),
            answer: Answer::default(),
        };
        while !call.answer.ended {
            self.send_what_fits(&mut call)?;
            self.receive(Some(&mut call))?;
        }
        self.finish(&call)?;
        Ok(call.answer)
    }

    /// Sends as much of the message as the collector is ready for.
    fn send_what_fits(&mut self, call: &mut Call<'_>) -> io::Result<()> {
        while let Some(unsent) = call.unsent
            && !self.http2.has_pending_send_data(call.id)
        {
            let (piece, rest) = unsent.split_at(unsent.len().min(PIECE));
            call.unsent = (!rest.is_empty()).then_some(rest);
            self.http2
                .send_data(call.id, piece.to_vec(), rest.is_empty())
                .map_err(broken)?;
            self.transmit()?;
        }
        self.transmit()
    }

    /// A collector may answer before it has read everything; then the rest is taken back.
    fn finish(&mut self, call: &Call<'_>) -> io::Result<()> {
        if call.unsent.is_some() || self.http2.has_pending_send_data(call.id) {
            self.http2
                .reset_stream(call.id, ErrorCode::Cancel)
                .map_err(broken)?;
        }
        self.last_used = instant();
        // The answer is here; whether the connection still works is for the next call to see.
        self.going |= self.transmit().is_err();
        Ok(())
    }

    fn transmit(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.http2.poll_output() {
            self.stream.write_all(&bytes)?;
        }
        self.stream.flush()
    }

    /// Waits for bytes and does what they say.
    fn receive(&mut self, mut call: Option<&mut Call<'_>>) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let bytes = match self.stream.read(&mut bytes) {
            Ok(0) => return Err(closed()),
            Ok(read) => &bytes[..read],
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        if !std::mem::replace(&mut self.heard, true) && bytes.starts_with(b"HTTP/1") {
            return Err(other_protocol());
        }
        self.http2.feed(bytes).map_err(broken)?;
        let processed = self.http2.process();
        while let Some(event) = self.http2.poll_event() {
            self.heed(event, call.as_deref_mut())?;
        }
        match call {
            // What comes after the answer does not take it back.
            Some(call) if call.answer.ended => self.going |= processed.is_err(),
            _ => processed.map_err(broken)?,
        }
        Ok(())
    }

    fn heed(&mut self, event: Event, call: Option<&mut Call<'_>>) -> io::Result<()> {
        match &event {
            Event::GoawayReceived { .. } => self.going = true,
            Event::DataReceived { data, .. } => self.allow(StreamId::Connection, data.len())?,
            Event::DataDiscarded {
                connection_window_consumed,
                ..
            } => self.allow(StreamId::Connection, *connection_window_consumed)?,
            _ => {}
        }
        let Some(call) = call else {
            return Ok(());
        };
        if let Event::DataReceived {
            stream_id,
            data,
            end_stream: false,
        } = &event
            && *stream_id == call.id
        {
            self.allow(call.id, data.len())?;
        }
        call.heed(event)
    }

    /// Lets the collector send as much as has been read.
    fn allow(&mut self, id: StreamId, read: usize) -> io::Result<()> {
        match u32::try_from(read) {
            Ok(0) | Err(_) => Ok(()),
            Ok(read) => self.http2.send_window_update(id, read).map_err(broken),
        }
    }
}

/// A call under way.
struct Call<'a> {
    id: StreamId,
    /// What is left of the message; `None` once all of it has been handed over.
    unsent: Option<&'a [u8]>,
    answer: Answer,
}

impl Call<'_> {
    /// Adds to the answer, or says why there will be none.
    fn heed(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::GoawayReceived { last_stream_id, .. }
                if last_stream_id.as_u32() < self.id.as_u32() =>
            {
                Err(gone("the collector is going away"))
            }
            Event::ConnectionError { reason, .. } => Err(gone(&reason)),
            event if event.stream_id() == Some(self.id) => self.heed_own(event),
            _ => Ok(()),
        }
    }

    fn heed_own(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::HeadersReceived {
                headers,
                end_stream,
                ..
            } => {
                self.answer.ended |= end_stream;
                self.answer.head = headers;
            }
            Event::DataReceived {
                data, end_stream, ..
            } => {
                self.answer.ended |= end_stream;
                self.answer.body.extend(data);
            }
            Event::TrailersReceived { trailers, .. } => {
                self.answer.ended = true;
                self.answer.trailers = trailers;
            }
            Event::StreamReset { error_code, .. } if !self.answer.ended => {
                return Err(gone(&format!("the call was reset ({error_code:?})")));
            }
            _ => {}
        }
        match self.answer.body.len() {
            0..=MOST_REPLY => Ok(()),
            _ => Err(gone("the collector's answer is too large")),
        }
    }
}

fn broken(error: Error) -> io::Error {
    io::Error::other(format!("HTTP/2: {error}"))
}

fn closed() -> io::Error {
    io::Error::new(
        ErrorKind::UnexpectedEof,
        "the collector closed the connection",
    )
}

fn gone(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, reason)
}

fn other_protocol() -> io::Error {
    let message = "the collector speaks HTTP/1; accepted: a port for gRPC, usually 4317";
    io::Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
