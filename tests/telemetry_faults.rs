//! What a whole runtime suffers from an exporter in trouble: nothing. No worker waits for it, the
//! books stay right, and the deadline of a shutdown is kept.
#![cfg(feature = "telemetry")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{
    Dropped, ExportError, Exporter, InMemory, Metric, Only, Otel, OtelBuilder, PollDetail, Report,
    Signal,
};
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task::{self, yield_now};
use telemetry_rt::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(20);

fn runtime(workers: usize, otel: OtelBuilder) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all();
    builder.otel(otel.build()).build().unwrap()
}

#[track_caller]
fn assert_balanced(report: &Report) {
    assert!(report.spans.is_balanced(), "{report:?}");
    assert_eq!(report.spans.in_flight, 0, "{report:?}");
}

/// Hangs in everything until the sender is gone.
struct Hanging(Receiver<()>);

impl Exporter for Hanging {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        let _ = self.0.recv();
        Ok(())
    }

    fn export_metrics(&mut self, _: &[Metric], _: &Resource) -> Result<(), ExportError> {
        let _ = self.0.recv();
        Ok(())
    }
}

fn hanging() -> (Sender<()>, OtelBuilder) {
    let (open, gate) = channel();
    let otel = Otel::builder().exporter(Hanging(gate));
    (open, otel.queue_size(1000).batch_size(100).span_ring(256))
}

/// The longest pause between two polls of a task that is always ready.
async fn longest_stall(until: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    while !until.load(SeqCst) {
        yield_now().await;
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    longest
}

#[test]
fn no_worker_waits_for_an_exporter_that_hangs() {
    // As long as the exporter hangs for; a worker that waited for it would stall for that long.
    const HANGS: Duration = Duration::from_secs(3);
    const MOST: Duration = Duration::from_secs(1);
    let (open, otel) = hanging();
    let runtime = runtime(2, otel);
    let done = Arc::new(AtomicBool::new(false));
    let longest = runtime.block_on(async {
        let stalls = [(); 2].map(|()| task::spawn(longest_stall(Arc::clone(&done))));
        let start = Instant::now();
        let mut spawned = 0;
        while start.elapsed() < HANGS {
            let tasks: Vec<_> = (0..100).map(|_| task::spawn(async {})).collect();
            let blocking = task::spawn_blocking(|| {});
            for task in tasks {
                task.await.unwrap();
            }
            blocking.await.unwrap();
            spawned += 101;
        }
        done.store(true, SeqCst);
        assert!(spawned > 2 * 1000 + 256, "nothing overflowed: {spawned}");
        let mut longest = Duration::ZERO;
        for stall in stalls {
            longest = longest.max(stall.await.unwrap());
        }
        longest
    });
    assert!(longest < MOST, "{longest:?}");
    drop(open);
    let report = runtime.shutdown(LONG).unwrap();
    assert_balanced(&report);
    assert!(report.spans.dropped.queue_full > 0, "{report:?}");
}

#[test]
fn a_shutdown_with_an_exporter_that_hangs_is_over_in_time_and_tells_the_loss() {
    let (_open, otel) = hanging();
    let runtime = runtime(2, otel);
    runtime.block_on(async {
        for _ in 0..10 {
            task::spawn(async {}).await.unwrap();
        }
    });
    let start = Instant::now();
    let report = runtime.shutdown(Duration::from_millis(500)).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_balanced(&report);
    assert!(!report.completed);
    // The ten, and the root that they were spawned by.
    assert_eq!(report.spans.dropped.shutdown_deadline, 11);
}

#[test]
fn a_shutdown_whose_exporter_failed_says_that_nothing_was_exported() {
    struct Failing;
    impl Exporter for Failing {
        fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
            Err(ExportError::new("no luck"))
        }
    }
    let runtime = runtime(1, Otel::builder().exporter(Failing));
    runtime.block_on(async { task::spawn(async {}).await.unwrap() });
    let spans = runtime.shutdown(LONG).unwrap().spans;
    let lost = Dropped {
        export_failed: 2,
        ..Dropped::default()
    };
    assert_eq!(
        (spans.produced, spans.exported, spans.dropped),
        (2, 0, lost)
    );
}

#[test]
fn a_blocking_function_that_is_stuck_does_not_cost_what_was_recorded() {
    let memory = InMemory::new();
    let runtime = runtime(1, Otel::builder().exporter(memory.clone()));
    let (_open, gate) = channel::<()>();
    runtime.block_on(async {
        task::spawn(async {}).await.unwrap();
    });
    runtime.spawn_blocking(move || gate.recv());
    let report = runtime.shutdown(Duration::from_secs(1)).unwrap();
    assert_balanced(&report);
    assert_eq!(report.spans.exported, 2, "{report:?}");
    assert_eq!(memory.spans().len(), 2);
}

#[test]
fn a_flush_in_the_only_worker_ends() {
    let memory = InMemory::new();
    let runtime = Arc::new(runtime(1, Otel::builder().exporter(memory.clone())));
    let report = runtime.block_on(async {
        task::spawn(async {}).await.unwrap();
        let within = Arc::clone(&runtime);
        task::spawn(async move { within.flush(LONG).unwrap() })
            .await
            .unwrap()
    });
    assert!(report.completed);
    assert_eq!(memory.spans().len(), 1);
    let Ok(runtime) = Arc::try_unwrap(runtime) else {
        panic!("the task that had it has ended");
    };
    assert_balanced(&runtime.shutdown(LONG).unwrap());
}

#[test]
fn shutdowns_by_a_thread_while_tasks_end_keep_the_books() {
    for _ in 0..20 {
        let memory = InMemory::new();
        let runtime = runtime(2, Otel::builder().exporter(memory.clone()));
        let handle = runtime.handle().clone();
        let spawning = thread::spawn(move || {
            for _ in 0..200 {
                drop(handle.spawn(async { yield_now().await }));
            }
        });
        let report = runtime.shutdown(LONG).unwrap();
        spawning.join().unwrap();
        assert!(report.spans.is_balanced(), "{report:?}");
        assert_eq!(report.spans.exported, memory.spans().len() as u64);
    }
}

// ----- exporting does not make telemetry -----

/// Counts what it is given, and then does something of its own.
struct Counting<F> {
    spans: Arc<AtomicU64>,
    batches: Arc<AtomicU64>,
    then: F,
}

impl<F: FnMut() + Send> Exporter for Counting<F> {
    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        self.spans.fetch_add(spans.len() as u64, SeqCst);
        self.batches.fetch_add(1, SeqCst);
        (self.then)();
        Ok(())
    }
}

/// Everything that there is to record is recorded, exported at once by an exporter that does this,
/// and its spans come to an end.
#[track_caller]
fn assert_falls_silent(then: impl FnMut() + Send + 'static, prepare: impl FnOnce(&Runtime)) {
    let (spans, batches) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counting = Counting {
        spans: Arc::clone(&spans),
        batches: Arc::clone(&batches),
        then,
    };
    let metrics = InMemory::new();
    let otel = Otel::builder().exporter(counting);
    let otel = otel
        .exporter(Only::new(Signal::Metrics, metrics))
        .schedule_delay(Duration::from_millis(5))
        .metric_interval(Duration::from_millis(5));
    let runtime = runtime(2, otel);
    runtime.handle().set_poll_detail(PollDetail::Spans);
    runtime.handle().set_future_tracing(true);
    prepare(&runtime);
    runtime.block_on(async {
        let _ = timeout(Duration::from_millis(1), sleep(LONG)).await;
        task::spawn_blocking(|| {}).await.unwrap();
    });
    // Whoever exports what exporting makes has something to export after each batch. All else is
    // exported by the flush.
    runtime.flush(LONG).unwrap();
    thread::sleep(Duration::from_millis(50));
    let before = (spans.load(SeqCst), batches.load(SeqCst));
    assert!(before.0 > 2, "{before:?}");
    thread::sleep(Duration::from_millis(300));
    assert_eq!((spans.load(SeqCst), batches.load(SeqCst)), before);
    assert_balanced(&runtime.shutdown(LONG).unwrap());
}

#[test]
fn an_idle_runtime_with_everything_on_exports_nothing_more() {
    assert_falls_silent(|| {}, |_| {});
}

#[test]
fn an_exporter_may_have_a_runtime_of_its_own() {
    let own = Builder::new_current_thread().enable_all().build().unwrap();
    let send = move || {
        own.block_on(async {
            task::spawn(sleep(Duration::from_millis(1))).await.unwrap();
            task::spawn_blocking(|| {}).await.unwrap();
        });
    };
    assert_falls_silent(send, |_| {});
}

#[test]
fn an_exporter_may_run_on_the_runtime_that_it_exports_for() {
    let place: Arc<OnceLock<Handle>> = Arc::default();
    let handle = Arc::clone(&place);
    let send = move || {
        let handle = handle.get().unwrap();
        handle.block_on(async {
            let sent = task::spawn(async {
                let _ = timeout(Duration::from_millis(1), sleep(LONG)).await;
                task::spawn_blocking(|| {}).await.unwrap();
            });
            sent.await.unwrap();
        });
    };
    let prepare = |runtime: &Runtime| {
        assert!(place.set(runtime.handle().clone()).is_ok());
    };
    assert_falls_silent(send, prepare);
}
