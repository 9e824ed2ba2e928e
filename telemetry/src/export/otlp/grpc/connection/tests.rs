//! A connection to a peer whose every byte is known.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;

/// A stream on which these pieces come, one with each read, and then nothing, or the end.
struct Script {
    pieces: VecDeque<Vec<u8>>,
    then: Then,
    sent: Arc<Mutex<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Silence,
    End,
}

impl Read for Script {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.pieces.pop_front() {
            Some(mut piece) => {
                let rest = piece.split_off(piece.len().min(bytes.len()));
                bytes[..piece.len()].copy_from_slice(&piece);
                if !rest.is_empty() {
                    self.pieces.push_front(rest);
                }
                Ok(piece.len())
            }
            None if self.then == Then::End => Ok(0),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Script {
    fn until(&mut self, _deadline: Instant) {}
}

fn connection(pieces: Vec<Vec<u8>>, then: Then) -> (Connection, Arc<Mutex<Vec<u8>>>) {
    let sent = Arc::default();
    let script = Script {
        pieces: pieces.into(),
        then,
        sent: Arc::clone(&sent),
    };
    (Connection::over(Box::new(script)).unwrap(), sent)
}

fn call(connection: &mut Connection, message: &[u8]) -> io::Result<Answer> {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a/b"),
        (":authority", "h"),
    ];
    let head = head.map(|(name, value)| HeaderField::new(name, value).unwrap());
    connection.call(head.into(), message, instant() + Duration::from_secs(60))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The start of a connection: settings of theirs, and that they have seen ours.
fn hello() -> Vec<u8> {
    [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, 1, 0, &[])].concat()
}

/// `:status: 200`, from the static table.
const STATUS_200: &[u8] = &[0x88];

/// A literal header that no table keeps.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

fn trailers(stream: u32) -> Vec<u8> {
    let block = literal("grpc-status", "0");
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

fn accepted(stream: u32) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, STATUS_200),
        frame(DATA, 0, stream, b"reply"),
        trailers(stream),
    ]
    .concat()
}

#[test]
fn an_answer_arrives_however_its_bytes_are_cut() {
    let bytes = [hello(), accepted(1)].concat();
    for cut in 1..bytes.len() {
        let pieces = bytes.chunks(cut).map(<[u8]>::to_vec).collect();
        let (mut connection, _) = connection(pieces, Then::End);
        let answer = call(&mut connection, b"request").unwrap();
        assert_eq!(answer.body, b"reply");
        assert_eq!(value(&answer.head, ":status"), Some(&b"200"[..]));
        assert_eq!(value(&answer.trailers, "grpc-status"), Some(&b"0"[..]));
    }
}

#[test]
fn headers_may_be_continued_and_in_the_code_of_huffman() {
    // The value is the first example of RFC 7541, C.4.1: `www.example.com`.
    let value_bytes = [
        0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    let name = [&[0, 12][..], b"grpc-message"].concat();
    let block = [STATUS_200, &name, &value_bytes].concat();
    let (first, second) = block.split_at(5);
    let pieces = vec![
        hello(),
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ];
    let (mut connection, _) = connection(pieces, Then::End);
    let answer = call(&mut connection, b"request").unwrap();
    let message = value(&answer.head, "grpc-message");
    assert_eq!(message, Some(&b"www.example.com"[..]));
}

#[test]
fn a_header_may_be_named_by_its_place_in_the_table() {
    // Kept by the table with the first answer, and the youngest in it at the second.
    let mut kept = literal("grpc-status", "7");
    kept[0] = 0x40;
    let whole = END_STREAM | END_HEADERS;
    let pieces = vec![
        [
            hello(),
            frame(HEADERS, whole, 1, &[STATUS_200, &kept].concat()),
        ]
        .concat(),
        frame(HEADERS, whole, 3, &[0x88, 0xbe]),
    ];
    let (mut connection, _) = connection(pieces, Then::Silence);
    for _ in 0..2 {
        let answer = call(&mut connection, b"request").unwrap();
        assert_eq!(value(&answer.head, "grpc-status"), Some(&b"7"[..]));
    }
}

#[test]
fn a_ping_is_answered_and_a_second_call_is_possible() {
    let ping = frame(PING, 0, 0, b"pingpong");
    let (mut connection, sent) = connection(
        vec![[hello(), ping, accepted(1)].concat(), accepted(3)],
        Then::Silence,
    );
    call(&mut connection, b"first").unwrap();
    assert!(connection.is_usable());
    let pong = frame(PING, 1, 0, b"pingpong");
    let answered = |sent: &[u8]| sent.windows(pong.len()).any(|bytes| bytes == pong);
    assert!(answered(&sent.lock().unwrap()));
}

#[test]
fn a_collector_that_leaves_gets_no_further_call() {
    let goaway = |last: u8| frame(GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0]);
    // It finishes the call that it has begun.
    let pieces = vec![[hello(), goaway(1)].concat(), accepted(1)];
    let (mut leaving, _) = connection(pieces, Then::Silence);
    assert!(call(&mut leaving, b"request").is_ok());
    assert!(!leaving.is_usable());
    // It has not begun with the call.
    let pieces = vec![[hello(), goaway(0)].concat()];
    let (mut leaving, _) = connection(pieces, Then::Silence);
    let error = call(&mut leaving, b"request").unwrap_err();
    assert!(error.to_string().contains("going away"), "{error}");
    // It leaves between two calls, with a word or without.
    for (farewell, then) in [(goaway(1), Then::Silence), (Vec::new(), Then::End)] {
        let pieces = vec![[hello(), accepted(1)].concat(), farewell];
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let (mut leaving, _) = connection(pieces.collect(), then);
        assert!(call(&mut leaving, b"request").is_ok());
        assert!(!leaving.is_usable());
    }
}

#[test]
fn a_call_that_is_reset_fails() {
    let reset = frame(RESET, 0, 1, &[0, 0, 0, 7]);
    let (mut connection, _) = connection(vec![hello(), reset], Then::Silence);
    let error = call(&mut connection, b"request").unwrap_err();
    assert!(error.to_string().contains("RefusedStream"), "{error}");
}

#[test]
fn an_early_answer_ends_a_request_that_waits_for_a_window() {
    // More than the 64 KiB that a collector takes at first.
    let pieces = vec![[hello(), trailers_only()].concat()];
    let (mut connection, sent) = connection(pieces, Then::Silence);
    let answer = call(&mut connection, &vec![0; 200_000]).unwrap();
    assert_eq!(value(&answer.head, "grpc-status"), Some(&b"8"[..]));
    let reset = frame(RESET, 0, 1, &[0, 0, 0, 8]);
    assert!(sent.lock().unwrap().ends_with(&reset));
    assert!(sent.lock().unwrap().len() < 70_000);
}

fn trailers_only() -> Vec<u8> {
    let block = [STATUS_200, &literal("grpc-status", "8")].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
}

#[test]
fn answers_beyond_all_measure_are_refused() {
    let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
    let data = frame(DATA, 0, 1, &[0; 16_000]);
    let large = [vec![hello(), head], vec![data; 6]].concat();
    // An index into the static table that names a header again and again is small as it travels.
    let bomb = frame(HEADERS, END_HEADERS, 1, &[0x88, 0x90].repeat(8_000));
    let endless = frame(HEADERS, 0, 1, &literal("a", "b").repeat(1_000));
    let more = frame(CONTINUATION, 0, 1, &literal("a", "b").repeat(3_000));
    for pieces in [
        large,
        vec![hello(), bomb],
        vec![[hello(), endless, more.clone(), more].concat()],
        vec![hello(), frame(DATA, 0, 1, &[0; 17_000])],
        vec![hello(), frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])],
    ] {
        let (mut connection, _) = connection(pieces, Then::Silence);
        let error = call(&mut connection, b"request").unwrap_err();
        assert_ne!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
}

#[test]
fn random_frames_lead_to_an_error_and_never_to_a_panic() {
    let mut random = Random(7);
    for round in 0..500 {
        let mut pieces = vec![hello()];
        for _ in 0..random.below(12) {
            pieces.push(random.frame());
        }
        if round % 3 == 0 {
            pieces.push(random.bytes(200));
        }
        let (mut connection, _) = connection(pieces, Then::End);
        // An answer is possible; what matters is that there is an end.
        if call(&mut connection, &vec![1; random.below(100_000)]).is_ok() {
            drop(call(&mut connection, b"again"));
        }
    }
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A frame that is right in its form at least, mostly of the stream of the call.
    fn frame(&mut self) -> Vec<u8> {
        let kind = self.below(11) as u8;
        let flags = [0, 1, 4, 5, 8, 0x2d, 0xff][self.below(7)];
        let stream = [0, 1, 1, 1, 2, 3, 0x7fff_ffff][self.below(7)];
        let payload = match (kind, self.below(3)) {
            (RESET | 8, 0) => self.next().to_be_bytes()[..4].to_vec(),
            (SETTINGS, 0) => {
                let value = self.next().to_be_bytes();
                [&[0, self.below(8) as u8][..], &value[..4]].concat()
            }
            (HEADERS, 0) => [STATUS_200, &literal("grpc-status", "0")].concat(),
            (PING | GOAWAY, 0) => self.next().to_be_bytes().to_vec(),
            _ => self.bytes(60),
        };
        frame(kind, flags, stream, &payload)
    }
}
