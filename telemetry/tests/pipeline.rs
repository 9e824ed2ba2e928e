//! What becomes of spans between the recorder and the exporters, and that every loss is counted.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Bench, FINISHED, LONG, attribute, keep_warnings, sums, warnings};
use opentelemetry::Context;
use opentelemetry::trace::{Span, SpanContext, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};
use telemetry_rt_telemetry::export::{
    ExportError, Exporter, InMemory, Only, Otel, Sdk, Signal, Stop,
};

fn memory() -> (InMemory, Bench) {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    (memory, bench)
}

#[test]
fn what_ended_before_a_flush_is_exported_by_it() {
    let (memory, bench) = memory();
    for round in 1..=20 {
        bench.run("fetch");
        let report = bench.flush();
        assert!(report.completed);
        assert_eq!(memory.spans().len(), round);
        assert_eq!(report.spans.exported, round as u64);
    }
    bench.shutdown(LONG);
}

#[test]
fn a_shutdown_exports_all_and_can_be_repeated() {
    let (memory, bench) = memory();
    bench.run_many(5_000);
    let report = bench.shutdown(LONG);
    assert!(report.completed);
    assert_eq!(report.spans.produced, 5_000);
    assert_eq!(report.spans.exported, memory.spans().len() as u64);
    assert_eq!(report.spans.dropped.total(), 0);
    assert_eq!(
        sums(&memory.metrics(), "process.count"),
        [("type=task name=many state=finished".to_owned(), 5_000)]
    );
    assert_eq!(bench.shutdown(LONG), report);
    assert!(bench.flush().completed);
}

#[test]
fn dropping_a_pipeline_exports_what_is_left() {
    let (memory, bench) = memory();
    bench.run("last");
    drop(bench);
    assert_eq!(memory.spans().len(), 1);
}

#[test]
fn full_batches_leave_without_being_asked() {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone()).batch_size(10);
    let bench = Bench::new(otel.schedule_delay(LONG).build());
    bench.run_many(25);
    wait_until(|| memory.spans().len() == 20);
    bench.shutdown(LONG);
    assert_eq!(memory.spans().len(), 25);
}

#[test]
fn a_batch_that_is_not_full_leaves_after_the_delay() {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone());
    let otel = otel.schedule_delay(Duration::from_millis(20));
    let bench = Bench::new(otel.metric_interval(Duration::from_millis(20)).build());
    bench.run("fetch");
    wait_until(|| memory.spans().len() == 1 && !memory.metrics().is_empty());
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "it did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn many_threads_lose_nothing_uncounted() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .span_ring(64)
        .queue_size(256);
    let bench = Bench::new(otel.build());
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..5_000).for_each(|_| drop(tracer.start("user"))));
        }
        bench.run_many(20_000);
    });
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, 35_000);
    assert_eq!(report.spans.exported, memory.spans().len() as u64);
}

#[test]
fn a_full_ring_drops_and_counts() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .span_ring(4)
        .build();
    let recorder = telemetry_rt_telemetry::record::Recorder::new(otel.recorder_config(1));
    let worker = recorder.worker(0);
    let site = std::panic::Location::caller();
    for id in 0..10 {
        let mut record = recorder.spawned(telemetry_rt_telemetry::record::Spawning {
            meta: &common::TASK,
            name: None,
            site,
            lineage: Default::default(),
        });
        drop(worker.ended(&mut common::task(&mut record, id), FINISHED));
    }
    // The drain starts only now, so the ring was full for sure.
    let pipeline = telemetry_rt_telemetry::export::Pipeline::start(otel, recorder).unwrap();
    let report = pipeline.shutdown(LONG);
    assert_eq!((report.spans.produced, report.spans.exported), (10, 4));
    assert_eq!(report.spans.dropped.ring_full, 6);
    let dropped = sums(&memory.metrics(), "executor.spans.dropped");
    assert!(
        dropped.contains(&("cause=ring_full".to_owned(), 6)),
        "{dropped:?}"
    );
}

/// An exporter that waits for a word before each batch.
struct Gate {
    open: Receiver<()>,
    inner: InMemory,
}

impl Exporter for Gate {
    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        // When the sender is gone the gate stays open.
        let _ = self.open.recv();
        self.inner.export_spans(spans, resource)
    }

    fn export_metrics(
        &mut self,
        metrics: &[telemetry_rt_telemetry::export::Metric],
        resource: &Resource,
    ) -> Result<(), ExportError> {
        self.inner.export_metrics(metrics, resource)
    }
}

fn gated(otel: impl FnOnce(Gate) -> Otel) -> (InMemory, std::sync::mpsc::Sender<()>, Bench) {
    let (sender, open) = channel();
    let inner = InMemory::new();
    let gate = Gate {
        open,
        inner: inner.clone(),
    };
    (inner, sender, Bench::new(otel(gate)))
}

#[test]
fn a_full_queue_drops_and_counts_while_the_exporter_is_slow() {
    let (memory, gate, bench) = gated(|gate| {
        Otel::builder()
            .exporter(gate)
            .queue_size(10)
            .batch_size(10)
            .build()
    });
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    (0..10).for_each(|_| drop(tracer.start("first batch")));
    wait_until(|| bench.pipeline.account().in_flight == 10);
    // Until the exporter has the first batch in hand the queue may still be full.
    wait_until(|| {
        drop(tracer.start("filler"));
        bench.pipeline.account().dropped.queue_full >= 5
    });
    drop(gate);
    let report = bench.shutdown(LONG);
    assert!(report.completed && report.spans.dropped.queue_full >= 5);
    assert_eq!(report.spans.exported, memory.spans().len() as u64);
    let dropped = sums(&memory.metrics(), "executor.spans.dropped");
    let counted = report.spans.dropped.queue_full as i64;
    assert!(
        dropped.contains(&("cause=queue_full".to_owned(), counted)),
        "{dropped:?}"
    );
}

#[test]
fn a_shutdown_gives_rings_room_in_the_queue_instead_of_dropping() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .queue_size(8)
        .batch_size(8);
    let otel = otel.span_ring(4096).build();
    let recorder = telemetry_rt_telemetry::record::Recorder::new(otel.recorder_config(1));
    let pipeline = telemetry_rt_telemetry::export::Pipeline::start(otel, recorder.clone()).unwrap();
    let bench = Bench {
        worker: recorder.worker(0),
        recorder,
        pipeline,
    };
    bench.run_many(8);
    bench.flush();
    bench.run_many(1_000);
    let report = bench.shutdown(LONG);
    // What the running drain moved before the shutdown may have been refused; nothing after it.
    assert_eq!(report.spans.dropped.shutdown_deadline, 0);
    assert_eq!(
        report.spans.exported + report.spans.dropped.queue_full,
        1_008
    );
}

#[test]
fn an_exporter_that_hangs_is_left_behind_at_the_deadline() {
    keep_warnings();
    let (_memory, _gate, bench) =
        gated(|gate| Otel::builder().exporter(gate).batch_size(10).build());
    bench.run_many(100);
    let start = Instant::now();
    let report = bench.shutdown(Duration::from_millis(300));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert!(!report.completed);
    assert_eq!(report.spans.exported, 0);
    assert_eq!(report.spans.dropped.shutdown_deadline, 100);
    assert_eq!(warnings("100 spans are lost").len(), 1);
    assert_eq!(bench.shutdown(LONG), report);
    // Neither does what comes after wait for it: the provider flushes when it is dropped.
    drop(bench);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

/// Blocks when it is dropped, until the sender is gone.
struct Clinging(Receiver<()>);

impl Exporter for Clinging {}

impl Drop for Clinging {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

#[test]
fn an_exporter_that_hangs_when_it_is_dropped_is_left_behind_as_well() {
    keep_warnings();
    let (sender, open) = channel::<()>();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(4));
        drop(sender);
    });
    let bench = Bench::new(Otel::builder().exporter(Clinging(open)).build());
    bench.run("fetch");
    let start = Instant::now();
    let report = bench.shutdown(Duration::from_millis(170));
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(!report.completed);
    assert_eq!(report.spans.exported, 1);
    let said = warnings("did not end within the 170ms");
    assert_eq!(said.len(), 1, "{said:?}");
}

/// Needs longer for metrics than there is between two exports of them.
struct SlowMetrics(InMemory);

impl Exporter for SlowMetrics {
    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        self.0.export_spans(spans, resource)
    }

    fn export_metrics(
        &mut self,
        _: &[telemetry_rt_telemetry::export::Metric],
        _: &Resource,
    ) -> Result<(), ExportError> {
        std::thread::sleep(Duration::from_millis(30));
        Ok(())
    }
}

#[test]
fn metrics_that_are_slow_starve_neither_spans_nor_flushes() {
    for interval in [0, 10] {
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(SlowMetrics(memory.clone()))
            .metric_interval(Duration::from_millis(interval))
            .batch_size(10);
        let bench = Bench::new(otel.build());
        // Metrics are due by now, and are from now on whenever somebody asks.
        std::thread::sleep(Duration::from_millis(50));
        bench.run_many(200);
        wait_until(|| memory.spans().len() == 200);
        assert!(bench.flush().completed);
    }
}

#[test]
fn a_flush_ends_though_spans_keep_coming_and_others_flush_as_well() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .batch_size(1)
        .schedule_delay(Duration::from_millis(1));
    let bench = Bench::new(otel.build());
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    let done = std::sync::atomic::AtomicBool::new(false);
    let flush = || bench.pipeline.force_flush(LONG).completed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(tracer.start("user"));
            }
        });
        let others = [(); 2].map(|()| scope.spawn(|| (0..5).all(|_| flush())));
        let all = (0..5).all(|_| flush()) & others.into_iter().all(|other| other.join().unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(all);
    });
}

#[test]
fn durations_without_an_end_are_just_long() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .schedule_delay(Duration::MAX)
        .metric_interval(Duration::MAX)
        .shutdown_timeout(Duration::MAX);
    let bench = Bench::new(otel.build());
    bench.run("fetch");
    assert!(bench.pipeline.force_flush(Duration::MAX).completed);
    bench.run("fetch");
    drop(bench);
    assert_eq!(memory.spans().len(), 2);
}

/// What even catching a panic does not help against: the payload panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload");
    }
}

#[test]
fn a_thread_that_died_has_completed_nothing() {
    let (_memory, bench) = moody("bomb", |_| std::panic::panic_any(Bomb));
    bench.run("fetch");
    assert!(!bench.flush().completed);
    assert!(!bench.flush().completed);
    let report = bench.shutdown(LONG);
    assert!(!report.completed);
    assert_eq!(report.spans.dropped.shutdown_deadline, 1);
}

#[test]
fn a_process_that_ends_after_the_shutdown_is_counted() {
    let (memory, bench) = memory();
    bench.shutdown(LONG);
    bench.run("late");
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.dropped.shutdown_deadline, 1);
    assert!(memory.spans().is_empty());
}

#[test]
fn spans_that_no_exporter_takes_are_not_even_sampled() {
    let memory = InMemory::new();
    let only = Only::new(Signal::Metrics, memory.clone());
    let bench = Bench::new(Otel::builder().exporter(only).build());
    assert!(!bench.pipeline.takes_spans());
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    assert!(!tracer.start("user").span_context().is_sampled());
    bench.run("fetch");
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.produced, report.spans.exported), (0, 0));
    assert_eq!(sums(&memory.metrics(), "process.count").len(), 1);
}

#[test]
fn a_users_span_in_a_process_that_is_a_root_without_a_span_is_a_root() {
    let (memory, bench) = memory();
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    let root = Context::new().with_remote_span_context(SpanContext::NONE);
    let span = tracer.start_with_context("query", &root);
    assert!(span.span_context().is_sampled());
    drop(span);
    bench.shutdown(LONG);
    assert_eq!(memory.spans().len(), 1);
}

#[test]
fn a_flush_gives_up_at_its_deadline_and_loses_nothing() {
    let (memory, gate, bench) = gated(|gate| Otel::builder().exporter(gate).build());
    bench.run("fetch");
    let report = bench.pipeline.force_flush(Duration::from_millis(50));
    assert!(!report.completed && report.spans.is_balanced());
    assert_eq!(report.spans.in_flight, 1);
    gate.send(()).unwrap();
    drop(gate);
    assert!(bench.flush().completed);
    assert_eq!(memory.spans().len(), 1);
}

#[test]
fn a_span_that_ends_after_the_shutdown_is_counted() {
    let (memory, bench) = memory();
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    let late = tracer.start("late");
    bench.shutdown(LONG);
    drop(late);
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.dropped.shutdown_deadline, 1);
    assert!(memory.spans().is_empty());
}

/// Fails in a chosen way, every other batch.
struct Moody {
    how: fn(usize) -> Result<(), ExportError>,
    calls: Arc<AtomicUsize>,
    name: &'static str,
}

impl Exporter for Moody {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, _spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        (self.how)(self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

fn moody(name: &'static str, how: fn(usize) -> Result<(), ExportError>) -> (InMemory, Bench) {
    keep_warnings();
    let memory = InMemory::new();
    let exporter = Moody {
        how,
        calls: Arc::default(),
        name,
    };
    let otel = Otel::builder().exporter(exporter).exporter(memory.clone());
    (memory, Bench::new(otel.build()))
}

#[test]
fn a_panic_in_an_exporter_is_counted_and_the_thread_goes_on() {
    let (memory, bench) = moody("panicking", |call| match call {
        0 | 1 => panic!("no luck"),
        _ => Ok(()),
    });
    for _ in 0..4 {
        bench.run("fetch");
        assert!(bench.flush().completed);
    }
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (2, 2)
    );
    // The other exporter was not disturbed.
    assert_eq!(memory.spans().len(), 4);
    let failures = sums(&memory.metrics(), "executor.export.failures");
    assert!(
        failures.contains(&("exporter=panicking signal=traces".to_owned(), 2)),
        "{failures:?}"
    );
    // One word when it begins to fail, one when it works again.
    let said = warnings("exporter panicking");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("it panicked: no luck"), "{said:?}");
}

#[test]
fn a_partial_failure_loses_as_many_spans_as_it_says() {
    let (_memory, bench) = moody("partial", |_| Err(ExportError::partial(3, "too many")));
    bench.run_many(10);
    let report = bench.shutdown(LONG);
    assert_eq!(
        (report.spans.exported, report.spans.dropped.export_failed),
        (7, 3)
    );
}

#[test]
fn user_spans_and_process_spans_nest_and_leave_together() {
    let (memory, bench) = memory();
    let provider = bench.pipeline.tracer_provider();
    let tracer = provider.tracer("user");
    bench.run_with("fetch", FINISHED, || {
        tracer.in_span("query", |_| {
            let current = Context::current();
            current.span().add_event("row", vec![]);
        });
    });
    bench.shutdown(LONG);
    let spans = memory.spans();
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (task, query) = (find("fetch"), find("query"));
    assert_eq!(query.parent_span_id, task.span_context.span_id());
    assert_eq!(query.span_context.trace_id(), task.span_context.trace_id());
    assert!(task.start_time <= query.start_time);
    assert_eq!(attribute(task, "task.state").as_deref(), Some("finished"));
}

#[test]
fn unsampled_spans_do_not_leave() {
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .sampler(Sampler::AlwaysOff);
    let bench = Bench::new(otel.build());
    let tracer = bench.pipeline.tracer_provider().tracer("user");
    tracer.start("user").end();
    bench.run("fetch");
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, 0);
    assert_eq!(sums(&memory.metrics(), "process.count").len(), 1);
}

#[test]
fn shutting_the_provider_down_flushes_but_ends_nothing() {
    let (memory, bench) = memory();
    bench.run("first");
    bench.pipeline.tracer_provider().force_flush().unwrap();
    bench.pipeline.tracer_provider().shutdown().unwrap();
    assert_eq!(memory.spans().len(), 1);
    bench.run("second");
    bench.shutdown(LONG);
    assert_eq!(memory.spans().len(), 2);
}

/// Creates spans while it exports, as an instrumented HTTP client would.
struct Noisy(Arc<std::sync::Mutex<Option<opentelemetry_sdk::trace::SdkTracer>>>);

impl Exporter for Noisy {
    fn export_spans(&mut self, _spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        if let Some(tracer) = &*self.0.lock().unwrap() {
            tracer.in_span("POST", |_| {});
        }
        Ok(())
    }
}

#[test]
fn exporters_do_not_trace_themselves() {
    let tracer = Arc::default();
    let bench = Bench::new(Otel::builder().exporter(Noisy(Arc::clone(&tracer))).build());
    *tracer.lock().unwrap() = Some(bench.pipeline.tracer_provider().tracer("http"));
    bench.run("fetch");
    bench.flush();
    bench.flush();
    assert_eq!(bench.shutdown(LONG).spans.produced, 1);
    *tracer.lock().unwrap() = None;
}

/// Tells whether it was shut down, and when the shutdown was announced.
struct Polite(std::sync::mpsc::Sender<&'static str>, Stop);

impl Exporter for Polite {
    fn start(&mut self, stop: &Stop) {
        self.1 = stop.clone();
    }

    fn flush(&mut self) {
        let _ = self.0.send("flush");
    }

    fn shutdown(&mut self) {
        assert!(self.1.deadline().is_some());
        let _ = self.0.send("shutdown");
    }
}

#[test]
fn exporters_are_flushed_and_shut_down_once() {
    let (sender, said) = channel();
    let bench = Bench::new(
        Otel::builder()
            .exporter(Polite(sender, Stop::new()))
            .build(),
    );
    bench.flush();
    bench.shutdown(LONG);
    drop(bench);
    assert_eq!(said.iter().collect::<Vec<_>>(), ["flush", "shutdown"]);
}

#[derive(Debug, Default)]
struct SdkExporter {
    spans: Arc<std::sync::Mutex<Vec<SpanData>>>,
    resource: Option<Resource>,
}

impl SpanExporter for SdkExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.resource.is_none() {
            return Err(OTelSdkError::InternalFailure("no resource".to_owned()));
        }
        self.spans.lock().unwrap().extend(batch);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Some(resource.clone());
    }
}

#[test]
fn an_exporter_of_the_sdk_gets_the_same_spans() {
    let exporter = SdkExporter::default();
    let spans = Arc::clone(&exporter.spans);
    let bench = Bench::new(Otel::builder().exporter(Sdk::new(exporter)).build());
    bench.run_many(3);
    assert_eq!(bench.shutdown(LONG).spans.exported, 3);
    assert_eq!(spans.lock().unwrap().len(), 3);
}
