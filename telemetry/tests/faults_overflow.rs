//! Every way of a span is filled until it overflows: memory is bounded, and each span that is lost is
//! counted by its cause and exported as a number.

mod common;
mod memory;

use std::panic::Location;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use common::{Bench, FINISHED, LONG, TASK, assert_losses_are_exported, done, task};
use memory::{Growth, MIB};
use opentelemetry::trace::Tracer;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::{
    ExportError, Exporter, InMemory, Only, Otel, Pipeline, Signal,
};
use telemetry_rt_telemetry::record::{
    Lineage, PollDetail, PollEnd, PollGuard, Recorder, Spawning, Waiting,
};

/// Hangs until the sender is gone, and forgets what it gets.
struct Gate(Receiver<()>);

impl Exporter for Gate {
    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        let _ = self.0.recv();
        Ok(())
    }
}

const RING: usize = 256;
const QUEUE: usize = 1000;
const BATCH: usize = 100;

/// As much as all that waits may take: 200 bytes for a record, below 1 kB for a user's span, and
/// what is in the exporter's hand.
const BOUND: i64 = 2 * MIB;

/// A bench whose spans stay where they are until the sender is dropped, and the metrics it exports.
fn stuck() -> (Sender<()>, InMemory, Bench) {
    let (open, gate) = channel();
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(Gate(gate))
        .exporter(Only::new(Signal::Metrics, memory.clone()));
    let otel = otel.span_ring(RING).queue_size(QUEUE).batch_size(BATCH);
    (open, memory, Bench::new(otel.build()))
}

#[test]
fn a_worker_and_users_overflow_the_queue_and_memory_stays() {
    let _alone = memory::alone();
    const MANY: usize = 100_000;
    let (open, memory, bench) = stuck();
    let tracer = bench.pipeline.tracer_provider();
    // What each thread and each kind needs once is there before it is measured.
    bench.run_many(2 * QUEUE);
    let growth = Growth::begin();
    thread::scope(|scope| {
        for _ in 0..2 {
            use opentelemetry::trace::TracerProvider;
            let tracer = tracer.tracer("user");
            scope.spawn(move || (0..MANY / 10).for_each(|_| drop(tracer.start("user"))));
        }
        bench.run_many(MANY);
    });
    growth.assert_below(BOUND);

    let before = bench.pipeline.account();
    let left = (QUEUE + BATCH + RING) as u64;
    assert!(
        before.is_balanced() && before.in_flight <= left,
        "{before:?}"
    );
    drop(open);
    let report = bench.shutdown(LONG);
    assert!(report.completed);
    assert_eq!(report.spans.produced, (2 * QUEUE + MANY + MANY / 5) as u64);
    assert!(report.spans.exported <= left, "{report:?}");
    assert!(report.spans.dropped.queue_full > 0, "{report:?}");
    assert_losses_are_exported(&report, &memory.metrics());
}

#[test]
fn the_way_of_all_other_threads_overflows_and_is_counted() {
    let _alone = memory::alone();
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .span_ring(4)
        .build();
    let recorder = Recorder::new(otel.recorder_config(1));
    thread::scope(|scope| {
        for thread in 0..4 {
            let recorder = &recorder;
            scope.spawn(move || {
                let other = recorder.other();
                for id in 0..100 {
                    let mut account = recorder.spawned(Spawning {
                        meta: &TASK,
                        name: None,
                        site: Location::caller(),
                        lineage: Lineage::Inherit,
                    });
                    let process = &mut task(&mut account, thread * 100 + id);
                    drop(other.ended(process, FINISHED));
                }
            });
        }
    });
    // The drain starts only now, so the way was full for sure.
    let pipeline = Pipeline::start(otel, recorder).unwrap();
    let report = pipeline.shutdown(LONG);
    assert!(report.spans.is_balanced(), "{report:?}");
    assert_eq!((report.spans.produced, report.spans.exported), (400, 4));
    assert_eq!(report.spans.dropped.ring_full, 396);
    assert_losses_are_exported(&report, &memory.metrics());
}

/// A process that is polled so often, and ends.
fn poll(bench: &Bench, polls: u32) {
    let mut account = bench.spawn(Some("polled"));
    let wake = account.first_wake();
    let process = &mut task(&mut account, 1);
    bench.worker.resumed();
    for number in 1..=polls {
        let mut poll = PollGuard::default();
        bench.worker.poll_started(&mut poll, process, &wake);
        let end = PollEnd {
            waiting: (number < polls).then_some(Waiting::Other),
            ..done(1)
        };
        bench.worker.poll_ended(&mut poll, process, end);
    }
    drop(bench.worker.ended(process, FINISHED));
}

const POLLS: u32 = 100_000;

#[test]
fn events_of_polls_are_the_first_ones_and_a_number() {
    let _alone = memory::alone();
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    bench.recorder.set_poll_detail(PollDetail::Events);
    let growth = Growth::begin();
    poll(&bench, POLLS);
    growth.assert_below(MIB);
    bench.shutdown(LONG);
    let events = &memory.spans()[0].events;
    assert_eq!(
        (events.events.len(), events.dropped_count),
        (128, POLLS - 128)
    );
}

#[test]
fn spans_of_polls_are_spans_like_any_and_are_dropped_like_them() {
    let _alone = memory::alone();
    let (open, memory, bench) = stuck();
    bench.recorder.set_poll_detail(PollDetail::Spans);
    bench.run_many(2 * QUEUE);
    let growth = Growth::begin();
    poll(&bench, POLLS);
    growth.assert_below(BOUND);
    drop(open);
    let report = bench.shutdown(LONG);
    let of_polls = 2 * QUEUE as u64 + u64::from(POLLS);
    assert_eq!(report.spans.produced, of_polls + 2 * QUEUE as u64 + 1);
    assert!(
        report.spans.dropped.total() > u64::from(POLLS) / 2,
        "{report:?}"
    );
    assert_losses_are_exported(&report, &memory.metrics());
}

#[test]
fn names_of_threads_and_lanes_of_the_flight_recorder_stay_few() {
    let _alone = memory::alone();
    let (_open, _, bench) = stuck();
    let come_and_go = |rounds: usize| {
        for number in 0..rounds {
            drop(bench.recorder.blocking(format!("thread {number}").into()));
            thread::scope(|scope| {
                scope.spawn(|| drop(bench.recorder.block_on()));
            });
        }
    };
    come_and_go(100);
    let growth = Growth::begin();
    come_and_go(1000);
    growth.assert_kept_below(MIB / 8);
    assert!(bench.recorder.flight_record().lanes.len() < 50);
}
