//! A shutdown is over by its deadline, whoever asks for it, from wherever, and however often; and
//! its report says what was lost.

mod common;

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::{Bench, FINISHED, LONG, keep_warnings, warnings};
use opentelemetry::trace::Tracer;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::{
    ExportError, Exporter, InMemory, Metric, Otel, Pipeline, Report,
};
use telemetry_rt_telemetry::record::Recorder;

/// What a deadline may be exceeded by on a machine that is busy; the promise is 100 ms.
const SLACK: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_millis(300);

/// Hangs where it is told to, until the sender is gone.
struct Hanging {
    held: Arc<Mutex<Receiver<()>>>,
    at: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Spans,
    Metrics,
    Flush,
    Shutdown,
    Drop,
}

impl Hanging {
    fn hang(&self, at: Place) {
        if self.at == at {
            let _ = self.held.lock().unwrap().recv();
        }
    }
}

impl Exporter for Hanging {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        self.hang(Place::Spans);
        Ok(())
    }

    fn export_metrics(&mut self, _: &[Metric], _: &Resource) -> Result<(), ExportError> {
        self.hang(Place::Metrics);
        Ok(())
    }

    fn flush(&mut self) {
        self.hang(Place::Flush);
    }

    fn shutdown(&mut self) {
        self.hang(Place::Shutdown);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.hang(Place::Drop);
    }
}

fn hanging(at: Place) -> (Sender<()>, Bench) {
    keep_warnings();
    let (gate, held) = channel();
    let held = Arc::new(Mutex::new(held));
    let otel = Otel::builder()
        .exporter(Hanging { held, at })
        .batch_size(10);
    (gate, Bench::new(otel.build()))
}

#[track_caller]
fn in_time<T>(deadline: Duration, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    assert!(start.elapsed() < deadline + SLACK, "{:?}", start.elapsed());
    result
}

#[test]
fn wherever_an_exporter_hangs_the_deadline_is_kept_and_the_loss_is_told() {
    for (at, exported) in [
        (Place::Spans, 0),
        (Place::Metrics, 25),
        (Place::Shutdown, 25),
        (Place::Drop, 25),
    ] {
        let (_gate, bench) = hanging(at);
        bench.run_many(25);
        let report = in_time(DEADLINE, || bench.shutdown(DEADLINE));
        assert!(!report.completed);
        assert_eq!(report.spans.exported, exported);
        assert_eq!(report.spans.dropped.shutdown_deadline, 25 - exported);
    }
}

#[test]
fn a_flush_that_hangs_ends_at_its_deadline_and_so_does_the_shutdown_after_it() {
    let (_gate, bench) = hanging(Place::Flush);
    bench.run_many(5);
    let report = in_time(DEADLINE, || bench.pipeline.force_flush(DEADLINE));
    assert!(!report.completed);
    bench.run_many(5);
    let report = in_time(DEADLINE, || bench.shutdown(DEADLINE));
    assert_eq!(
        (
            report.spans.exported,
            report.spans.dropped.shutdown_deadline
        ),
        (5, 5)
    );
}

#[test]
fn no_time_at_all_is_time_enough_to_say_what_is_lost() {
    let (_gate, bench) = hanging(Place::Spans);
    bench.run_many(100);
    let report = in_time(Duration::ZERO, || bench.shutdown(Duration::ZERO));
    assert_eq!(report.spans.dropped.shutdown_deadline, 100);
}

#[test]
fn an_exporter_that_fails_is_no_success() {
    struct Failing;
    impl Exporter for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
            Err(ExportError::new("no luck"))
        }
    }
    keep_warnings();
    let bench = Bench::new(Otel::builder().exporter(Failing).build());
    bench.run_many(10);
    let report = bench.shutdown(LONG);
    // Ten were made and none arrived: that is what the report says, and a warning.
    assert_eq!((report.spans.produced, report.spans.exported), (10, 0));
    assert_eq!(report.spans.dropped.export_failed, 10);
    assert_eq!(
        warnings("exporter failing: traces are not exported").len(),
        1
    );
}

#[test]
fn shutdowns_at_once_end_in_the_same_report() {
    let (_gate, bench) = hanging(Place::Spans);
    bench.run_many(25);
    let pipeline = &bench.pipeline;
    let reports = in_time(DEADLINE, || {
        thread::scope(|scope| {
            let asking = [(); 4].map(|()| scope.spawn(|| pipeline.shutdown(DEADLINE)));
            asking.map(|asking| asking.join().unwrap())
        })
    });
    // One gives the exporter up. Another whose own time ends a moment before that knows no more than
    // that they are with the exporter.
    let lost = |report: &Report| report.spans.dropped.shutdown_deadline;
    for report in &reports {
        assert!(
            !report.completed && report.spans.is_balanced(),
            "{report:?}"
        );
        assert_eq!(lost(report) + report.spans.in_flight, 25, "{report:?}");
    }
    assert!(
        reports.iter().any(|report| lost(report) == 25),
        "{reports:?}"
    );
    assert_eq!(lost(&pipeline.shutdown(DEADLINE)), 25);
}

#[test]
fn a_shutdown_with_little_time_does_not_wait_for_one_with_much() {
    let (gate, bench) = hanging(Place::Spans);
    bench.run_many(25);
    let pipeline = &bench.pipeline;
    thread::scope(|scope| {
        let patient = scope.spawn(|| pipeline.shutdown(LONG));
        thread::sleep(Duration::from_millis(50));
        let report = in_time(DEADLINE, || pipeline.shutdown(DEADLINE));
        assert!(
            !report.completed && report.spans.is_balanced(),
            "{report:?}"
        );
        drop(gate);
        assert!(patient.join().unwrap().completed);
    });
}

#[test]
fn a_flush_beside_and_after_a_shutdown_ends() {
    let (_gate, bench) = hanging(Place::Spans);
    bench.run_many(25);
    let pipeline = &bench.pipeline;
    thread::scope(|scope| {
        let flushing = scope.spawn(|| in_time(LONG, || pipeline.force_flush(LONG)));
        in_time(DEADLINE, || bench.shutdown(DEADLINE));
        assert!(!flushing.join().unwrap().completed);
    });
    let report = in_time(Duration::ZERO, || bench.flush());
    assert!(
        !report.completed && report.spans.in_flight == 0,
        "{report:?}"
    );
}

/// Shuts the pipeline down that it exports for.
struct Suicidal(Arc<OnceLock<Pipeline>>, Sender<Report>);

impl Exporter for Suicidal {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        let report = self.0.get().unwrap().shutdown(DEADLINE);
        self.1
            .send(report)
            .map_err(|_| ExportError::new("nobody listens"))
    }
}

#[test]
fn an_exporter_that_shuts_its_own_pipeline_down_is_not_waited_for() {
    keep_warnings();
    let (reports, report) = channel();
    let place: Arc<OnceLock<Pipeline>> = Arc::default();
    let otel = Otel::builder().exporter(Suicidal(Arc::clone(&place), reports));
    let otel = otel.build();
    let recorder = Recorder::new(otel.recorder_config(1));
    let pipeline = place.get_or_init(|| Pipeline::start(otel, recorder).unwrap());
    drop(pipeline.tracer("user").unwrap().start("fetch"));
    let flushed = in_time(DEADLINE, || pipeline.force_flush(LONG));
    assert!(!flushed.completed);
    let report = report.recv_timeout(LONG).unwrap();
    assert!(!report.completed);
    assert_eq!(report.spans.dropped.shutdown_deadline, 1);
}

#[test]
fn a_panic_hook_may_shut_down() {
    let memory = InMemory::new();
    static BENCH: OnceLock<(Mutex<Option<Report>>, Mutex<Bench>)> = OnceLock::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    bench.run_many(25);
    assert!(BENCH.set((Mutex::default(), Mutex::new(bench))).is_ok());
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let (told, bench) = BENCH.get().unwrap();
        if info.payload_as_str() == Some("the end") {
            let report = bench.lock().unwrap().pipeline.shutdown(LONG);
            told.lock().unwrap().replace(report);
        }
        before(info);
    }));
    let _ = panic::catch_unwind(|| panic!("the end"));
    let report = BENCH.get().unwrap().0.lock().unwrap().take().unwrap();
    assert!(report.completed);
    assert_eq!((report.spans.exported, memory.spans().len()), (25, 25));
}

#[test]
fn a_shutdown_within_a_poll_exports_what_there_is_and_counts_who_asked_for_it() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    bench.run_many(25);
    let mut report = Report::default();
    bench.run_with("asks", FINISHED, || report = bench.shutdown(LONG));
    assert!(report.completed);
    assert_eq!((report.spans.exported, memory.spans().len()), (25, 25));
    // It ended when all was over.
    let after = bench.shutdown(LONG).spans;
    assert_eq!((after.produced, after.dropped.shutdown_deadline), (26, 1));
}

#[test]
fn a_drop_while_a_panic_unwinds_exports_what_there_is() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let bench = bench;
        bench.run_many(25);
        panic!("with the pipeline in hand");
    }));
    assert!(unwound.is_err());
    assert_eq!(memory.spans().len(), 25);
}

#[test]
fn a_drop_is_over_by_the_deadline_of_the_pipeline() {
    keep_warnings();
    for at in [Place::Spans, Place::Drop] {
        let (_gate, held) = channel();
        let held = Arc::new(Mutex::new(held));
        let otel = Otel::builder().exporter(Hanging { held, at });
        let bench = Bench::new(otel.shutdown_timeout(DEADLINE).build());
        bench.run_many(5);
        in_time(DEADLINE, || drop(bench));
    }
}
