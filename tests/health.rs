//! The numbers about the runtime itself: each moves when its cause happens, and not otherwise.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use observed::{Observed, Seen, has_ended, idle, on_each, wait_until};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::UnixStream;
use telemetry_rt::otel::{MetricData, WakeCause};
use telemetry_rt::runtime::{Builder, Handle, RuntimeMetrics};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, LocalSet, coop, yield_now};
use telemetry_rt::time::sleep;

const WHILE: Duration = Duration::from_millis(15);
/// What is surely measured of `WHILE`, whose clock is another one.
const MOST: Duration = Duration::from_millis(14);
const FOR_EVER: Duration = Duration::from_secs(1000);

fn workers(workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

/// What all workers have, taken together.
fn all(metrics: &RuntimeMetrics, number: impl Fn(usize) -> u64) -> u64 {
    (0..metrics.num_workers()).map(number).sum()
}

fn histogram_count(seen: &Seen, name: &str) -> u64 {
    match &seen.metric(name).data {
        MetricData::Histogram { points, .. } => points.iter().map(|point| point.count).sum(),
        other => panic!("{name} is {other:?}"),
    }
}

// ----- polls -----

#[test]
fn each_poll_is_in_the_histograms_of_its_worker() {
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    observed.runtime.block_on(async {
        let polled = task::spawn(async {
            for _ in 0..4 {
                thread::sleep(Duration::from_millis(2));
                yield_now().await;
            }
        });
        polled.await.unwrap();
    });
    assert_eq!(metrics.worker_poll_count(0), 5);
    let mean = metrics.worker_mean_poll_time(0);
    assert!(mean >= Duration::from_micros(1_500), "{mean:?}");
    let buckets = metrics.poll_time_histogram_num_buckets();
    let of_poll = |bucket| metrics.poll_time_histogram_bucket_count(0, bucket);
    assert_eq!((0..buckets).map(of_poll).sum::<u64>(), 5);
    let long = (0..buckets).filter(|&bucket| {
        let range = metrics.poll_time_histogram_bucket_range(bucket);
        range.end > Duration::from_millis(2)
    });
    assert!(long.map(of_poll).sum::<u64>() >= 4);
    let buckets = metrics.schedule_latency_histogram_num_buckets();
    let waited = (0..buckets).map(|b| metrics.schedule_latency_histogram_bucket_count(0, b));
    assert_eq!(waited.sum::<u64>(), 5);
    let of_root = metrics.wake_count(WakeCause::Spawn);
    assert_eq!(of_root, 2);
    let seen = observed.end();
    let root_polls = histogram_count(&seen, "executor.poll.duration") - 5;
    assert_eq!(
        root_polls,
        histogram_count(&seen, "executor.schedule.delay") - 5
    );
    assert_eq!(root_polls, 2, "block_on was polled twice");
}

#[test]
fn the_buckets_cover_all_times_without_a_gap() {
    let metrics = Observed::one_thread().runtime.handle().metrics();
    let ranges = (0..metrics.poll_time_histogram_num_buckets())
        .map(|bucket| metrics.poll_time_histogram_bucket_range(bucket));
    let end = ranges.fold(Duration::ZERO, |end, range| {
        assert_eq!(range.start, end);
        range.end
    });
    assert_eq!(end, Duration::MAX);
}

#[test]
fn a_task_that_uses_its_budget_up_is_made_to_yield() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let metrics = observed.runtime.handle().metrics();
        observed.runtime.block_on(async {
            task::spawn(yield_now()).await.unwrap();
            let spends = task::spawn(async {
                for _ in 0..1_000 {
                    coop::consume_budget().await;
                }
            });
            spends.await.unwrap();
        });
        // 128 operations a poll.
        assert_eq!(metrics.budget_forced_yield_count(), 1_000 / 128);
        let seen = observed.end();
        assert_eq!(seen.total("executor.yields.forced", &[]), 7.0);
    });
}

// ----- workers -----

/// Whether two readings are of one time: the scale of the clock becomes more precise meanwhile.
fn is_same(first: Duration, second: Duration) -> bool {
    first.abs_diff(second) <= first / 1_000
}

#[test]
fn a_worker_is_busy_only_while_it_is() {
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    let busy = || metrics.worker_total_busy_duration(0);
    assert_eq!(busy(), Duration::ZERO, "nobody has run it");
    observed.runtime.block_on(async {
        task::spawn(async { thread::sleep(WHILE) }).await.unwrap();
    });
    let worked = busy();
    assert!(worked >= MOST, "{worked:?}");
    thread::sleep(WHILE);
    assert!(is_same(busy(), worked), "nobody runs it");
    observed.runtime.block_on(async {
        let (sender, receiver) = oneshot::channel();
        let metrics = Handle::current().metrics();
        thread::spawn(move || {
            wait_until(|| metrics.worker_park_count(0) > 0);
            let before = metrics.worker_total_busy_duration(0);
            thread::sleep(WHILE);
            let asleep = metrics.worker_total_busy_duration(0);
            sender.send((before, asleep)).unwrap();
        });
        let (before, asleep) = receiver.await.unwrap();
        assert!(is_same(before, asleep), "it sleeps");
    });
    let handle = observed.runtime.handle().clone();
    let seen = observed.end();
    let at_end = handle.metrics().worker_total_busy_duration(0);
    thread::sleep(WHILE);
    assert!(is_same(
        handle.metrics().worker_total_busy_duration(0),
        at_end
    ));
    let exported = seen.total("executor.worker.busy", &[("worker.index", "0")]);
    assert!(
        (exported - at_end.as_secs_f64()).abs() < 1e-3,
        "{exported} {at_end:?}"
    );
}

#[test]
fn workers_that_sleep_are_not_busy_and_one_that_works_is() {
    let observed = Observed::new(workers(2));
    let metrics = observed.runtime.handle().metrics();
    let busy = || {
        (0..2)
            .map(|worker| metrics.worker_total_busy_duration(worker))
            .sum::<Duration>()
    };
    let stands_still = || {
        let before = busy();
        thread::sleep(Duration::from_millis(3));
        is_same(busy(), before)
    };
    wait_until(stands_still);
    let before = busy();
    observed.runtime.block_on(async {
        task::spawn(async { thread::sleep(WHILE) }).await.unwrap();
    });
    assert!(busy() - before >= MOST);
    wait_until(stands_still);
    let handle = observed.runtime.handle().clone();
    observed.end();
    let at_end = handle.metrics().worker_total_busy_duration(1);
    thread::sleep(Duration::from_millis(3));
    assert!(is_same(
        handle.metrics().worker_total_busy_duration(1),
        at_end
    ));
}

#[test]
fn busy_time_never_falls_back() {
    let observed = Observed::new(workers(2));
    let metrics = observed.runtime.handle().metrics();
    let working = observed.runtime.spawn(async {
        for _ in 0..200 {
            sleep(Duration::from_micros(200)).await;
        }
    });
    let mut last = [Duration::ZERO; 2];
    while !working.is_finished() {
        for (worker, last) in last.iter_mut().enumerate() {
            let now = metrics.worker_total_busy_duration(worker);
            assert!(
                now >= *last || is_same(now, *last),
                "{now:?} after {last:?}"
            );
            *last = now.max(*last);
        }
    }
}

#[test]
fn a_worker_that_has_work_does_not_park() {
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    observed.runtime.block_on(async {
        for _ in 0..10 {
            task::spawn(yield_now()).await.unwrap();
        }
    });
    assert_eq!(metrics.worker_park_count(0), 0);
    observed
        .runtime
        .block_on(async { sleep(Duration::from_millis(1)).await });
    assert!(metrics.worker_park_count(0) >= 1);
    // Each sleep is over by now.
    assert_eq!(
        metrics.worker_park_unpark_count(0),
        2 * metrics.worker_park_count(0)
    );
    let parks = metrics.worker_park_count(0) as f64;
    assert_eq!(observed.end().total("executor.worker.parks", &[]), parks);
}

/// What it is woken for need not be a task: here it is the future of `block_on`.
#[test]
fn a_worker_that_is_woken_for_block_on_is_not_woken_in_vain() {
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    observed.runtime.block_on(async {
        for _ in 0..5 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(metrics.worker_park_count(0) >= 5);
    assert_eq!(metrics.worker_noop_count(0), 0);
    assert_eq!(
        observed.end().total("executor.worker.wakeups.empty", &[]),
        0.0
    );
}

/// One worker calls the other for a task that is done before the other has got up.
#[test]
fn a_worker_that_finds_nothing_when_it_is_woken_is_counted() {
    let observed = Observed::new(workers(2));
    let metrics = observed.runtime.handle().metrics();
    wait_until(|| {
        observed.runtime.block_on(async {
            let spawner = task::spawn(async {
                task::spawn(async {});
                task::spawn(async {});
            });
            spawner.await.unwrap();
        });
        all(&metrics, |worker| metrics.worker_noop_count(worker)) > 0
    });
    let seen = observed.end();
    let exported = seen.total("executor.worker.wakeups.empty", &[]);
    assert!(exported >= 1.0);
}

#[test]
fn tasks_that_another_worker_takes_are_counted() {
    const TASKS: usize = 100;
    let observed = Observed::new(workers(2));
    let metrics = observed.runtime.handle().metrics();
    let done = Arc::new(AtomicUsize::new(0));
    let spawner = observed.runtime.spawn({
        let done = Arc::clone(&done);
        async move {
            for _ in 0..TASKS {
                let done = Arc::clone(&done);
                task::spawn(async move { done.fetch_add(1, SeqCst) });
            }
            // The last one is next on this worker, which nobody takes from it.
            wait_until(|| done.load(SeqCst) == TASKS - 1);
        }
    });
    observed.runtime.block_on(spawner).unwrap();
    wait_until(|| done.load(SeqCst) == TASKS);
    let stolen = all(&metrics, |worker| metrics.worker_steal_count(worker));
    assert!(stolen >= TASKS as u64 - 1, "{stolen}");
    let thefts = all(&metrics, |worker| metrics.worker_steal_operations(worker));
    assert!(thefts >= 1 && thefts <= stolen, "{thefts} of {stolen}");
    let seen = observed.end();
    assert_eq!(
        seen.total("executor.worker.tasks.stolen", &[]),
        stolen as f64
    );
    assert_eq!(seen.total("executor.worker.steals", &[]), thefts as f64);
}

#[test]
fn one_worker_steals_from_nobody() {
    let observed = Observed::new(workers(1));
    let metrics = observed.runtime.handle().metrics();
    observed.runtime.block_on(async {
        let tasks: Vec<_> = (0..100).map(|_| task::spawn(yield_now())).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(metrics.worker_steal_operations(0), 0);
}

#[test]
fn a_worker_is_on_a_thread_only_while_one_runs_it() {
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    assert_eq!(metrics.worker_thread_id(0), None);
    let inside = observed
        .runtime
        .block_on(async { Handle::current().metrics().worker_thread_id(0) });
    assert_eq!(inside, Some(thread::current().id()));
    assert_eq!(metrics.worker_thread_id(0), None, "nobody blocks on it");
    let observed = Observed::new(workers(1));
    let metrics = observed.runtime.handle().metrics();
    let here = observed
        .runtime
        .block_on(async { task::spawn(async { thread::current().id() }).await.unwrap() });
    assert_eq!(metrics.worker_thread_id(0), Some(here));
    observed.end();
    assert_eq!(metrics.worker_thread_id(0), None, "it has ended");
}

#[test]
#[should_panic = "index"]
fn a_worker_that_there_is_not_is_a_mistake_of_the_caller() {
    let observed = Observed::one_thread();
    observed
        .runtime
        .handle()
        .metrics()
        .worker_local_queue_depth(1);
}

// ----- queues -----

#[test]
fn queues_are_as_deep_as_tasks_wait_in_them() {
    on_each(|mut builder| {
        builder.worker_threads(1);
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let (outside, inside) = (handle.clone(), handle.clone());
        let measures = async move {
            let tasks: Vec<_> = (0..4).map(|_| task::spawn(async {})).collect();
            thread::spawn(move || drop([0; 5].map(|_| outside.spawn(async {}))))
                .join()
                .unwrap();
            let metrics = inside.metrics();
            let depths = (
                metrics.worker_local_queue_depth(0),
                metrics.global_queue_depth(),
            );
            assert_eq!(metrics.num_alive_tasks(), 10);
            (depths, tasks)
        };
        let depths = observed.runtime.block_on(async {
            let (depths, tasks) = task::spawn(measures).await.unwrap();
            for task in tasks {
                task.await.unwrap();
            }
            depths
        });
        // The one that is next to run is not counted.
        assert_eq!(depths, (3, 5));
        drop(handle);
    });
}

#[test]
fn tasks_are_counted_by_where_they_were_queued_from() {
    let observed = Observed::new(workers(1));
    let metrics = observed.runtime.handle().metrics();
    let spawner = observed.runtime.spawn(async {
        for _ in 0..7 {
            task::spawn(async {});
        }
        yield_now().await;
    });
    while !spawner.is_finished() || metrics.num_alive_tasks() > 0 {
        thread::yield_now();
    }
    assert_eq!(metrics.remote_schedule_count(), 1);
    // Seven that were spawned, and the spawner once more.
    assert_eq!(metrics.worker_local_schedule_count(0), 8);
    let seen = observed.end();
    assert_eq!(
        seen.total("executor.schedules", &[("origin", "worker")]),
        8.0
    );
    assert_eq!(
        seen.total("executor.schedules", &[("origin", "outside")]),
        1.0
    );
}

#[test]
fn live_tasks_are_those_that_have_not_ended() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let metrics = observed.runtime.handle().metrics();
        assert_eq!(metrics.num_alive_tasks(), 0);
        observed.runtime.block_on(async {
            let tasks: Vec<_> = (0..10).map(|_| task::spawn(pending::<()>())).collect();
            let metrics = Handle::current().metrics();
            assert_eq!(metrics.num_alive_tasks(), 10);
            for task in &tasks[..4] {
                task.abort();
                has_ended(&task.abort_handle()).await;
            }
            while metrics.num_alive_tasks() > 6 {
                yield_now().await;
            }
            assert_eq!(metrics.num_alive_tasks(), 6);
            assert_eq!(metrics.spawned_tasks_count(), 10);
        });
        observed.runtime.flush(Duration::from_secs(20)).unwrap();
        let memory = observed.memory.clone();
        let seen = Seen {
            spans: Vec::new(),
            metrics: memory.metrics(),
        };
        assert_eq!(seen.total("executor.tasks.live", &[]), 6.0);
        assert_eq!(observed.end().total("executor.tasks.live", &[]), 0.0);
        assert_eq!(metrics.num_alive_tasks(), 0);
    });
}

// ----- the blocking pool -----

#[test]
fn the_blocking_pool_tells_its_threads_and_who_waits_for_them() {
    on_each(|mut builder| {
        builder.max_blocking_threads(2);
        let observed = Observed::new(builder);
        let metrics = observed.runtime.handle().metrics();
        let pool = || {
            let threads = (
                metrics.num_blocking_threads(),
                metrics.num_idle_blocking_threads(),
            );
            (threads, metrics.blocking_queue_depth())
        };
        assert_eq!(pool(), ((0, 0), 0));
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(parking_lot::Mutex::new(released));
        let functions = [0; 5].map(|_| {
            let released = Arc::clone(&released);
            observed
                .runtime
                .spawn_blocking(move || released.lock().recv().is_err())
        });
        wait_until(|| pool() == ((2, 0), 3));
        drop(release);
        wait_until(|| pool() == ((2, 2), 0));
        assert!(functions.iter().all(task::JoinHandle::is_finished));
        assert_eq!(metrics.blocking_queue_delay().count, 5);
        let seen = observed.end();
        assert_eq!(pool(), ((0, 0), 0));
        assert_eq!(histogram_count(&seen, "executor.blocking.queue.delay"), 5);
        assert_eq!(histogram_count(&seen, "executor.poll.duration"), 0);
        assert_eq!(seen.total("executor.blocking.threads", &[]), 0.0);
    });
}

// ----- the driver -----

#[test]
fn descriptors_are_counted_when_they_come_and_when_they_go() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            let metrics = Handle::current().metrics();
            let counts = || {
                let registered = metrics.io_driver_fd_registered_count();
                (registered, metrics.io_driver_fd_deregistered_count())
            };
            let (before, gone) = counts();
            let pair = UnixStream::pair().unwrap();
            assert_eq!(counts(), (before + 2, gone));
            drop(pair);
            assert_eq!(counts(), (before + 2, gone + 2));
        });
        let seen = observed.end();
        assert_eq!(seen.total("executor.driver.descriptors", &[]), 0.0);
    });
}

#[test]
fn events_of_sockets_are_counted() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let metrics = observed.runtime.handle().metrics();
        observed
            .runtime
            .block_on(async { task::spawn(yield_now()).await.unwrap() });
        assert_eq!(metrics.io_driver_ready_count(), 0);
        observed.runtime.block_on(async {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let reads = task::Builder::new()
                .name("reads")
                .spawn(async move { near.read_u8().await.unwrap() });
            idle("reads").await;
            far.write_all(b"x").await.unwrap();
            reads.await.unwrap();
        });
        assert!(metrics.io_driver_ready_count() >= 1);
        let events = metrics.io_driver_ready_count() as f64;
        let seen = observed.end();
        assert!(seen.total("executor.driver.events", &[("kind", "io")]) >= events);
        assert_eq!(
            seen.total("executor.driver.events", &[("kind", "timer")]),
            0.0
        );
    });
}

#[cfg(unix)]
#[test]
fn signals_are_counted_and_wake_as_the_driver() {
    use telemetry_rt::signal::unix::{SignalKind, signal};
    let observed = Observed::one_thread();
    let metrics = observed.runtime.handle().metrics();
    observed.runtime.block_on(async {
        let mut signals = signal(SignalKind::user_defined2()).unwrap();
        let waits = task::Builder::new()
            .name("waits")
            .spawn(async move { signals.recv().await });
        idle("waits").await;
        // SAFETY: there is a handler for it.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        waits.await.unwrap().unwrap();
    });
    assert!(metrics.wake_count(WakeCause::Driver) >= 1);
    let seen = observed.end();
    let signals = seen.total("executor.driver.events", &[("kind", "signal")]);
    assert!(signals >= 1.0, "{signals}");
    let waits = seen.named("waits");
    assert!(observed::number(waits, "task.idle_io_ns") > 0, "{waits:?}");
}

#[test]
fn timers_are_counted_while_they_are_set_and_when_they_fire() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let metrics = observed.runtime.handle().metrics();
        observed.runtime.block_on(async {
            let names = ["one", "two", "three"];
            let sleepers = names.map(|name| task::Builder::new().name(name).spawn(sleep(FOR_EVER)));
            for name in names {
                idle(name).await;
            }
            let metrics = Handle::current().metrics();
            assert_eq!(metrics.num_timers(), 3);
            for sleeper in sleepers {
                sleeper.abort();
                assert!(sleeper.await.is_err());
            }
            assert_eq!(metrics.num_timers(), 0);
            assert_eq!(metrics.timers_fired_count(), 0, "they were cancelled");
            for _ in 0..3 {
                sleep(Duration::from_millis(1)).await;
            }
        });
        // A turn is counted when the worker has come out of it.
        wait_until(|| metrics.timers_fired_count() == 3);
        let seen = observed.end();
        assert_eq!(
            seen.total("executor.driver.events", &[("kind", "timer")]),
            3.0
        );
        assert_eq!(seen.total("executor.timers", &[]), 0.0);
    });
}

// ----- all of them -----

/// Tasks of a set are not in the scheduler's queues, and are polled all the same.
#[test]
fn local_tasks_are_in_the_histograms() {
    let observed = Observed::one_thread();
    LocalSet::new().block_on(&observed.runtime, async {
        task::spawn_local(yield_now()).await.unwrap();
    });
    let metrics = observed.runtime.handle().metrics();
    assert_eq!(metrics.wake_count(WakeCause::Spawn), 2);
    assert_eq!(metrics.worker_poll_count(0), 0);
    assert!(histogram_count(&observed.end(), "executor.poll.duration") >= 4);
}

#[test]
fn after_the_end_of_the_runtime_its_numbers_stay_and_its_gauges_are_zero() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        observed.runtime.block_on(async {
            task::spawn(pending::<()>());
            task::spawn(sleep(FOR_EVER));
            let (mut near, far) = UnixStream::pair().unwrap();
            task::spawn(async move { near.read_u8().await.map(|_| drop(far)) });
            task::spawn_blocking(|| ()).await.unwrap();
            yield_now().await;
        });
        let seen = observed.end();
        let gauges = [
            "executor.tasks.live",
            "executor.queue.depth",
            "executor.blocking.threads",
            "executor.blocking.queue.depth",
            "executor.driver.descriptors",
            "executor.timers",
        ];
        for name in gauges {
            assert_eq!(seen.total(name, &[]), 0.0, "{name}");
        }
        let metrics = handle.metrics();
        assert_eq!(metrics.num_alive_tasks(), 0);
        assert_eq!(metrics.num_timers(), 0);
        assert_eq!(metrics.global_queue_depth(), 0);
        assert_eq!(metrics.num_blocking_threads(), 0);
        let registered = metrics.io_driver_fd_registered_count();
        assert_eq!(registered, metrics.io_driver_fd_deregistered_count());
        assert_eq!(metrics.spawned_tasks_count(), 3);
        assert!(handle.dump_tasks().tasks.is_empty());
        assert!(!handle.flight_record().lanes.is_empty());
    });
}

#[test]
fn code_and_exporters_are_told_the_same_numbers() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        observed.runtime.block_on(async {
            for _ in 0..20 {
                task::spawn(sleep(Duration::from_micros(100)))
                    .await
                    .unwrap();
                task::spawn_blocking(|| ()).await.unwrap();
            }
        });
        let seen = observed.end();
        let metrics = handle.metrics();
        let each =
            |number: fn(&RuntimeMetrics, usize) -> u64| all(&metrics, |w| number(&metrics, w));
        for (name, attributes, in_code) in [
            ("executor.workers", &[][..], metrics.num_workers() as u64),
            (
                "executor.worker.parks",
                &[],
                each(RuntimeMetrics::worker_park_count),
            ),
            (
                "executor.worker.wakeups.empty",
                &[],
                each(RuntimeMetrics::worker_noop_count),
            ),
            (
                "executor.worker.steals",
                &[],
                each(RuntimeMetrics::worker_steal_operations),
            ),
            (
                "executor.worker.tasks.stolen",
                &[],
                each(RuntimeMetrics::worker_steal_count),
            ),
            (
                "executor.schedules",
                &[("origin", "worker")],
                each(RuntimeMetrics::worker_local_schedule_count),
            ),
            (
                "executor.schedules",
                &[("origin", "outside")],
                metrics.remote_schedule_count(),
            ),
            (
                "executor.yields.forced",
                &[],
                metrics.budget_forced_yield_count(),
            ),
            ("executor.polls.slow", &[], metrics.slow_poll_count()),
            (
                "executor.driver.events",
                &[("kind", "io")],
                metrics.io_driver_ready_count(),
            ),
            (
                "executor.driver.events",
                &[("kind", "timer")],
                metrics.timers_fired_count(),
            ),
            (
                "executor.wakes",
                &[("cause", "timer")],
                metrics.wake_count(WakeCause::Timer),
            ),
            (
                "executor.wakes",
                &[("cause", "blocking")],
                metrics.wake_count(WakeCause::Blocking),
            ),
        ] {
            assert_eq!(
                seen.total(name, attributes),
                in_code as f64,
                "{name} {attributes:?}"
            );
        }
        assert_eq!(
            histogram_count(&seen, "executor.blocking.queue.delay"),
            metrics.blocking_queue_delay().count
        );
    });
}
