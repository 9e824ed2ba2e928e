//! What is allocated: nothing for a task whose memory another has left, none while recording, and all
//! of it is given back.
//!
//! The tests of this file count the allocations of the whole process, so they take turns.
#![cfg(feature = "telemetry")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use telemetry_rt::otel::{
    ExportError, Exporter, InMemory, MetricData, NameList, Number, Otel, PollDetail,
};
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task;
use telemetry_rt::time::sleep;
use tokio::sync::Notify;

/// Counts on behalf of the tests, and leaves the work to the system's allocator.
struct Counting;

static MADE: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Those of one thread, for where others export meanwhile.
    static MADE_HERE: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    MADE.fetch_add(1, SeqCst);
    // Gone while a thread ends.
    let _ = MADE_HERE.try_with(|made| made.set(made.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        LIVE.fetch_add(1, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(1, SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn metrics_only(memory: &InMemory, workers: usize) -> Runtime {
    let otel = Otel::builder()
        .exporter(memory.clone())
        .task_names(NameList::none())
        .blocking_names(NameList::none())
        .metric_interval(Duration::from_secs(3600))
        .build();
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap()
}

/// Spawns tasks in batches from within a task, and joins them.
async fn spawn_and_join(tasks: usize) {
    let spawner = task::spawn(async move {
        let mut handles = Vec::with_capacity(1000);
        for _ in 0..tasks / 1000 {
            handles.extend((0..1000).map(|_| task::Builder::new().name("one").spawn(work())));
            for handle in handles.drain(..) {
                handle.await.unwrap();
            }
        }
    });
    spawner.await.unwrap();
}

async fn work() {
    task::yield_now().await;
}

fn finished(memory: &InMemory, name: &str) -> i64 {
    let metrics = memory.metrics();
    let count = metrics
        .iter()
        .rfind(|metric| metric.name == "process.count");
    let MetricData::Sum { points, .. } = &count.unwrap().data else {
        panic!("process.count is no sum");
    };
    let of_name = points.iter().filter(|point| {
        let mut attributes = point.attributes.iter();
        attributes.any(|kv| kv.key.as_str() == "name" && kv.value.as_str() == name)
    });
    of_name
        .map(|point| match point.value {
            Number::Int(count) => count,
            Number::Float(_) => panic!("process.count is no whole number"),
        })
        .sum()
}

#[test]
fn a_million_tasks_leave_nothing_behind_and_are_all_in_the_metrics() {
    let _turn = alone();
    let memory = InMemory::new();
    let runtime = metrics_only(&memory, 2);
    runtime.block_on(spawn_and_join(10_000));
    let before = LIVE.load(SeqCst);
    runtime.block_on(spawn_and_join(1_000_000));
    let after = LIVE.load(SeqCst);
    // What remains are the queues' buffers, which are reused.
    assert!(after - before < 200, "{} blocks remain", after - before);
    drop(runtime);
    assert_eq!(finished(&memory, "one"), 1_010_000);
}

#[test]
fn a_task_takes_the_memory_of_another_and_recording_it_none() {
    let _turn = alone();
    let memory = InMemory::new();
    let runtime = metrics_only(&memory, 1);
    runtime.block_on(spawn_and_join(20_000));
    let before = MADE.load(SeqCst);
    runtime.block_on(spawn_and_join(20_000));
    let made = MADE.load(SeqCst) - before;
    // The list of the handles, and what the queues and the drain take, with each batch of a thousand.
    assert!(made < 1_000, "{made} allocations");
}

#[test]
fn a_runtime_that_is_dropped_gives_everything_back() {
    let _turn = alone();
    let once = || {
        let runtime = metrics_only(&InMemory::new(), 2);
        runtime.block_on(async {
            for _ in 0..100 {
                drop(task::spawn(std::future::pending::<()>()));
                drop(task::spawn_blocking(|| ()));
                drop(task::spawn(telemetry_rt::time::sleep(Duration::from_secs(
                    1000,
                ))));
            }
            task::yield_now().await;
        });
    };
    // The first runs make what stays for the process: names, thread-locals.
    for _ in 0..5 {
        once();
    }
    let before = LIVE.load(SeqCst);
    for _ in 0..20 {
        once();
    }
    let after = LIVE.load(SeqCst);
    assert!(
        after - before < 60,
        "{} blocks remain after 20 runtimes",
        after - before
    );
}

#[test]
fn spans_of_a_burst_are_exported_or_counted_as_dropped() {
    #[derive(Clone, Default)]
    struct CountSpans(std::sync::Arc<AtomicU64>);
    impl Exporter for CountSpans {
        fn name(&self) -> &'static str {
            "count"
        }

        fn export_spans(
            &mut self,
            spans: &[opentelemetry_sdk::trace::SpanData],
            _resource: &opentelemetry_sdk::Resource,
        ) -> Result<(), ExportError> {
            self.0.fetch_add(spans.len() as u64, SeqCst);
            Ok(())
        }
    }
    let _turn = alone();
    let exporter = CountSpans::default();
    let otel = Otel::builder().exporter(exporter.clone()).build();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).otel(otel).build().unwrap();
    runtime.block_on(spawn_and_join(200_000));
    let report = runtime.flush(Duration::from_secs(30)).unwrap();
    assert!(report.completed, "{report:?}");
    assert!(report.spans.is_balanced(), "{report:?}");
    // The spawner, and two block_ons or more, are spans as well.
    assert!(report.spans.produced >= 200_001, "{report:?}");
    assert_eq!(report.spans.exported, exporter.0.load(SeqCst), "{report:?}");
}

/// Two tasks that wake each other in turn, yield, sleep now and then, and use their budget up.
async fn wakes_and_waits(rounds: usize) {
    let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (to, from) = (Arc::clone(&ping), Arc::clone(&pong));
    let other = task::spawn(async move {
        for _ in 0..rounds {
            to.notified().await;
            from.notify_one();
        }
    });
    for round in 0..rounds {
        ping.notify_one();
        pong.notified().await;
        task::yield_now().await;
        if round % 64 == 0 {
            sleep(Duration::from_micros(50)).await;
        }
        task::coop::consume_budget().await;
    }
    other.await.unwrap();
}

/// Histograms of polls and delays, wakes by cause, idleness by reason, the flight recorder: all of it
/// is written at each poll, into what is there already.
#[test]
fn polls_wakes_and_waits_are_recorded_without_an_allocation() {
    let _turn = alone();
    for workers in [1, 2] {
        let otel = Otel::builder()
            .exporter(InMemory::new())
            .metric_interval(Duration::from_secs(3600))
            // Its thread looks now and then, and copies the list of lanes for that.
            .stall(None)
            .build();
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).enable_all().otel(otel);
        let runtime = builder.build().unwrap();
        let made = runtime.block_on(async {
            let measures = task::spawn(async {
                wakes_and_waits(2_000).await;
                let before = MADE.load(SeqCst);
                wakes_and_waits(20_000).await;
                MADE.load(SeqCst) - before
            });
            measures.await.unwrap()
        });
        // The other task, its two channels, and its span; of the drain, what one span takes.
        assert!(
            made < 100,
            "{made} allocations in 100,000 polls on {workers} workers"
        );
    }
}

/// How many allocations a task takes on the thread that spawns, polls and ends it.
fn allocations_of_a_task(otel: Otel) -> f64 {
    const TASKS: u32 = 20_000;
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().otel(otel).build().unwrap();
    let made = runtime.block_on(async {
        spawn_and_join(1_000).await;
        let before = MADE_HERE.get();
        spawn_and_join(TASKS as usize).await;
        MADE_HERE.get() - before
    });
    made as f64 / f64::from(TASKS)
}

#[test]
fn a_span_is_two_allocations_on_the_thread_that_records_it() {
    let _turn = alone();
    let exporting = || Otel::builder().exporter(InMemory::new());
    let without = allocations_of_a_task(exporting().without_spans().build());
    assert!((0.0..0.1).contains(&without), "{without} without a span");
    // Its context, and the span in it.
    let with = allocations_of_a_task(exporting().build());
    assert!((2.0..2.1).contains(&with), "{with} with a span");
    let unsampled = exporting().sampler(opentelemetry_sdk::trace::Sampler::AlwaysOff);
    let unsampled = allocations_of_a_task(unsampled.build());
    assert!((0.0..1.1).contains(&unsampled), "{unsampled} unsampled");
}

/// Detail is asked for, and is paid for: by notes that grow with the number of polls.
#[test]
fn events_of_polls_take_a_list_that_grows() {
    let _turn = alone();
    let otel = Otel::builder()
        .exporter(InMemory::new())
        .poll_detail(PollDetail::Events);
    let with = allocations_of_a_task(otel.build());
    // The place for it, the list, and the box that it leaves in.
    assert!((3.0..5.1).contains(&with), "{with} with two events");
}

#[test]
fn recording_that_is_switched_off_allocates_nothing() {
    let _turn = alone();
    let otel = Otel::builder().exporter(InMemory::new()).build();
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().otel(otel).build().unwrap();
    let made = runtime.block_on(async {
        Handle::current().set_recording(false);
        // Below a span of its own every task inherits a context, which is counted, not copied.
        spawn_and_join(1_000).await;
        let before = MADE_HERE.get();
        spawn_and_join(10_000).await;
        MADE_HERE.get() - before
    });
    assert!(made < 1_000, "{made} allocations");
}
