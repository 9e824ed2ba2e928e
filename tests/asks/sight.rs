//! What is to be seen of a program while it runs, or no longer gets on?

use std::fs;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use telemetry_rt::io::AsyncReadExt;
use telemetry_rt::net::UnixStream;
use telemetry_rt::otel::flight::{Dumps, Program};
use telemetry_rt::otel::{Activity, Lane, Moment, TaskView, Waiting, set_diagnostics};
use telemetry_rt::runtime::Handle;
use telemetry_rt::task::yield_now;
use telemetry_rt::time::sleep;

use crate::observed::{Observed, idle, live, on_each, wait_until};
use crate::{named, two_workers};

// ----- a task that keeps its worker -----

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn is_warned_of(words: &str) -> bool {
    let warnings = WARNINGS.lock().unwrap();
    warnings.iter().any(|warning| warning.contains(words))
}

/// The task whose poll was not over on this lane.
fn polled_now(lane: &Lane) -> Option<u64> {
    let mut moments = lane.events.iter().rev().map(|event| event.moment);
    moments.find_map(|moment| match moment {
        Moment::PollStarted { task, .. } => Some(Some(task)),
        Moment::PollEnded { .. } => Some(None),
        _ => None,
    })?
}

// The sixth ask, but for the stack.
#[test]
fn the_task_that_keeps_a_worker_is_named_while_it_does() {
    set_diagnostics(|line| WARNINGS.lock().unwrap().push(line.to_owned()));
    let observed = Observed::with(&mut two_workers(), |otel| {
        otel.stall(Some(Duration::from_millis(10)))
    });
    let handle = observed.runtime.handle().clone();
    let keeps = Arc::new(AtomicBool::new(true));
    let keeper = {
        let keeps = Arc::clone(&keeps);
        async move { wait_until(|| !keeps.load(SeqCst)) }
    };
    let site = line!() + 1;
    drop(named("keeper").spawn_on(keeper, &handle));
    wait_until(|| is_warned_of("\"keeper\""));
    // It has not let go yet.
    assert!(is_warned_of(&format!("spawned at {}:{site}", file!())));
    let keeper = live(&handle, "keeper").unwrap();
    assert_eq!(keeper.activity, Activity::Running);
    let lanes = handle.flight_record().lanes;
    assert!(lanes.iter().any(|lane| polled_now(lane) == Some(keeper.id)));
    keeps.store(false, SeqCst);
    assert!(observed.end().total("executor.polls.stalled", &[]) >= 1.0);
}

// ----- dumps -----

// The seventh ask.
#[test]
fn a_dump_needs_no_worker_and_polls_nothing() {
    const WAITING: usize = 1_000;
    let observed = Observed::new(two_workers());
    let handle = observed.runtime.handle().clone();
    let polls = Arc::new(AtomicUsize::new(0));
    for _ in 0..WAITING {
        let polls = Arc::clone(&polls);
        let counted = poll_fn(move |_| {
            polls.fetch_add(1, SeqCst);
            Poll::<()>::Pending
        });
        drop(handle.spawn(counted));
    }
    let is_idle = |task: &TaskView| task.activity == Activity::Idle;
    wait_until(|| handle.dump_tasks().tasks.iter().all(is_idle));
    let stuck = Arc::new(AtomicBool::new(true));
    let spins = |stuck: Arc<AtomicBool>| async move {
        while stuck.load(SeqCst) {
            std::hint::spin_loop();
        }
    };
    drop([0; 2].map(|_| handle.spawn(spins(Arc::clone(&stuck)))));
    let is_running = |task: &&TaskView| task.activity == Activity::Running;
    wait_until(|| handle.dump_tasks().tasks.iter().filter(is_running).count() == 2);

    let dumps = [0; 10].map(|_| handle.dump_tasks());
    stuck.store(false, SeqCst);
    assert!(dumps.iter().all(|dump| dump.tasks.len() == WAITING + 2));
    assert_eq!(polls.load(SeqCst), WAITING, "by the runtime, once each");
}

// The eleventh ask, as far as it goes: what a task waits for, not who holds it.
#[test]
fn a_request_that_hangs_is_followed_to_the_socket_that_nobody_answers_on() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            let (mut near, _far) = UnixStream::pair().unwrap();
            let request = named("request").spawn(async {
                let query = async move { near.read_u8().await };
                named("query").spawn(query).await.unwrap()
            });
            idle("query").await;
            idle("request").await;
            let handle = Handle::current();
            let (request_now, query_now) = (live(&handle, "request"), live(&handle, "query"));
            let (request_now, query_now) = (request_now.unwrap(), query_now.unwrap());
            assert_eq!(request_now.waiting, Some(Waiting::Join));
            assert_eq!(query_now.parent, Some(request_now.id));
            assert_eq!(query_now.waiting, Some(Waiting::Io));
            assert_eq!(query_now.trace_id, request_now.trace_id);
            request.abort();
        });
    });
}

// The fourteenth ask: the runtime does not call a waker lost, but shows what looks like it.
#[test]
fn a_task_whose_waker_was_lost_is_seen_to_wait_ever_longer_for_nothing_the_runtime_knows() {
    let observed = Observed::one_thread();
    observed.runtime.block_on(async {
        named("sleeps").spawn(sleep(Duration::from_secs(1000)));
        named("lost").spawn(pending::<()>());
        idle("sleeps").await;
        idle("lost").await;
        let before = live(&Handle::current(), "lost").unwrap();
        sleep(Duration::from_millis(2)).await;
        let after = live(&Handle::current(), "lost").unwrap();
        assert_eq!((after.since, after.polls), (before.since, before.polls));
        let other = Waiting::Other as usize;
        assert!(after.idle[other] > before.idle[other], "{after:?}");
        assert_eq!(after.waiting, Some(Waiting::Other));
        let sleeps = live(&Handle::current(), "sleeps").unwrap();
        assert_eq!(sleeps.waiting, Some(Waiting::Timer), "which is no suspect");
    });
}

// ----- records -----

// The tenth ask: recorded and read back, not replayed.
#[test]
fn what_happened_is_in_a_file_that_can_be_read_when_the_program_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let observed = Observed::one_thread();
    observed.runtime.block_on(async {
        named("step").spawn(yield_now()).await.unwrap();
        named("hop")
            .spawn_blocking(thread::yield_now)
            .await
            .unwrap();
    });
    let record = observed.runtime.handle().flight_record();
    drop(observed);
    let dumps = Dumps::new(folder.path(), Program::current("shop"));
    let path = dumps.write(&record).unwrap();

    let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let slices = |name: &str| {
        let is_slice = |event: &&Value| event["ph"] == "X" && event["name"] == name;
        events.iter().filter(is_slice).collect::<Vec<_>>()
    };
    let [first, second] = slices("step")[..] else {
        panic!("{:?}", slices("step"));
    };
    assert_eq!(first["args"]["woken_by"], "spawn");
    assert_eq!(second["args"]["then"], "ended");
    assert_eq!(slices("hop").len(), 1);
}
