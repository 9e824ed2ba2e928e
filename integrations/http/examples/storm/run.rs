//! In what order do things happen? Two storms of equal length, after each of which the server comes to
//! rest, and a short one in which it is shut down.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::count::total;
use crate::crowd::{CALM, Crowd, OVER, Row, STORM};
use crate::server::{Ended, Held, Server};
use crate::{Failure, heap, process};

/// All that is known at the end.
pub struct Findings {
    pub before: Held,
    pub storms: Vec<Storm>,
    /// What the clients did in the storm that the server was shut down in.
    pub last: Vec<Row>,
    pub ended: Ended,
}

/// A storm that is over.
pub struct Storm {
    pub rows: Vec<Row>,
    pub length: Duration,
    /// When all connections were there, and nobody said anything.
    pub calm: Held,
    /// The most of each.
    pub peak: Held,
    /// When the server had come to rest.
    pub after: Held,
    /// The requests and connections that the metrics said to be open then.
    pub open: (i64, i64),
}

/// How long the server may take to notice that everybody has gone: more than all of its limits.
const REST: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// In which the server is shut down.
const LAST: Duration = Duration::from_secs(2);

pub fn run(args: &Args) -> Result<Findings, Failure> {
    let server = Server::start()?;
    if args.miscount {
        server.counts.begin();
    }
    let before = server.held();
    let mut storms = Vec::new();
    for number in 1..=args.storms {
        eprintln!(
            "storm {number}: {} connections that are kept",
            args.connections
        );
        storms.push(storm(args, &server, before)?);
    }
    eprintln!("the server is shut down in a storm");
    let mut crowd = Crowd::start(args, server.address, LAST)?;
    crowd.wait_for(CALM)?;
    crowd.wait_for(STORM)?;
    thread::sleep(LAST / 4);
    let ended = server.stop()?;
    crowd.wait_for(OVER)?;
    Ok(Findings {
        before,
        storms,
        last: crowd.ended()?,
        ended,
    })
}

fn storm(args: &Args, server: &Server, before: Held) -> Result<Storm, Failure> {
    let is_over = AtomicBool::new(false);
    let mut crowd = Crowd::start(args, server.address, args.length)?;
    let (result, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(server, &is_over));
        let result = weather(&mut crowd, server);
        let rows = result.and_then(|weather| Ok((weather, crowd.ended()?)));
        is_over.store(true, Relaxed);
        (rows, watcher.join().expect("looking does not panic"))
    });
    let ((calm, length), rows) = result?;
    come_to_rest(server, before);
    let metrics = server.metrics();
    let open = |name| total(&metrics, name);
    Ok(Storm {
        rows,
        length,
        calm,
        peak,
        after: server.held(),
        open: (
            open("http.server.active_requests"),
            open("http.server.connections.open"),
        ),
    })
}

/// From the calm to the end: what was held in the calm, and how long the storm was.
fn weather(crowd: &mut Crowd, server: &Server) -> Result<(Held, Duration), Failure> {
    crowd.wait_for(CALM)?;
    let calm = server.held();
    crowd.wait_for(STORM)?;
    let begin = Instant::now();
    crowd.wait_for(OVER)?;
    Ok((calm, begin.elapsed()))
}

/// The most that the server holds until it is over.
fn watch(server: &Server, is_over: &AtomicBool) -> Held {
    let mut peak = Held::default();
    while !is_over.load(Relaxed) {
        peak.tasks = peak.tasks.max(server.tasks());
        peak.resident = peak.resident.max(process::resident());
        peak.heap = peak.heap.max(heap::live());
        thread::sleep(LOOK);
    }
    peak
}

fn come_to_rest(server: &Server, before: Held) {
    let begin = Instant::now();
    while server.tasks() > before.tasks && begin.elapsed() < REST {
        thread::sleep(LOOK);
    }
    // What the tasks recorded last is on its way to the exporter.
    thread::sleep(Duration::from_millis(300));
}
