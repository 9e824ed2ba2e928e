//! What becomes of spans at an exporter that fails, panics, changes its mind or is slow.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{Bench, LONG, assert_losses_are_exported, keep_warnings, sums, warnings};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::{ExportError, Exporter, InMemory, Metric, Only, Otel, Signal};

/// Does with each batch what it is told to.
struct Scripted {
    name: &'static str,
    calls: usize,
    exported: Arc<AtomicUsize>,
    batch: fn(usize) -> Result<(), ExportError>,
}

impl Exporter for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        self.calls += 1;
        (self.batch)(self.calls)?;
        self.exported.fetch_add(spans.len(), SeqCst);
        Ok(())
    }
}

type Script = fn(usize) -> Result<(), ExportError>;

/// A bench before the exporter, the metrics that leave by another, and what has been exported.
fn scripted(name: &'static str, batch: Script) -> (Bench, InMemory, Arc<AtomicUsize>) {
    keep_warnings();
    let exported = Arc::default();
    let exporter = Scripted {
        name,
        calls: 0,
        exported: Arc::clone(&exported),
        batch,
    };
    let memory = InMemory::new();
    let metrics = Only::new(Signal::Metrics, memory.clone());
    let otel = Otel::builder().exporter(exporter).exporter(metrics);
    (Bench::new(otel.batch_size(10).build()), memory, exported)
}

#[test]
fn there_is_a_word_for_each_change_and_none_for_what_stays() {
    let (bench, _, _) = scripted("fickle", |call| match (call - 1) / 3 % 2 {
        0 => Err(ExportError::new("no luck")),
        _ => Ok(()),
    });
    // Three batches fail, three are taken, three fail, three are taken.
    for _ in 0..12 {
        bench.run_many(10);
        assert!(bench.flush().completed);
    }
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (60, 60)
    );
    let said: Vec<bool> = warnings("exporter fickle:")
        .iter()
        .map(|line| !line.contains("not exported"))
        .collect();
    assert_eq!(said, [false, true, false, true]);
}

#[test]
fn one_that_fails_for_ever_loses_everything_and_that_is_said() {
    let (bench, memory, exported) = scripted("hopeless", |_| Err(ExportError::new("never")));
    bench.run_many(1000);
    bench.flush();
    bench.run_many(10);
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.exported, exported.load(SeqCst)), (0, 0));
    assert_eq!(report.spans.dropped.export_failed, 1010);
    assert_losses_are_exported(&report, &memory.metrics());
    assert_eq!(warnings("exporter hopeless:").len(), 1);
}

#[test]
fn one_that_panics_for_ever_is_called_for_each_batch_and_the_thread_lives() {
    let (bench, memory, _) = scripted("panicking", |call| panic!("in call {call}"));
    bench.run_many(50);
    assert!(bench.flush().completed);
    let report = bench.shutdown(LONG);
    assert!(report.completed);
    assert_eq!(report.spans.dropped.export_failed, 50);
    assert_losses_are_exported(&report, &memory.metrics());
    let failures = sums(&memory.metrics(), "executor.export.failures");
    assert!(failures[0].1 >= 5, "{failures:?}");
}

#[test]
fn one_that_rejects_more_than_it_was_given_rejects_all_of_that() {
    let (bench, memory, _) = scripted("greedy", |_| Err(ExportError::partial(u64::MAX, "all")));
    bench.run_many(25);
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.dropped.export_failed, 25);
    assert_losses_are_exported(&report, &memory.metrics());
}

#[test]
fn one_that_fails_says_no_more_than_a_screen_and_nothing_that_a_terminal_obeys() {
    let (bench, _, _) = scripted("chatty", |_| {
        Err(ExportError::new(format!(
            "\x1b[2J{}",
            "x".repeat(10_000_000)
        )))
    });
    bench.run_many(1);
    bench.shutdown(LONG);
    let said = warnings("exporter chatty:");
    assert_eq!(said.len(), 1);
    assert!(said[0].len() < 10_000, "{}", said[0].len());
    assert!(!said[0].contains(char::is_control));
}

/// Takes its time with everything.
struct Slow;

impl Exporter for Slow {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    }

    fn export_metrics(&mut self, _: &[Metric], _: &Resource) -> Result<(), ExportError> {
        Ok(())
    }
}

#[test]
fn no_call_of_the_application_waits_for_a_slow_one() {
    let otel = Otel::builder().exporter(Slow).queue_size(50).batch_size(10);
    let bench = Bench::new(otel.span_ring(64).build());
    bench.run_many(100);
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(1) {
        let one = Instant::now();
        bench.run("many");
        longest = longest.max(one.elapsed());
    }
    // The exporter holds its batch for two seconds. All of the others have passed by.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let report = bench.shutdown(Duration::from_millis(100));
    assert!(report.spans.dropped.total() > 1000, "{report:?}");
}
