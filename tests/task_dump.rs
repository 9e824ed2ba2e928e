//! The live processes of a runtime, seen from outside while it goes on.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::collections::{BTreeSet, HashSet};
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use observed::{Observed, idle, live, on_each, text, wait_until};
use telemetry_rt::io::AsyncReadExt;
use telemetry_rt::net::UnixStream;
use telemetry_rt::otel::{Activity, NameList, ProcessType, TaskDump, TaskView, Waiting};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::Notify;
use telemetry_rt::task::{self, LocalSet, block_in_place, yield_now};
use telemetry_rt::time::sleep;

const FOR_EVER: Duration = Duration::from_secs(1000);

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

fn workers(workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

fn name(task: &TaskView) -> &'static str {
    task.kind.as_ref().map_or("?", |kind| kind.name)
}

fn names(dump: &TaskDump) -> BTreeSet<&'static str> {
    dump.tasks.iter().map(name).collect()
}

/// How long it has been doing what it does.
fn for_how_long(dump: &TaskDump, name_wanted: &str) -> Duration {
    let task = dump.tasks.iter().find(|task| name(task) == name_wanted);
    let ticks = dump.at.since(task.unwrap().since);
    Duration::from_nanos(dump.anchor.scale().nanos(ticks))
}

async fn root() {
    let handle = Handle::current();
    let (mut near, far) = UnixStream::pair().unwrap();
    named("reads").spawn(async move { near.read_u8().await.map(|_| drop(far)) });
    named("sleeps").spawn(sleep(FOR_EVER));
    let (release, released) = mpsc::channel::<()>();
    named("hops").spawn(async move {
        let function = named("function").spawn_blocking(move || released.recv().is_err());
        function.await
    });
    named("joins").spawn(async { named("joined").spawn(pending::<()>()).await });
    let notify = Arc::new(Notify::new());
    named("notified").spawn(async move { notify.notified().await });
    for name in ["reads", "sleeps", "hops", "joins", "joined", "notified"] {
        idle(name).await;
    }
    while live(&handle, "function").is_none_or(|task| task.activity != Activity::Running) {
        yield_now().await;
    }
    let dump = handle.dump_tasks();
    let expected = [
        ("root", Activity::Running, None),
        ("reads", Activity::Idle, Some(Waiting::Io)),
        ("sleeps", Activity::Idle, Some(Waiting::Timer)),
        ("hops", Activity::Idle, Some(Waiting::Blocking)),
        ("function", Activity::Running, None),
        ("joins", Activity::Idle, Some(Waiting::Join)),
        ("joined", Activity::Idle, Some(Waiting::Other)),
        ("notified", Activity::Idle, Some(Waiting::Other)),
    ];
    for (name_wanted, activity, waiting) in expected {
        let task = dump.tasks.iter().find(|task| name(task) == name_wanted);
        let task = task.unwrap_or_else(|| panic!("no {name_wanted} in {dump}"));
        assert_eq!((task.activity, task.waiting), (activity, waiting), "{dump}");
    }
    assert_eq!(dump.tasks.len(), expected.len(), "{dump}");
    drop(release);
}

#[test]
fn each_live_process_tells_what_it_does_and_what_it_waits_for() {
    on_each(|builder| drop(Observed::new(builder).run(root())));
}

#[test]
fn parents_traces_and_sites_are_those_of_the_spans() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let line = line!() + 2;
        let dump = observed.runtime.block_on(async {
            let outer = named("outer").spawn(async {
                named("inner").spawn(pending::<()>());
                named("hop").spawn_blocking(|| ()).await.unwrap();
                pending::<()>().await;
            });
            idle("inner").await;
            while live(&Handle::current(), "hop").is_some() {
                yield_now().await;
            }
            idle("outer").await;
            let dump = Handle::current().dump_tasks();
            outer.abort();
            dump
        });
        let find = |wanted: &str| dump.tasks.iter().find(|task| name(task) == wanted).unwrap();
        let (outer, inner) = (find("outer"), find("inner"));
        assert_eq!(inner.parent, Some(outer.id));
        let root = dump
            .tasks
            .iter()
            .find(|task| task.parent.is_none())
            .unwrap();
        assert_eq!(outer.parent, Some(root.id));
        let kind = outer.kind.as_ref().unwrap();
        assert_eq!(kind.process_type, ProcessType::Task);
        let site = kind.site.unwrap();
        assert_eq!((site.file(), site.line()), (file!(), line));
        let seen = observed.end();
        for task in [outer, inner] {
            let span = seen.named(name(task));
            assert_eq!(task.trace_id, Some(span.span_context.trace_id()));
            assert_eq!(task.span_id, Some(span.span_context.span_id()));
            assert_eq!(task.id.to_string(), text(span, "task.id"));
        }
    });
}

#[test]
fn what_has_no_span_has_the_trace_of_its_context_or_none() {
    let mut builder = Builder::new_current_thread();
    let observed = Observed::with(&mut builder, |otel| otel.task_names(NameList::none()));
    observed.runtime.block_on(async {
        named("plain").spawn(pending::<()>());
        idle("plain").await;
        let plain = live(&Handle::current(), "plain").unwrap();
        assert_eq!((plain.trace_id, plain.span_id), (None, None));
    });
}

#[test]
fn a_task_that_is_ready_is_scheduled_and_one_that_is_polled_runs() {
    let observed = Observed::new(workers(1));
    let handle = observed.runtime.handle().clone();
    let (release, released) = mpsc::channel::<()>();
    let running = named("running").spawn_on(async move { released.recv().is_err() }, &handle);
    wait_until(|| live(&handle, "running").unwrap().activity == Activity::Running);
    let scheduled = named("scheduled").spawn_on(async {}, &handle);
    thread::sleep(Duration::from_millis(5));
    let dump = handle.dump_tasks();
    for (wanted, activity) in [
        ("running", Activity::Running),
        ("scheduled", Activity::Scheduled),
    ] {
        let task = dump.tasks.iter().find(|task| name(task) == wanted).unwrap();
        assert_eq!(task.activity, activity);
        // The clocks differ by some millionth.
        assert!(
            for_how_long(&dump, wanted) >= Duration::from_micros(4_900),
            "{dump}"
        );
        let in_state = match activity {
            Activity::Running => task.busy,
            _ => task.scheduled,
        };
        let nanos = dump.anchor.scale().nanos(in_state);
        assert!(nanos >= 4_900_000, "the present is counted: {dump}");
        assert_eq!((task.polls, task.waiting), (0, None));
    }
    drop(release);
    observed
        .runtime
        .block_on(async { (running.await.unwrap(), scheduled.await.unwrap()) });
}

#[test]
fn functions_that_wait_for_a_thread_are_scheduled() {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(1);
    let observed = Observed::new(builder);
    let handle = observed.runtime.handle().clone();
    let (release, released) = mpsc::channel::<()>();
    let entered = observed.runtime.enter();
    drop(named("first").spawn_blocking(move || released.recv().is_err()));
    drop(named("second").spawn_blocking(|| ()));
    drop(entered);
    let activity = |name| live(&handle, name).map(|task| task.activity);
    wait_until(|| activity("first") == Some(Activity::Running));
    assert_eq!(activity("second"), Some(Activity::Scheduled));
    drop(release);
    wait_until(|| activity("first").is_none() && activity("second").is_none());
}

#[test]
fn an_idle_task_tells_since_when_it_waits() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            named("sleeps").spawn(sleep(FOR_EVER));
            idle("sleeps").await;
            thread::sleep(Duration::from_millis(5));
            let dump = Handle::current().dump_tasks();
            assert!(
                for_how_long(&dump, "sleeps") >= Duration::from_micros(4_900),
                "{dump}"
            );
            let task = dump
                .tasks
                .iter()
                .find(|task| name(task) == "sleeps")
                .unwrap();
            let idle = dump
                .anchor
                .scale()
                .nanos(task.idle[Waiting::Timer as usize]);
            assert!(idle >= 4_900_000, "{dump}");
            assert_eq!(task.idle[Waiting::Io as usize], 0);
            assert_eq!((task.polls, task.wakes), (1, 1));
        });
    });
}

#[test]
fn local_tasks_are_listed_while_their_set_lives() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let set = LocalSet::new();
        set.block_on(&observed.runtime, async {
            named("local").spawn_local(sleep(FOR_EVER));
            idle("local").await;
        });
        let local = live(&handle, "local").unwrap();
        assert_eq!(local.waiting, Some(Waiting::Timer));
        drop(set);
        assert!(handle.dump_tasks().tasks.is_empty());
    });
}

#[test]
fn a_task_that_blocks_in_place_goes_on_running() {
    let observed = Observed::new(workers(1));
    observed.runtime.block_on(async {
        let blocks = named("blocks").spawn(async {
            block_in_place(|| live(&Handle::current(), "blocks").unwrap().activity)
        });
        assert_eq!(blocks.await.unwrap(), Activity::Running);
    });
}

#[test]
fn tasks_that_have_ended_are_gone() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        observed.runtime.block_on(async {
            let kept = named("ended").spawn(async {});
            while !kept.is_finished() {
                yield_now().await;
            }
            let aborted = named("aborted").spawn(pending::<()>());
            aborted.abort();
            assert!(aborted.await.is_err());
            let panics = named("panics").spawn(async { panic!("on purpose") });
            assert!(panics.await.is_err());
            while names(&Handle::current().dump_tasks()).len() > 1 {
                yield_now().await;
            }
            // The output is still there, the task is not.
            kept.await.unwrap();
        });
        assert!(handle.dump_tasks().tasks.is_empty());
    });
}

/// Somebody may keep a waker of a future for ever, who does not keep the future alive by that.
#[test]
fn a_block_on_that_has_ended_is_gone_though_its_waker_is_kept() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let waker = observed
            .runtime
            .block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        let dump = observed.runtime.handle().dump_tasks();
        assert!(dump.tasks.is_empty(), "{dump}");
        waker.wake();
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut kept = None;
            observed.runtime.block_on(poll_fn(|cx| {
                kept = Some(cx.waker().clone());
                std::mem::forget(kept.take());
                if true {
                    panic!("on purpose");
                }
                Poll::Ready(())
            }));
        }));
        assert!(panics.is_err());
        assert!(observed.runtime.handle().dump_tasks().tasks.is_empty());
    });
}

#[test]
fn tasks_are_listed_while_all_workers_are_stuck() {
    let observed = Observed::new(workers(2));
    let handle = observed.runtime.handle().clone();
    let stuck = Arc::new(AtomicBool::new(true));
    let spins = |stuck: Arc<AtomicBool>| async move {
        while stuck.load(SeqCst) {
            std::hint::spin_loop();
        }
    };
    drop([0; 2].map(|_| named("stuck").spawn_on(spins(Arc::clone(&stuck)), &handle)));
    let running = || {
        let tasks = handle.dump_tasks().tasks.into_iter();
        tasks
            .filter(|task| task.activity == Activity::Running)
            .count()
    };
    wait_until(|| running() == 2);
    drop(named("waits").spawn_on(async {}, &handle));
    let dump = handle.dump_tasks();
    assert_eq!(names(&dump), ["stuck", "waits"].into());
    let on: HashSet<_> = dump.tasks.iter().map(|task| task.worker).collect();
    assert_eq!(on, [Some(0), Some(1), None].into());
    stuck.store(false, SeqCst);
}

#[test]
fn ten_thousand_tasks_are_listed_each_once() {
    let observed = Observed::new(workers(2));
    observed.runtime.block_on(async {
        let tasks: Vec<_> = (0..10_000)
            .map(|_| named("many").spawn(pending::<()>()))
            .collect();
        let dump = Handle::current().dump_tasks();
        let ids: Vec<u64> = dump.tasks.iter().map(|task| task.id).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10_001);
        let table = dump.to_table();
        assert_eq!(table.lines().count(), 2 + 10_001);
        let json: serde_json::Value = serde_json::from_str(&dump.to_json()).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 10_001);
        drop(tasks);
    });
}

/// Read field by field, a process may be one poll further on in one than in another; it is never
/// older than its runtime.
#[test]
fn what_is_read_beside_heavy_spawning_is_no_nonsense() {
    let observed = Observed::new(workers(2));
    let handle = observed.runtime.handle().clone();
    let start = handle.flight_record().at;
    let looking = thread::spawn(move || {
        for _ in 0..500 {
            let dump = handle.dump_tasks();
            let life = dump.at.since(start);
            for task in &dump.tasks {
                assert!(task.kind.is_some(), "{task:?}");
                assert!(task.spawned >= start && task.spawned <= dump.at, "{task:?}");
                assert!(
                    task.since >= task.spawned && task.since <= dump.at,
                    "{task:?}"
                );
                let parts = task.idle.iter().copied().chain([task.busy, task.scheduled]);
                // A poll may be counted by its end, and again as still going on.
                parts.for_each(|part| assert!(part <= 2 * life, "{part} of {life}: {task:?}"));
                assert_eq!(
                    task.waiting.is_some(),
                    task.activity == Activity::Idle,
                    "{task:?}"
                );
            }
        }
    });
    observed.runtime.block_on(async {
        let mut kinds = 0;
        while !looking.is_finished() {
            // A kind that nobody has seen before, now and then.
            kinds += 1;
            let new = format!("kind {kinds}");
            let known = format!("kind {}", kinds % 7);
            let chosen = if kinds < 1_000 { &new } else { &known };
            let tasks: Vec<_> = (0..20)
                .map(|_| named(chosen).spawn(sleep(Duration::from_micros(20))))
                .collect();
            task::spawn_blocking(|| ()).await.unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
    looking.join().unwrap();
}
