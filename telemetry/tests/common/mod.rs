//! Processes without an executor: a recorder that is told what a scheduler would tell it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::{
    Metric, MetricData, Number, Otel, Pipeline, Report, set_diagnostics,
};
use telemetry_rt_telemetry::record::{
    Account, Ending, Lineage, Meta, Outcome, PollEnd, PollGuard, Process, ProcessType, Recorder,
    Scribe, Spawning,
};

pub const LONG: Duration = Duration::from_secs(20);

/// The type that the processes of the tests have.
pub struct Fetch;

pub static TASK: Meta = Meta::of::<Fetch, Result<(), String>>(ProcessType::Task);
pub static BLOCKING: Meta = Meta::of::<Fetch, ()>(ProcessType::Blocking);

/// A task, with the right to poll it.
pub fn task(account: &mut Account, id: u64) -> Process<'_> {
    account.process(id, ProcessType::Task)
}

/// The end of the last poll, after so many wakes.
pub fn done(wakes: u32) -> PollEnd {
    PollEnd {
        wakes,
        waiting: None,
        exhausted: false,
    }
}

/// A recorder, its only worker, and the pipeline behind them.
pub struct Bench {
    pub recorder: Recorder,
    pub worker: Scribe,
    pub pipeline: Pipeline,
}

impl Bench {
    pub fn new(otel: Otel) -> Bench {
        let recorder = Recorder::new(otel.recorder_config(1));
        Bench {
            worker: recorder.worker(0),
            pipeline: Pipeline::start(otel, recorder.clone()).unwrap(),
            recorder,
        }
    }

    #[track_caller]
    pub fn spawn(&self, name: Option<&str>) -> Account {
        self.recorder.spawned(Spawning {
            meta: &TASK,
            name,
            site: Location::caller(),
            lineage: Lineage::Inherit,
        })
    }

    /// Runs a process of this name in one poll, and `inside` during the poll.
    #[track_caller]
    pub fn run_with(&self, name: &str, ending: Ending<'_>, inside: impl FnOnce()) {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let mut account = self.spawn(Some(name));
        let wake = account.first_wake();
        let process = &mut task(&mut account, IDS.fetch_add(1, Ordering::Relaxed));
        self.worker.resumed();
        let mut poll = PollGuard::default();
        self.worker.poll_started(&mut poll, process, &wake);
        inside();
        self.worker.poll_ended(&mut poll, process, done(1));
        drop(self.worker.ended(process, ending));
    }

    #[track_caller]
    pub fn run(&self, name: &str) {
        self.run_with(name, FINISHED, || {});
    }

    #[track_caller]
    pub fn run_many(&self, count: usize) {
        (0..count).for_each(|_| self.run("many"));
    }

    pub fn flush(&self) -> Report {
        self.pipeline.force_flush(LONG)
    }

    /// Shuts down, checks the books, and gives the report.
    #[track_caller]
    pub fn shutdown(&self, timeout: Duration) -> Report {
        let report = self.pipeline.shutdown(timeout);
        assert!(report.spans.is_balanced(), "{report:?}");
        assert_eq!(report.spans.in_flight, 0, "{report:?}");
        report
    }
}

pub const FINISHED: Ending<'static> = Ending::Returned(Outcome::Finished);
pub const FAILED: Ending<'static> = Ending::Returned(Outcome::Failed);

pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    text(&span.attributes, key)
}

pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|known| known.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string())
}

pub fn number(span: &SpanData, key: &str) -> u64 {
    attribute(span, key)
        .unwrap_or_else(|| panic!("{key} is missing in {span:?}"))
        .parse()
        .unwrap()
}

/// The points of a sum, as `attribute=value attribute=value` and number.
pub fn sums(metrics: &[Metric], name: &str) -> Vec<(String, i64)> {
    let metric = metrics.iter().find(|metric| metric.name == name);
    let Some(MetricData::Sum { points, .. }) = metric.map(|metric| &metric.data) else {
        panic!("no sum {name} in {metrics:?}");
    };
    points
        .iter()
        .map(|point| match point.value {
            Number::Int(value) => (labels(&point.attributes), value),
            Number::Float(value) => panic!("{value} is no count"),
        })
        .collect()
}

pub fn labels(attributes: &[KeyValue]) -> String {
    let labels: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    labels.join(" ")
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps warnings from now on, instead of printing them.
pub fn keep_warnings() {
    set_diagnostics(|line| WARNINGS.lock().unwrap().push(line.to_owned()));
}

/// The warnings of the whole test binary that contain `part`.
pub fn warnings(part: &str) -> Vec<String> {
    let all = WARNINGS.lock().unwrap();
    all.iter()
        .filter(|line| line.contains(part))
        .cloned()
        .collect()
}

/// Checks that the metrics say of lost spans what the report says.
#[track_caller]
pub fn assert_losses_are_exported(report: &Report, metrics: &[Metric]) {
    let lost = report.spans.dropped.by_cause();
    let lost = lost.map(|(cause, spans)| (format!("cause={cause}"), spans as i64));
    assert_eq!(sums(metrics, "executor.spans.dropped"), lost);
}
