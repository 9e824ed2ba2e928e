//! What do all clients share? The address, the time, and the counts by kind.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use telemetry_rt::sync::{Notify, watch};
use telemetry_rt::time::{Duration, sleep};

use crate::Failure;
use crate::args::Args;
use crate::crowd;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks twice a second or so.
    Polite,
    /// Asks every few seconds.
    Seldom,
    /// Asks again at once.
    Busy,
    SlowHead,
    SlowBody,
    HalfBody,
    Deaf,
    Silent,
    Idle,
    Reset,
    Leave,
    HalfClosed,
    Malformed,
    H2,
    H2Reset,
    H2Mute,
}

impl Kind {
    pub const ALL: [Kind; 16] = [
        Kind::Polite,
        Kind::Seldom,
        Kind::Busy,
        Kind::SlowHead,
        Kind::SlowBody,
        Kind::HalfBody,
        Kind::Deaf,
        Kind::Silent,
        Kind::Idle,
        Kind::Reset,
        Kind::Leave,
        Kind::HalfClosed,
        Kind::Malformed,
        Kind::H2,
        Kind::H2Reset,
        Kind::H2Mute,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Kind::Polite => "asks twice a second",
            Kind::Seldom => "asks every few seconds",
            Kind::Busy => "asks again at once",
            Kind::SlowHead => "head, byte by byte",
            Kind::SlowBody => "body, byte by byte",
            Kind::HalfBody => "half a body",
            Kind::Deaf => "reads no answer",
            Kind::Silent => "says nothing at all",
            Kind::Idle => "says nothing more",
            Kind::Reset => "resets in the middle",
            Kind::Leave => "leaves in the middle",
            Kind::HalfClosed => "closes its side first",
            Kind::Malformed => "malformed, by the corpus",
            Kind::H2 => "h2, ten streams a time",
            Kind::H2Reset => "h2, resets each stream",
            Kind::H2Mute => "h2, answers no ping",
        }
    }

    /// Whether it is there before the storm begins, and keeps its connection.
    pub fn is_polite(self) -> bool {
        matches!(self, Kind::Polite | Kind::Seldom | Kind::Busy)
    }

    /// How many of `connections` are of this kind, or come in addition to them.
    fn share(self, connections: usize) -> usize {
        let busy = (connections / 100).max(1);
        let seldom = connections / 4;
        match self {
            Kind::Busy => busy,
            Kind::Seldom => seldom,
            Kind::Polite => connections.saturating_sub(busy + seldom),
            // Thirteen kinds: a quarter of the connections, or a little more.
            _ => (connections / 52).max(LEAST_OF_A_KIND),
        }
    }
}

/// How far the storm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weather {
    Calm,
    Storm,
    Over,
}

const LEAST_OF_A_KIND: usize = 4;

/// Those who are there however few others there are.
pub const LEAST: usize = Kind::ALL.len() * LEAST_OF_A_KIND;

pub struct World {
    pub server: SocketAddr,
    pub length: Duration,
    pub seed: u64,
    pub corpus: Vec<Vec<u8>>,
    connections: usize,
    arrived: AtomicUsize,
    arrival: Notify,
    weather: watch::Sender<Weather>,
    rows: [Row; Kind::ALL.len()],
}

/// Counts of a kind.
#[derive(Debug, Default)]
pub struct Row {
    connections: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

impl Row {
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    fn has_come(&self) -> bool {
        self.connections.load(Relaxed) + self.refused.load(Relaxed) > 0
    }
}

impl World {
    pub fn new(server: SocketAddr, args: &Args) -> Result<World, Failure> {
        Ok(World {
            server,
            length: args.length,
            seed: args.seed,
            corpus: corpus()?,
            connections: args.connections,
            arrived: AtomicUsize::new(0),
            arrival: Notify::new(),
            weather: watch::channel(Weather::Calm).0,
            rows: Default::default(),
        })
    }

    /// How many there are of each kind.
    pub fn census(&self) -> impl Iterator<Item = (Kind, usize)> {
        let connections = self.connections;
        Kind::ALL
            .into_iter()
            .map(move |kind| (kind, kind.share(connections)))
    }

    pub fn row(&self, kind: Kind) -> &Row {
        &self.rows[kind as usize]
    }

    pub fn rows(&self) -> impl Iterator<Item = crowd::Row> {
        Kind::ALL.into_iter().map(|kind| {
            let row = self.row(kind);
            crowd::Row {
                kind: kind.as_str().to_owned(),
                connections: row.connections.load(Relaxed),
                sent: row.sent.load(Relaxed),
                answered: row.answered.load(Relaxed),
                closed: row.closed.load(Relaxed),
                refused: row.refused.load(Relaxed),
            }
        })
    }

    /// One of those who keep their connection has had its first answer.
    pub fn arrive(&self) {
        self.arrived.fetch_add(1, Relaxed);
        self.arrival.notify_one();
    }

    pub async fn all_have_come(&self) {
        let polite = self.census().filter(|(kind, _)| kind.is_polite());
        let expected = polite.map(|(_, count)| count).sum();
        while self.arrived.load(Relaxed) < expected {
            self.arrival.notified().await;
        }
    }

    pub async fn each_kind_has_come(&self) {
        while !self.rows.iter().all(Row::has_come) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Waits until it is so far.
    pub async fn until(&self, weather: Weather) {
        let mut now = self.weather.subscribe();
        let reached = now.wait_for(|now| *now >= weather).await;
        drop(reached.expect("this world has the sender"));
    }
}

/// What the fuzzer begins with.
fn corpus() -> Result<Vec<Vec<u8>>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http_server");
    let files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = files
        .map(|file| Ok(file?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths.iter().map(fs::read).collect::<std::io::Result<_>>()?)
}
