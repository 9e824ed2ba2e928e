//! What is measured, what does it take, and who may choose it?

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{ExportError, Exporter, LaneKind, Moment, NameList, Otel};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task;

use crate::observed::{Observed, on_each, wait_until};
use crate::{named, two_workers};

// ----- how it is built -----

/// The flag that others need.
const FLAG: &str = "tokio_unstable";

/// What can pass a flag to the compiler: manifests, settings of cargo, build scripts, our scripts.
fn build_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let above = folder.file_name().unwrap_or_default();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_ours = !["target", ".git"].contains(&name.as_str());
        let builds = name.ends_with(".toml") || name.ends_with(".sh") || name == "build.rs";
        let is_listed = builds || [".ci", ".cargo"].map(OsStr::new).contains(&above);
        if path.is_dir() && is_ours {
            build_files(&path, found);
        } else if path.is_file() && is_listed {
            found.push(path);
        }
    }
}

// The eighth ask.
#[test]
fn nothing_here_needs_a_flag_of_the_compiler() {
    let mut files = Vec::new();
    build_files(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    assert!(files.len() > 6, "the check has lost sight of {files:?}");
    for file in files {
        let text = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(FLAG), "{} asks for {FLAG}", file.display());
    }
}

// ----- numbers -----

/// A scrape as Prometheus does it.
#[cfg(feature = "prometheus")]
fn scrape(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

// The ninth ask.
#[cfg(feature = "prometheus")]
#[test]
fn prometheus_scrapes_histograms_whose_buckets_hold_every_task() {
    let prometheus = telemetry_rt::otel::Prometheus::bind("127.0.0.1:0").unwrap();
    let address = prometheus.local_addr().unwrap();
    let otel = Otel::builder().exporter(prometheus).build();
    let runtime = two_workers().enable_all().otel(otel).build().unwrap();
    runtime.block_on(async {
        for _ in 0..300 {
            named("one").spawn(task::yield_now()).await.unwrap();
        }
    });
    let page = scrape(address);
    let values = |series: &str| {
        let of_task = |line: &&str| line.starts_with(series) && line.contains("name=\"one\"");
        let values = page.lines().filter(of_task);
        let values = values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.collect::<Vec<_>>()
    };
    let buckets = values("process_duration_seconds_bucket{");
    assert!(buckets.len() > 80 && buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&300.0));
    assert_eq!(values("process_duration_seconds_count{"), [300.0]);
    for histogram in ["executor_poll_duration", "executor_schedule_delay"] {
        let line = format!("\n{histogram}_seconds_bucket{{");
        assert!(page.matches(&line).count() > 80, "{page}");
    }
}

// The twelfth ask.
#[test]
fn a_theft_is_counted_for_the_worker_that_stole_and_names_its_victim() {
    const TASKS: usize = 100;
    let observed = Observed::new(two_workers());
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let spawner = observed.runtime.spawn(async move {
        for _ in 0..TASKS {
            let done = Arc::clone(&counted);
            task::spawn(async move { done.fetch_add(1, SeqCst) });
        }
        // Meanwhile only the other worker runs tasks. The last one is next on this worker, which
        // nobody takes from it.
        wait_until(|| counted.load(SeqCst) == TASKS - 1);
    });
    observed.runtime.block_on(spawner).unwrap();
    wait_until(|| done.load(SeqCst) == TASKS);
    let record = observed.runtime.handle().flight_record();
    let thefts = record.lanes.iter().flat_map(|lane| {
        lane.events.iter().filter_map(|event| match event.moment {
            Moment::Stole { victim, .. } => Some((lane.kind, victim)),
            _ => None,
        })
    });
    let thefts: Vec<(LaneKind, u16)> = thefts.collect();
    let seen = observed.end();
    for worker in [0, 1] {
        let own = thefts
            .iter()
            .filter(|(lane, victim)| *lane == LaneKind::Worker(worker) && *victim == 1 - worker);
        let index = worker.to_string();
        let counted = seen.total("executor.worker.steals", &[("worker.index", &index)]);
        assert_eq!(own.count() as f64, counted, "{thefts:?}");
    }
    assert!(!thefts.is_empty());
}

// ----- bounds -----

/// A collector that takes nothing until the sender is dropped.
struct Stuck(mpsc::Receiver<()>);

impl Exporter for Stuck {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        // An error says that the sender is gone, and that is what it waits for.
        let _ = self.0.recv();
        Ok(())
    }
}

// The thirteenth ask. That names are bounded, too, is for all tests of a process together, and
// tested in `states.rs`.
#[test]
fn what_is_kept_of_many_tasks_is_bounded_though_nobody_takes_it() {
    const TASKS: usize = 20_000;
    const SPANS: usize = 512;
    let (release, gate) = mpsc::channel();
    let otel = Otel::builder().exporter(Stuck(gate));
    let otel = otel.queue_size(SPANS).batch_size(SPANS).span_ring(SPANS);
    let mut builder = Builder::new_current_thread();
    let runtime = builder.otel(otel.build()).build().unwrap();
    runtime.block_on(async {
        for _ in 0..TASKS {
            named("one").spawn(async {}).await.unwrap();
        }
    });

    let handle = runtime.handle();
    assert!(handle.dump_tasks().tasks.is_empty());
    let record = handle.flight_record();
    assert!(record.lanes.iter().all(|lane| lane.events.len() <= 4_096));
    assert!(record.lanes.iter().any(|lane| lane.overwritten > 0));
    let spans = runtime.flush(Duration::from_millis(1)).unwrap().spans;
    // The queue, the batch that is being exported, and the rings of two threads.
    assert!(spans.in_flight <= 4 * SPANS as u64, "{spans:?}");
    assert_eq!(spans.produced, TASKS as u64 + 1);
    assert!(spans.is_balanced(), "what was lost is counted: {spans:?}");
    drop(release);
}

// ----- choices -----

mod cart {
    pub async fn total() {}
    pub async fn empty() {}
}

// The fifteenth ask.
#[test]
fn an_operator_chooses_by_patterns_of_names_what_is_traced_while_the_program_runs() {
    async fn serve() {
        for list in ["", "*::cart::*", "empty, nightly *"] {
            Handle::current().set_task_names(NameList::parse(list));
            task::spawn(cart::total()).await.unwrap();
            task::spawn(cart::empty()).await.unwrap();
            named("nightly sync").spawn(async {}).await.unwrap();
        }
    }
    on_each(|builder| {
        let seen = Observed::new(builder).run(serve());
        let spans = seen.spans.iter().filter(|span| span.name != "serve");
        // Spans of two workers leave in no order.
        let mut names: Vec<&str> = spans.map(|span| &*span.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["empty", "empty", "nightly sync", "total"]);
        let counted: i64 = seen.counts().values().sum();
        assert_eq!(counted, 10, "all are in the metrics");
    });
}
