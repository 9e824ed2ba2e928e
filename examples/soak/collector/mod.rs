//! Who takes the telemetry in? A collector that speaks OTLP over HTTP on the loopback, made of
//! plain threads, which is well at times and at other times fails in one of the ways of [`Mood`].
//!
//! * `mood`: the ways to fail;
//! * `http`: requests and answers;
//! * `otlp`: what is in a request;
//! * `sends`: what sends to it, which may panic;
//! * `books`: what was accepted, as far as that can be known.

mod books;
mod http;
mod mood;
mod otlp;
mod sends;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use telemetry_rt::otel::otlp::{Endpoint, Otlp};

use self::books::{Answered, Books};
use self::http::{Connection, Request, SOURCE};
use crate::dice::Dice;

pub use self::books::Delivered;
pub use self::mood::Mood;
pub use self::sends::Sends;

pub struct Collector {
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    mood: Mutex<Mood>,
    books: Mutex<Books>,
    dice: Mutex<Dice>,
    stop: AtomicBool,
    /// Connections that were refused because descriptors were short.
    refused: AtomicU64,
    /// Requests that were not accepted, or not whole.
    failed: AtomicU64,
}

/// How long a request to the collector may take. Longer than any mood but one lasts.
pub const REQUEST: Duration = Duration::from_secs(4);
/// An answer after that is late.
const LATE: Duration = Duration::from_secs(1);
/// A body that nobody should read whole.
const LONG: usize = 1 << 20;
/// How long it sits there when it hangs.
const LONGEST_HANG: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(2);

impl Collector {
    /// Finds a port for it. It is down until it is told another mood.
    pub fn start(dice: Dice) -> io::Result<Collector> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            mood: Mutex::new(Mood::Down),
            books: Mutex::default(),
            dice: Mutex::new(dice),
            stop: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        drop(listener);
        let for_thread = Arc::clone(&shared);
        let accepts = thread::Builder::new()
            .name("soak-collector".to_owned())
            .spawn(move || accept(&for_thread))?;
        Ok(Collector {
            shared,
            accepts: Some(accepts),
        })
    }

    /// What sends spans and metrics here, under this name.
    pub fn exporter(&self, source: &str) -> Sends {
        let endpoint = |path| {
            let url = format!("http://{}/v1/{path}", self.shared.address);
            let endpoint = Endpoint::new(&url).expect("this is a URL");
            let endpoint = endpoint.timeout(REQUEST).header(SOURCE, source);
            endpoint.expect("this is a header")
        };
        Sends {
            otlp: Otlp::to(Some(endpoint("traces")), Some(endpoint("metrics"))),
            shared: Arc::clone(&self.shared),
        }
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().expect(UNPOISONED) = mood;
    }

    pub fn delivered(&self, source: &str) -> Delivered {
        let books = self.shared.books.lock().expect(UNPOISONED);
        books.delivered(source)
    }

    /// As [`delivered`](Self::delivered), of one that sends no more.
    pub fn close(&self, source: &str) -> Delivered {
        self.shared.books.lock().expect(UNPOISONED).close(source)
    }

    /// Connections that were refused for want of descriptors, and requests that were not accepted.
    pub fn failures(&self) -> (u64, u64) {
        (
            self.shared.refused.load(Relaxed),
            self.shared.failed.load(Relaxed),
        )
    }

    /// Ends all its threads.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(accepts) = self.accepts.take() {
            accepts.join().expect("the collector does not panic");
        }
    }
}

const UNPOISONED: &str = "nothing panics while this is locked";

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.lock().expect(UNPOISONED)
    }

    /// Whether there is a collector at all.
    fn is_up(&self) -> bool {
        !self.stop.load(Relaxed) && self.mood() != Mood::Down
    }
}

/// The listener comes and goes with the mood, and the connections with the listener.
fn accept(shared: &Arc<Shared>) {
    while !shared.stop.load(Relaxed) {
        if shared.is_up() {
            // While it was down somebody else may have been given the port for a moment.
            match TcpListener::bind(shared.address) {
                Ok(listener) => accept_while_up(&listener, shared),
                Err(_) => drop(shared.refused.fetch_add(1, Relaxed)),
            }
        }
        sleep(LOOK);
    }
}

fn accept_while_up(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    listener
        .set_nonblocking(true)
        .expect("a listener can be told not to block");
    while shared.is_up() {
        match listener.accept() {
            Ok((stream, _)) => connections.push(serve(stream, shared)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(LOOK),
            Err(_) => {
                shared.refused.fetch_add(1, Relaxed);
                sleep(LOOK);
            }
        }
        connections.retain(|connection| !connection.is_finished());
    }
    for connection in connections {
        connection.join().expect("a connection does not panic");
    }
}

fn serve(stream: TcpStream, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("soak-connection".to_owned())
        .spawn(move || {
            if let Ok(connection) = Connection::new(stream) {
                converse(connection, &shared);
            }
        })
        .expect("the system has a thread for each connection")
}

fn converse(mut connection: Connection, shared: &Shared) {
    while connection.wait(|| shared.is_up()) {
        if shared.mood() == Mood::Resets {
            shared.failed.fetch_add(1, Relaxed);
            return;
        }
        let Some(request) = connection.request(|| shared.is_up()) else {
            return;
        };
        if !treat(&mut connection, &request, shared) {
            return;
        }
    }
}

/// Does with a request as the mood says. Whether the connection is to be kept.
fn treat(connection: &mut Connection, request: &Request, shared: &Shared) -> bool {
    let arrived = Instant::now();
    let mood = shared.mood();
    let accepts = |connection: &mut Connection, body: &[u8], refused| {
        // Under the lock: whoever has the answer finds the request in the books.
        let mut books = shared.books.lock().expect(UNPOISONED);
        let sent = connection.answer("200 OK", "", body);
        let answered = match sent.is_ok() && arrived.elapsed() < LATE && body.len() < LONG {
            true => Answered::Surely,
            false => Answered::Perhaps,
        };
        note(&mut books, request, refused, answered);
        sent.is_ok()
    };
    let refuses = |connection: &mut Connection, status, headers| {
        shared.failed.fetch_add(1, Relaxed);
        connection.answer(status, headers, b"no").is_ok()
    };
    match mood {
        Mood::Well | Mood::Panics => accepts(connection, b"", 0),
        Mood::Slow => {
            let pause = shared.dice.lock().expect(UNPOISONED).millis(20..=400);
            sleep(pause);
            accepts(connection, b"", 0)
        }
        Mood::Rambles => accepts(connection, &[0xff; 300], 0),
        // The reader gives up in the midst of it, when it knows already that all is well.
        Mood::RamblesOn => accepts(connection, &[b'x'; LONG], 0),
        Mood::AcceptsPart => {
            let spans = otlp::spans(&request.body).count() as u64;
            let mut dice = shared.dice.lock().expect(UNPOISONED).split();
            let refused = dice.among(0..=spans.min(40));
            accepts(connection, &partial_success(refused as u8), refused)
        }
        Mood::AcceptsMutely => {
            let mut books = shared.books.lock().expect(UNPOISONED);
            note(&mut books, request, 0, Answered::Mutely);
            false
        }
        Mood::Hangs => {
            while shared.mood() == Mood::Hangs && shared.is_up() && arrived.elapsed() < LONGEST_HANG
            {
                sleep(LOOK);
            }
            shared.failed.fetch_add(1, Relaxed);
            false
        }
        Mood::Unavailable => refuses(connection, "503 Unavailable", "Retry-After: 1\r\n"),
        Mood::TooMany => refuses(connection, "429 Too Many", ""),
        Mood::Refuses => refuses(connection, "400 Bad Request", ""),
        Mood::SpeaksNoHttp => {
            shared.failed.fetch_add(1, Relaxed);
            drop(connection.write(b"\x16\x03\x01 whatever \r\n\r\n"));
            false
        }
        Mood::Closes | Mood::Resets | Mood::Down => {
            shared.failed.fetch_add(1, Relaxed);
            false
        }
    }
}

/// `partial_success { rejected_spans, error_message: "no" }`; for metrics none are rejected.
fn partial_success(rejected: u8) -> [u8; 8] {
    debug_assert!(rejected < 0x80);
    [0x0a, 6, 0x08, rejected, 0x12, 2, b'n', b'o']
}

fn note(books: &mut Books, request: &Request, refused: u64, answered: Answered) {
    match request.path.as_str() {
        "/v1/traces" => books.spans(&request.source, &request.body, refused, answered),
        _ => books.metrics(&request.source, &request.body),
    }
}
