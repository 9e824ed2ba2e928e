//! The flight record of a real runtime: what each of its threads did last.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use observed::{Observed, idle, live, on_each, wait_until};
use serde_json::Value;
use telemetry_rt::otel::flight::{Program, to_perfetto};
use telemetry_rt::otel::{FlightRecord, Lane, LaneKind, Moment, Waiting, WakeCause};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, block_in_place, yield_now};
use telemetry_rt::time::sleep;

const SHORT: Duration = Duration::from_millis(2);

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

fn workers(workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

/// A poll on a lane: what began, and how it ended, if it has.
#[derive(Debug)]
struct Poll {
    name: String,
    task: u64,
    cause: WakeCause,
    then: Option<Option<Waiting>>,
}

/// The polls of a lane. Each begins when the one before has ended, and ends as itself.
#[track_caller]
fn polls(record: &FlightRecord, lane: &Lane) -> Vec<Poll> {
    let mut polls: Vec<Poll> = Vec::new();
    let is_whole = lane.overwritten == 0;
    for event in &lane.events {
        match event.moment {
            Moment::PollStarted { task, kind, cause } => {
                let open = polls.last().filter(|poll| poll.then.is_none());
                assert!(open.is_none(), "{:?} within {open:?}", event.moment);
                polls.push(Poll {
                    name: record.kinds[kind as usize].name.to_owned(),
                    task,
                    cause,
                    then: None,
                });
            }
            Moment::PollEnded { task, waiting } => match polls.last_mut() {
                Some(poll) => {
                    assert_eq!(poll.task, task, "{lane:?}");
                    assert!(poll.then.replace(waiting).is_none(), "{lane:?}");
                }
                None => assert!(!is_whole, "an end without a start: {lane:?}"),
            },
            _ => {}
        }
    }
    polls
}

/// The lanes on which the process of this name was polled, and its polls there.
#[track_caller]
fn lanes_of<'a>(record: &'a FlightRecord, name: &str) -> Vec<(&'a Lane, Vec<Poll>)> {
    let lanes = record.lanes.iter().map(|lane| {
        let polls = polls(record, lane).into_iter();
        (
            lane,
            polls.filter(|poll| poll.name == name).collect::<Vec<_>>(),
        )
    });
    lanes.filter(|(_, polls)| !polls.is_empty()).collect()
}

#[track_caller]
fn lane_of<'a>(record: &'a FlightRecord, name: &str) -> (&'a Lane, Vec<Poll>) {
    let mut lanes = lanes_of(record, name);
    assert_eq!(lanes.len(), 1, "{name} in {lanes:?}");
    lanes.remove(0)
}

fn ends(polls: &[Poll]) -> Vec<Option<Waiting>> {
    polls.iter().map(|poll| poll.then.unwrap()).collect()
}

#[test]
fn each_poll_of_a_task_is_on_the_lane_of_its_worker() {
    for builder in [Builder::new_current_thread(), workers(1)] {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            let polled = named("polled").spawn(async {
                yield_now().await;
                sleep(SHORT).await;
            });
            polled.await.unwrap();
        });
        let record = observed.runtime.handle().flight_record();
        let (lane, polls) = lane_of(&record, "polled");
        assert_eq!(lane.kind, LaneKind::Worker(0));
        assert_eq!(&*lane.name, "worker 0");
        let causes = polls.iter().map(|poll| poll.cause);
        assert!(causes.eq([WakeCause::Spawn, WakeCause::Task, WakeCause::Timer]));
        let expected = [Some(Waiting::Other), Some(Waiting::Timer), None];
        assert_eq!(ends(&polls), expected);
        assert!(record.lanes.iter().all(|lane| lane.overwritten == 0));
    }
}

#[test]
fn moments_of_a_lane_are_in_the_order_of_time_and_before_the_record() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            for _ in 0..20 {
                task::spawn(sleep(Duration::from_micros(100)))
                    .await
                    .unwrap();
                task::spawn_blocking(|| ()).await.unwrap();
            }
        });
        let record = observed.runtime.handle().flight_record();
        for lane in &record.lanes {
            let polled = lane.events.iter().filter(|event| {
                // A wake has the time at which the poll began that it happened in.
                !matches!(event.moment, Moment::Woke { .. })
            });
            let times: Vec<_> = polled.map(|event| event.at).collect();
            assert!(times.is_sorted(), "{lane:?}");
        }
        let last = record.lanes.iter().flat_map(|lane| lane.events.last());
        assert!(last.clone().count() >= 3);
        // Idle threads park while the record is taken.
        assert!(last.filter(|event| event.at <= record.at).count() >= 1);
    });
}

#[test]
fn a_wake_is_on_the_lane_that_it_came_from() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let woken = observed.runtime.block_on(async {
            let (sender, receiver) = oneshot::channel();
            let receives = named("receives").spawn(receiver);
            idle("receives").await;
            let woken = live(&Handle::current(), "receives").unwrap().id;
            let sends = named("sends").spawn_blocking(move || sender.send(()).unwrap());
            sends.await.unwrap();
            receives.await.unwrap().unwrap();
            woken
        });
        let record = observed.runtime.handle().flight_record();
        let (lane, _) = lane_of(&record, "sends");
        assert_eq!(lane.kind, LaneKind::Blocking);
        let waking: Vec<_> = record
            .lanes
            .iter()
            .filter(|lane| {
                let mut events = lane.events.iter();
                events.any(|event| event.moment == Moment::Woke { task: woken })
            })
            .map(|lane| lane.kind)
            .collect();
        assert_eq!(waking, [LaneKind::Blocking]);
    });
}

#[test]
fn a_thread_of_the_blocking_pool_has_a_lane_with_its_name() {
    let mut builder = Builder::new_current_thread();
    builder.thread_name("shop");
    let observed = Observed::new(builder);
    let name = observed.runtime.block_on(async {
        let function = || thread::current().name().unwrap().to_owned();
        named("function").spawn_blocking(function).await.unwrap()
    });
    // Its end is noted behind the wake of whoever awaits it.
    let record = || observed.runtime.handle().flight_record();
    let record = record();
    let (lane, polls) = lane_of(&record, "function");
    assert_eq!((&*lane.name, lane.kind), (&*name, LaneKind::Blocking));
    assert_eq!(name, "shop-blocking-0");
    assert_eq!(ends(&polls), [None]);
}

async fn root() {
    sleep(SHORT).await;
}

#[test]
fn the_future_of_block_on_has_a_lane_with_the_name_of_its_thread() {
    for builder in [Builder::new_current_thread(), workers(1)] {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let thread = thread::Builder::new().name("main-like".to_owned());
        let record = thread::scope(|scope| {
            let blocks = move || {
                observed.runtime.block_on(root());
                observed.runtime.block_on(root());
                handle.flight_record()
            };
            thread.spawn_scoped(scope, blocks).unwrap().join().unwrap()
        });
        let (lane, polls) = lane_of(&record, "root");
        assert_eq!((&*lane.name, lane.kind), ("main-like", LaneKind::BlockOn));
        let expected = [Some(Waiting::Timer), None];
        assert_eq!(ends(&polls), [expected, expected].concat());
    }
}

#[test]
fn a_worker_that_sleeps_parks_and_goes_on() {
    for builder in [Builder::new_current_thread(), workers(1)] {
        let observed = Observed::new(builder);
        let parks = || {
            let record = observed.runtime.handle().flight_record();
            let moments = record.lanes[0].events.iter().map(|event| event.moment);
            let is_park = |moment: &Moment| matches!(moment, Moment::Parked | Moment::Unparked);
            moments.filter(is_park).collect::<Vec<_>>()
        };
        // On a busy machine a timer may be due before the worker gets to sleep.
        while parks().len() < 4 {
            observed.runtime.block_on(async {
                task::spawn(sleep(SHORT)).await.unwrap();
            });
        }
        for (index, moment) in parks().into_iter().enumerate() {
            assert_eq!(moment, [Moment::Parked, Moment::Unparked][index % 2]);
        }
    }
}

#[test]
fn a_theft_is_on_the_lane_of_the_thief() {
    const TASKS: usize = 50;
    let observed = Observed::new(workers(2));
    let done = Arc::new(AtomicUsize::new(0));
    let spawner = named("spawner").spawn_on(
        {
            let done = Arc::clone(&done);
            async move {
                for _ in 0..TASKS {
                    let done = Arc::clone(&done);
                    named("stolen").spawn(async move { done.fetch_add(1, SeqCst) });
                }
                wait_until(|| done.load(SeqCst) == TASKS - 1);
            }
        },
        observed.runtime.handle(),
    );
    observed.runtime.block_on(spawner).unwrap();
    let record = observed.runtime.handle().flight_record();
    let (robbed, _) = lane_of(&record, "spawner");
    let LaneKind::Worker(robbed) = robbed.kind else {
        panic!("{robbed:?}");
    };
    let thief = &record.lanes[1 - usize::from(robbed)];
    let thefts = thief.events.iter().filter_map(|event| match event.moment {
        Moment::Stole { victim, tasks } => Some((victim, tasks)),
        _ => None,
    });
    let thefts: Vec<_> = thefts.collect();
    assert!(
        thefts.iter().all(|(victim, _)| *victim == robbed),
        "{thefts:?}"
    );
    let stolen: u32 = thefts.iter().map(|(_, tasks)| tasks).sum();
    assert!(stolen as usize >= TASKS - 1, "{thefts:?}");
}

#[test]
fn a_record_is_taken_while_all_workers_are_stuck() {
    let observed = Observed::new(workers(2));
    let stuck = Arc::new(AtomicBool::new(true));
    let stucks = [0; 2].map(|_| {
        let stuck = Arc::clone(&stuck);
        let spins = async move {
            while stuck.load(SeqCst) {
                std::hint::spin_loop();
            }
        };
        named("stuck").spawn_on(spins, observed.runtime.handle())
    });
    let handle = observed.runtime.handle();
    let running = || {
        let record = handle.flight_record();
        let lanes = lanes_of(&record, "stuck").into_iter();
        let open = lanes.filter(|(_, polls)| polls[0].then.is_none());
        open.map(|(lane, _)| lane.kind).collect::<Vec<_>>()
    };
    wait_until(|| running() == [LaneKind::Worker(0), LaneKind::Worker(1)]);
    stuck.store(false, SeqCst);
    observed.runtime.block_on(async {
        for task in stucks {
            task.await.unwrap();
        }
    });
    assert!(running().is_empty());
}

/// The thread goes on without the worker, whose lane goes with it.
#[test]
fn a_task_that_blocks_in_place_leaves_the_lane_to_others() {
    let observed = Observed::new(workers(1));
    observed.runtime.block_on(async {
        let blocks = named("blocks").spawn(async {
            block_in_place(|| {
                let handle = Handle::current();
                let other = named("other").spawn(yield_now());
                wait_until(|| other.is_finished());
                assert!(live(&handle, "other").is_none());
            });
            yield_now().await;
        });
        blocks.await.unwrap();
    });
    let record = observed.runtime.handle().flight_record();
    let (lane, polls) = lane_of(&record, "blocks");
    assert_eq!(lane.kind, LaneKind::Worker(0));
    assert_eq!(ends(&polls)[0], Some(Waiting::Blocking));
    assert_eq!(lane_of(&record, "other").0.kind, LaneKind::Worker(0));
}

#[test]
fn the_newest_moments_are_kept_and_the_others_counted() {
    let observed = Observed::one_thread();
    observed.runtime.block_on(async {
        let busy = named("busy").spawn(async {
            for _ in 0..10_000 {
                yield_now().await;
            }
        });
        busy.await.unwrap();
    });
    let record = observed.runtime.handle().flight_record();
    let worker = &record.lanes[0];
    assert!(worker.events.len() > 4_000, "{}", worker.events.len());
    assert!(worker.events.len() <= 4_096);
    // A start, a wake and an end for each poll.
    assert!(
        worker.overwritten >= 3 * 10_000 - 4_096,
        "{}",
        worker.overwritten
    );
    let ended = polls(&record, worker)
        .into_iter()
        .rfind(|poll| poll.name == "busy");
    assert_eq!(ended.unwrap().then, Some(None));
}

#[test]
fn records_are_taken_while_everything_goes_on() {
    let observed = Observed::new(workers(2));
    let handle = observed.runtime.handle().clone();
    let taking = thread::spawn(move || {
        for _ in 0..200 {
            let record = handle.flight_record();
            for lane in &record.lanes {
                // Each end is that of the poll before: nothing is torn.
                polls(&record, lane);
            }
        }
    });
    observed.runtime.block_on(async {
        while !taking.is_finished() {
            let tasks: Vec<_> = (0..20).map(|_| named("one").spawn(yield_now())).collect();
            for task in tasks {
                task.await.unwrap();
            }
            task::spawn_blocking(|| ()).await.unwrap();
        }
    });
    taking.join().unwrap();
}

#[test]
fn many_threads_that_block_on_leave_a_bounded_number_of_lanes() {
    let observed = Observed::new(workers(1));
    thread::scope(|scope| {
        for _ in 0..100 {
            let runtime = &observed.runtime;
            scope
                .spawn(move || runtime.block_on(async {}))
                .join()
                .unwrap();
        }
    });
    assert!(observed.runtime.handle().flight_record().lanes.len() < 50);
}

// ----- as a file -----

fn perfetto(record: &FlightRecord) -> Value {
    let mut json = Vec::new();
    to_perfetto(record, &Program::current("shop"), &mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn number(event: &Value, key: &str) -> f64 {
    event[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no {key} in {event}"))
}

#[test]
fn a_real_record_is_a_file_whose_slices_and_arrows_are_whole() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            for _ in 0..20 {
                named("nap")
                    .spawn(sleep(Duration::from_micros(100)))
                    .await
                    .unwrap();
                named("hop").spawn_blocking(|| ()).await.unwrap();
                let (sender, receiver) = oneshot::channel();
                let receives = named("receives").spawn(receiver);
                yield_now().await;
                sender.send(()).unwrap();
                receives.await.unwrap().unwrap();
            }
        });
        let record = observed.runtime.handle().flight_record();
        let file = perfetto(&record);
        let events = file["traceEvents"].as_array().unwrap();
        let of_phase =
            |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);

        let named_slices: HashSet<&str> =
            of_phase("X").filter_map(|e| e["name"].as_str()).collect();
        for name in ["nap", "hop", "receives"] {
            assert!(named_slices.contains(name), "{named_slices:?}");
        }
        assert_eq!(
            of_phase("X").filter(|event| event["name"] == "hop").count(),
            20
        );
        assert_slices_do_not_overlap(of_phase("X"));

        let ids = |phase| of_phase(phase).map(|event| event["id"].as_u64().unwrap());
        let (starts, ends): (HashSet<u64>, HashSet<u64>) = (ids("s").collect(), ids("f").collect());
        assert_eq!(starts, ends, "each arrow has two ends");
        assert_eq!(ids("s").count(), starts.len(), "and each of them one");
        // At least the timer's, the pool's and the channel's in each round.
        assert!(starts.len() >= 40, "{}", starts.len());
        let by_id = |phase| {
            let ends =
                of_phase(phase).map(|event| (event["id"].as_u64().unwrap(), number(event, "ts")));
            ends.collect::<BTreeMap<_, _>>()
        };
        let ends = by_id("f");
        for (id, start) in by_id("s") {
            assert!(ends[&id] >= start, "arrow {id} goes back in time");
        }
        let lanes = of_phase("M")
            .filter(|event| event["name"] == "thread_name")
            .count();
        assert_eq!(lanes, record.lanes.len());
    });
}

fn assert_slices_do_not_overlap<'a>(slices: impl Iterator<Item = &'a Value>) {
    let mut by_lane: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for slice in slices {
        let start = number(slice, "ts");
        let end = start + number(slice, "dur");
        let lane = slice["tid"].as_u64().unwrap();
        by_lane.entry(lane).or_default().push((start, end));
    }
    for (lane, mut slices) in by_lane {
        slices.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for pair in slices.windows(2) {
            // Times are in microseconds, with three digits behind the point.
            assert!(pair[1].0 >= pair[0].1 - 0.0015, "lane {lane}: {pair:?}");
        }
    }
}

#[test]
fn a_stuck_poll_reaches_to_the_end_of_the_file() {
    let observed = Observed::one_thread();
    let record = observed.runtime.block_on(async {
        let takes = named("takes").spawn(async { Handle::current().flight_record() });
        takes.await.unwrap()
    });
    let file = perfetto(&record);
    let events = file["traceEvents"].as_array().unwrap();
    let taking = events
        .iter()
        .find(|event| event["name"] == "takes" && event["ph"] == "X");
    assert_eq!(taking.unwrap()["args"]["running"], true, "{taking:?}");
}
