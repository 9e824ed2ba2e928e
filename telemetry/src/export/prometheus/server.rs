//! Who is connected, how many there may be, and how that ends.
//!
//! One thread accepts, and starts a thread for each connection, up to [`MOST_CONNECTIONS`]: a slow
//! peer holds up nobody else, and many of them no more than so many threads. Each connection is
//! answered once and closed.
//!
//! When there is no room for one more, the oldest that has not asked yet is cut off: peers that
//! connect and say nothing must not keep out those that do. When all are being answered the new one
//! is sent away. One that is cut off keeps its place until its thread has seen that, so that no more
//! threads are started meanwhile; whether it has asked before is decided under the lock.
//!
//! ```text
//!   close: closing = true ──► a connection to itself ──► `accept` returns, the thread ends
//!                         ├─► connections that wait for a request read the end of it
//!                         └─► after [`GRACE`] those that are still answering are cut off
//! ```
//!
//! `closing` is set under the lock under which connections are registered, so each of them is
//! either refused or seen by `close`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use telemetry_rt_clock::instant;

use super::http;
use crate::export::collect::MetricSource;
use crate::export::deadline::deadline_after;
use crate::export::diagnostics::warn;

/// Two scrapers, a few people with curl, and some to spare.
const MOST_CONNECTIONS: usize = 8;

/// How long to wait when the operating system refuses connections: it has no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a peer that is cut off may keep its place.
const EVICTION: Duration = Duration::from_millis(100);

/// How long answers that are being written may take once a shutdown has begun.
const GRACE: Duration = Duration::from_millis(100);

/// How long a connection to itself may take.
const KNOCK: Duration = Duration::from_millis(200);
const LEAST_KNOCK: Duration = Duration::from_millis(1);

/// A server that runs until it is closed.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    source: MetricSource,
    time_limit: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closing: bool,
    /// The thread that accepts has ended.
    deaf: bool,
    /// The connections, by the order in which they came.
    open: BTreeMap<u64, Peer>,
    last: u64,
}

#[derive(Debug)]
struct Peer {
    /// A second handle, to end the connection by.
    stream: TcpStream,
    stage: Stage,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no whole request yet.
    Silent,
    /// The request is here, or was refused.
    Asked,
    /// It was told to go before it had asked.
    CutOff,
}

impl State {
    fn is_full(&self) -> bool {
        self.open.len() >= MOST_CONNECTIONS
    }

    /// Ends the oldest connection that has not asked. Whether one will be gone soon.
    fn cut_one_off(&mut self) -> bool {
        let mut peers = self.open.values_mut();
        let Some(peer) = peers.find(|peer| peer.stage != Stage::Asked) else {
            return false;
        };
        peer.stage = Stage::CutOff;
        // One that the peer has closed already needs no more closing.
        let _ = peer.stream.shutdown(Shutdown::Both);
        true
    }
}

impl Server {
    /// Starts to accept.
    pub(super) fn start(
        listener: TcpListener,
        address: SocketAddr,
        source: MetricSource,
        time_limit: Duration,
    ) -> io::Result<Server> {
        let shared = Arc::new(Shared {
            source,
            time_limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        spawn("rt-prometheus", move || accepting.accept_all(listener))?;
        Ok(Server { shared, address })
    }

    /// Accepts no more, lets answers in progress go on for a while, and returns when all threads
    /// are done, at the latest at `deadline`.
    pub(super) fn close(self, deadline: Instant) {
        self.shared.close_to(Shutdown::Read);
        self.knock(deadline);
        let grace = deadline_after(GRACE).min(deadline);
        self.shared.wait(grace, |state| state.open.is_empty());
        self.shared.close_to(Shutdown::Both);
        let done = |state: &State| state.deaf && state.open.is_empty();
        self.shared.wait(deadline_after(KNOCK).min(deadline), done);
    }

    /// Makes `accept` return. It may fail, but then there are connections that wait, and do.
    fn knock(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(instant());
        // Even past the deadline it is worth a moment: the port would stay taken.
        let patience = left.clamp(LEAST_KNOCK, KNOCK);
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let _ = TcpStream::connect_timeout(&address, patience);
    }
}

impl Shared {
    fn accept_all(self: Arc<Shared>, listener: TcpListener) {
        let _deaf = Deaf(&self);
        // A local is dropped before those above it: the port is free when that is said.
        let listener = listener;
        while !self.state.lock().closing {
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(_) => self.wait(deadline_after(PAUSE), |state| state.closing),
            }
        }
    }

    /// Starts a thread for the connection, if there is room for one more.
    fn admit(self: &Arc<Shared>, stream: TcpStream) {
        let Some(connection) = self.register(&stream) else {
            return http::refuse(&stream);
        };
        let serving = move || {
            let (source, time_limit) = (&connection.0.source, connection.0.time_limit);
            http::serve(&stream, source, time_limit, || connection.has_asked());
        };
        if let Err(error) = spawn("rt-scrape", serving) {
            warn(format_args!(
                "exporter prometheus: a scrape is not answered: {error}"
            ));
        }
    }

    fn register(self: &Arc<Shared>, stream: &TcpStream) -> Option<Connection> {
        let stream = stream.try_clone().ok()?;
        let mut state = self.state.lock();
        self.make_room(&mut state);
        if state.closing || state.is_full() {
            return None;
        }
        state.last += 1;
        let number = state.last;
        let stage = Stage::Silent;
        state.open.insert(number, Peer { stream, stage });
        Some(Connection(Arc::clone(self), number))
    }

    fn make_room(&self, state: &mut MutexGuard<'_, State>) {
        if !state.is_full() || !state.cut_one_off() {
            return;
        }
        let until = deadline_after(EVICTION);
        while state.is_full() && !state.closing && instant() < until {
            self.changed.wait_until(state, until);
        }
    }

    fn close_to(&self, how: Shutdown) {
        let mut state = self.state.lock();
        state.closing = true;
        self.changed.notify_all();
        for peer in state.open.values() {
            // One that the peer has closed already needs no more closing.
            let _ = peer.stream.shutdown(how);
        }
    }

    fn wait(&self, until: Instant, done: impl Fn(&State) -> bool) {
        let mut state = self.state.lock();
        while !done(&state) && instant() < until {
            self.changed.wait_until(&mut state, until);
        }
    }
}

/// A registered connection; however its thread ends, its place is free again.
struct Connection(Arc<Shared>, u64);

impl Connection {
    /// From now on it is not cut off. Whether it is to be answered: it was not cut off before.
    fn has_asked(&self) -> bool {
        let mut state = self.0.state.lock();
        match state.open.get_mut(&self.1) {
            Some(peer) if peer.stage != Stage::CutOff => {
                peer.stage = Stage::Asked;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.state.lock().open.remove(&self.1);
        self.0.changed.notify_all();
    }
}

/// Says that nobody accepts any more, however that came.
struct Deaf<'a>(&'a Shared);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.state.lock().deaf = true;
        self.0.changed.notify_all();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop)
}
