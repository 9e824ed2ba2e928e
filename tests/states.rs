//! How a process ended, as its span and its metrics tell it: every way there is.
//!
//! A line such as `exception [panic] error: panicked: no ["exception"]` is the state, the type of
//! the error, the status and the names of the events; `Seen::end_of` checks besides that there is
//! exactly one process of the name and that its metrics say the same.
#![cfg(feature = "telemetry")]

mod observed;

use std::error::Error;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use observed::{
    CANCELLED, FINISHED, Observed, Seen, attribute, events_of, has_ended, on_each, series, text,
};
use opentelemetry::KeyValue;
use opentelemetry::trace::Event;
use telemetry_rt::otel::{MetricData, Number};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task::{self, AbortHandle, JoinError, JoinSet, LocalSet, yield_now};
use telemetry_rt::time::error::Elapsed;
use telemetry_rt::time::timeout;
use tokio::sync::oneshot;

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// Runs a task of this name to its end, whatever that is.
async fn run_as<F>(name: &str, future: F)
where
    F: Future<Output: Send> + Send + 'static,
{
    let _ = named(name).spawn(future).await;
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

async fn elapsed() -> Result<(), Elapsed> {
    timeout(Duration::from_millis(1), pending()).await
}

#[test]
fn what_is_returned_decides() {
    type Boxed = Box<dyn Error + Send + Sync>;
    type Nested = Result<Result<(), u8>, u16>;
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            run_as("value", async { 7 }).await;
            run_as("ok", async { Ok::<_, Boxed>(7) }).await;
            run_as("some err", async { Some(Err::<(), u8>(7)) }).await;
            run_as("inner err", async { Nested::Ok(Err(7)) }).await;
            run_as("outer err", async { Nested::Err(7) }).await;
            run_as("io", async { std::fs::read("/no/such/file") }).await;
            run_as("text", async { Err::<(), &str>("no") }).await;
            run_as("boxed", async { Err::<(), Boxed>("no".into()) }).await;
            run_as("late", elapsed()).await;
            run_as("in time", timeout(Duration::from_secs(60), async {})).await;
            let aborted = named("aborted").spawn(pending::<()>());
            aborted.abort();
            run_as("joiner", aborted).await;
        });
        for (name, end) in [
            ("value", FINISHED),
            ("ok", FINISHED),
            // Neither is a `Result` that says how the task itself ended.
            ("some err", FINISHED),
            ("inner err", FINISHED),
            ("outer err", "exception [u16] error: returned Err(u16) []"),
            (
                "io",
                "exception [std::io::error::Error] error: returned Err(std::io::error::Error) []",
            ),
            ("text", "exception [&str] error: returned Err(&str) []"),
            (
                "boxed",
                "exception [dyn core::error::Error] error: returned Err(dyn core::error::Error) []",
            ),
            (
                "late",
                "timeout [telemetry_rt::time::error::Elapsed] error: its time was up []",
            ),
            ("in time", FINISHED),
            ("aborted", CANCELLED),
            (
                "joiner",
                "exception [telemetry_rt::task::JoinError] error: returned \
                 Err(telemetry_rt::task::JoinError) []",
            ),
        ] {
            assert_eq!(seen.end_of(name), end, "{name}");
        }
    });
}

#[test]
fn functions_on_the_blocking_pool_end_in_the_same_ways() {
    let seen = Observed::one_thread().run(async {
        named("fine").spawn_blocking(|| 7).await.unwrap();
        let failing = || "x".parse::<u8>();
        let failed = named("failed").spawn_blocking(failing).await.unwrap();
        failed.unwrap_err();
        let panicking = named("panicking").spawn_blocking(|| panic!("no"));
        panicking.await.unwrap_err();
    });
    assert_eq!(seen.end_of("fine"), FINISHED);
    let error = "core::num::error::ParseIntError";
    assert_eq!(
        seen.end_of("failed"),
        format!("exception [{error}] error: returned Err({error}) []")
    );
    assert_eq!(
        seen.end_of("panicking"),
        "exception [panic] error: panicked: no [\"exception\"]"
    );
}

#[test]
fn the_root_future_ends_in_the_same_ways() {
    async fn root_that_panics() {
        panic!("no")
    }
    async fn root_that_fails() -> Result<(), u8> {
        Err(7)
    }
    on_each(|builder| {
        let observed = Observed::new(builder);
        let runtime = AssertUnwindSafe(&observed.runtime);
        catch_unwind(|| runtime.block_on(root_that_panics())).unwrap_err();
        observed.runtime.block_on(root_that_fails()).unwrap_err();
        let _ = observed.runtime.block_on(elapsed());
        let seen = observed.end();
        assert_eq!(
            seen.end_of("root_that_panics"),
            "exception [panic] error: panicked: no [\"exception\"]"
        );
        assert_eq!(
            seen.end_of("root_that_fails"),
            "exception [u8] error: returned Err(u8) []"
        );
        assert!(seen.end_of("elapsed").starts_with("timeout ["));
    });
}

// ----- panics -----

#[track_caller]
fn only_event<'a>(seen: &'a Seen, name: &str) -> &'a Event {
    let events: Vec<&Event> = events_of(seen.named(name)).collect();
    match events[..] {
        [event] => event,
        _ => panic!("{name} has {events:?}"),
    }
}

#[track_caller]
fn assert_tells(event: &Event, key: &str, value: impl ToString) {
    let told = attribute(&event.attributes, key).map(ToString::to_string);
    assert_eq!(told, Some(value.to_string()), "{key}");
}

#[test]
fn a_panic_is_an_event_with_its_message_and_place_whatever_its_payload() {
    on_each(|builder| {
        let line = line!() + 2;
        let seen = Observed::new(builder).run(async {
            run_as("str", async { panic!("plain") }).await;
            run_as("string", async { panic!("number {}", 7) }).await;
            run_as("other", async { panic_any(7_u8) }).await;
            run_as("index", async { [1_u8, 2].get(2).copied().unwrap() }).await;
        });
        for (name, line, message) in [
            ("str", line, "plain"),
            ("string", line + 1, "number 7"),
            ("other", line + 2, "Box<dyn Any>"),
            (
                "index",
                line + 3,
                "called `Option::unwrap()` on a `None` value",
            ),
        ] {
            assert_eq!(
                seen.end_of(name),
                format!("exception [panic] error: panicked: {message} [\"exception\"]")
            );
            let event = only_event(&seen, name);
            assert_tells(event, "exception.type", "panic");
            assert_tells(event, "exception.message", message);
            assert_tells(event, "code.file.path", file!());
            assert_tells(event, "code.line.number", line);
            assert_eq!(event.timestamp, seen.named(name).end_time);
        }
    });
}

#[test]
fn a_panic_that_is_passed_on_by_a_joiner_tells_its_message_and_no_wrong_place() {
    let seen = Observed::one_thread().run(async {
        run_as("passing on", async {
            let first = named("first").spawn(async { panic!("first") });
            let error: JoinError = first.await.unwrap_err();
            std::panic::resume_unwind(error.into_panic());
        })
        .await;
    });
    for name in ["first", "passing on"] {
        assert_eq!(
            seen.end_of(name),
            "exception [panic] error: panicked: first [\"exception\"]"
        );
    }
    // The hook is not told of a payload that is thrown again.
    let again = only_event(&seen, "passing on");
    assert_eq!(attribute(&again.attributes, "code.line.number"), None);
}

/// Whether backtraces are wanted is read once in a process, so each answer needs one of its own.
#[test]
fn a_panic_has_its_backtrace_where_the_environment_asks_for_backtraces() {
    const NAME: &str = "a_panic_has_its_backtrace_where_the_environment_asks_for_backtraces";
    const EXPECTED: &str = "TEST_EXPECTS_BACKTRACE";
    if let Ok(expected) = std::env::var(EXPECTED) {
        let seen = Observed::one_thread().run(run_as("panicking", async { panic!("no") }));
        let event = only_event(&seen, "panicking");
        let trace = attribute(&event.attributes, "exception.stacktrace");
        let shown = trace.is_some_and(|trace| trace.as_str().contains(NAME));
        assert_eq!(shown.to_string(), expected, "{trace:?}");
        return;
    }
    for (backtrace, of_libraries, expected) in [
        ("0", None, "false"),
        ("1", None, "true"),
        ("1", Some("0"), "false"),
        ("0", Some("1"), "true"),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env(EXPECTED, expected);
        child.env("RUST_BACKTRACE", backtrace);
        child.env_remove("RUST_LIB_BACKTRACE");
        child.envs(of_libraries.map(|value| ("RUST_LIB_BACKTRACE", value)));
        let output = child.output().unwrap();
        assert!(
            output.status.success(),
            "{backtrace} {of_libraries:?}: {output:?}"
        );
    }
}

#[test]
fn a_drop_that_panics_is_the_panic_of_its_process_and_an_unwanted_output_is_not() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            run_as("at its end", async {
                let _bomb = Bomb;
            })
            .await;
            let (started, has_started) = oneshot::channel();
            let idle = named("at its abort").spawn(async {
                let _bomb = Bomb;
                started.send(()).unwrap();
                pending::<()>().await;
            });
            has_started.await.unwrap();
            idle.abort();
            assert!(idle.await.unwrap_err().is_panic());
            // Nobody takes the output, so the runtime drops it, after the task has ended.
            let output = named("output").spawn(async { Bomb }).abort_handle();
            has_ended(&output).await;
        });
        let bomb = "exception [panic] error: panicked: bomb [\"exception\"]";
        assert_eq!(seen.end_of("at its end"), bomb);
        assert_eq!(seen.end_of("at its abort"), bomb);
        assert_eq!(seen.end_of("output"), FINISHED);
    });
}

// ----- cancellation -----

#[test]
fn an_abort_cancels_whatever_the_task_is_at() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (started, has_started) = oneshot::channel();
            let idle = named("idle").spawn(async {
                started.send(()).unwrap();
                pending::<()>().await;
            });
            has_started.await.unwrap();
            idle.abort();
            idle.await.unwrap_err();

            let (tell, told) = mpsc::channel::<AbortHandle>();
            let running = named("running").spawn(async move {
                told.recv().unwrap().abort();
                pending::<()>().await;
            });
            tell.send(running.abort_handle()).unwrap();
            running.await.unwrap_err();

            let (tell, told) = mpsc::channel::<AbortHandle>();
            let ending = named("ending").spawn(async move {
                told.recv().unwrap().abort();
            });
            tell.send(ending.abort_handle()).unwrap();
            ending.await.unwrap();
        });
        assert_eq!(seen.end_of("idle"), CANCELLED);
        assert_eq!(seen.end_of("running"), CANCELLED);
        // It had nothing left to be cancelled.
        assert_eq!(seen.end_of("ending"), FINISHED);
    });
}

#[test]
fn an_abort_before_the_first_poll_leaves_a_span_without_polls() {
    let seen = Observed::one_thread().run(async {
        let task = named("never polled").spawn(async { Err::<(), u8>(7) });
        task.abort();
        task.await.unwrap_err();
    });
    assert_eq!(seen.end_of("never polled"), CANCELLED);
    let span = seen.named("never polled");
    assert_eq!(text(span, "task.polls"), "0");
    assert_eq!(text(span, "task.idle_ns"), "0");
}

#[test]
fn what_owns_tasks_cancels_them_when_it_goes() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            let mut dropped = JoinSet::new();
            dropped
                .build_task()
                .name("of a dropped set")
                .spawn(pending::<()>());
            let mut aborted = JoinSet::new();
            aborted
                .build_task()
                .name("of an aborted set")
                .spawn(pending::<()>());
            yield_now().await;
            drop(dropped);
            aborted.abort_all();
            while aborted.join_next().await.is_some() {}
        });
        let local = LocalSet::new();
        local.block_on(&observed.runtime, async {
            drop(named("of a local set").spawn_local(pending::<()>()));
            yield_now().await;
        });
        drop(local);
        observed.runtime.block_on(async {
            drop(named("of the runtime").spawn(pending::<()>()));
            yield_now().await;
        });
        let seen = observed.end();
        for name in [
            "of a dropped set",
            "of an aborted set",
            "of a local set",
            "of the runtime",
        ] {
            assert_eq!(seen.end_of(name), CANCELLED, "{name}");
        }
    });
}

#[test]
fn a_task_that_nobody_ever_polled_is_cancelled_with_its_runtime() {
    let observed = Observed::one_thread();
    let task = named("never polled").spawn_on(async {}, observed.runtime.handle());
    let seen = observed.end();
    assert!(task.is_finished());
    assert_eq!(seen.end_of("never polled"), CANCELLED);
    assert_eq!(text(seen.named("never polled"), "task.polls"), "0");
}

#[test]
fn every_way_to_shut_a_runtime_down_cancels_its_tasks() {
    let ways: [fn(Runtime); 4] = [
        drop,
        |runtime| {
            runtime.shutdown(Duration::from_secs(5));
        },
        |runtime| runtime.shutdown_timeout(Duration::from_secs(5)),
        |runtime| {
            runtime.block_on(async {});
            drop(runtime);
        },
    ];
    for way in ways {
        let Observed { runtime, memory } = Observed::one_thread();
        let task = named("left").spawn_on(pending::<()>(), runtime.handle());
        way(runtime);
        assert!(task.is_finished());
        let seen = Seen {
            spans: memory.spans(),
            metrics: memory.metrics(),
        };
        assert_eq!(seen.end_of("left"), CANCELLED);
    }
}

#[test]
fn a_future_that_is_dropped_inside_of_a_task_is_no_process_and_changes_nothing() {
    let seen = Observed::one_thread().run(async {
        run_as("around", async {
            let _ = timeout(Duration::from_millis(1), pending::<()>()).await;
        })
        .await;
    });
    assert_eq!(seen.end_of("around"), FINISHED);
}

#[test]
fn a_function_on_the_blocking_pool_is_cancelled_in_the_queue_and_not_while_it_runs() {
    let mut builder = Builder::new_current_thread();
    let observed = Observed::new({
        builder.max_blocking_threads(1);
        builder
    });
    let (release, released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel::<()>();
    observed.runtime.block_on(async {
        let running = named("running").spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv().unwrap();
        });
        has_started.recv().unwrap();
        let queued = named("queued").spawn_blocking(|| ());
        let behind = named("behind").spawn_blocking(|| ());
        queued.abort();
        running.abort();
        release.send(()).unwrap();
        running.await.unwrap();
        assert!(queued.await.unwrap_err().is_cancelled());
        behind.await.unwrap();
    });
    let seen = observed.end();
    assert_eq!(seen.end_of("queued"), CANCELLED);
    assert_eq!(seen.end_of("running"), FINISHED);
    assert_eq!(seen.end_of("behind"), FINISHED);
}

#[test]
fn functions_that_wait_in_the_queue_are_cancelled_with_the_runtime() {
    let mut builder = Builder::new_current_thread();
    let observed = Observed::new({
        builder.max_blocking_threads(1);
        builder
    });
    let (release, released) = mpsc::channel::<()>();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        release.send(()).unwrap();
    });
    let (started, has_started) = mpsc::channel::<()>();
    observed.runtime.block_on(async {
        drop(named("running").spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv().unwrap();
        }));
        has_started.recv().unwrap();
        drop(named("queued").spawn_blocking(|| ()));
    });
    let seen = observed.end();
    ends.join().unwrap();
    assert_eq!(seen.end_of("running"), FINISHED);
    assert_eq!(seen.end_of("queued"), CANCELLED);
}

// ----- names without end -----

#[test]
fn names_past_the_limit_share_one_series_that_says_so() {
    const NAMES: usize = 2_500;
    let seen = Observed::one_thread().run(async {
        for number in 0..NAMES {
            let name = format!("job {number}");
            named(&name)
                .spawn(async { Err::<(), u8>(7) })
                .await
                .unwrap()
                .unwrap_err();
        }
    });
    let MetricData::Sum { points, .. } = &seen.metric("process.count").data else {
        panic!("process.count is no sum");
    };
    let overflow: Vec<_> = points
        .iter()
        .filter(|point| attribute(&point.attributes, "otel.metric.overflow").is_some())
        .collect();
    let [overflow] = overflow[..] else {
        panic!("{} series of what is too much", overflow.len());
    };
    let (process_type, name, state, _) = series(&overflow.attributes);
    assert_eq!((&*process_type, &*name, &*state), ("task", "", "exception"));
    assert!(
        overflow
            .attributes
            .contains(&KeyValue::new("otel.metric.overflow", true))
    );
    assert!(points.len() < NAMES, "{} series", points.len());
    let total: i64 = points
        .iter()
        .map(|point| match point.value {
            Number::Int(count) => count,
            Number::Float(_) => panic!("processes are whole"),
        })
        .sum();
    // The root future is one, too.
    assert_eq!(total, NAMES as i64 + 1);
}
