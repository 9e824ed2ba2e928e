//! A future that is given to `timeout` while futures are traced: what its process records, and that
//! nothing else changes.
#![cfg(all(feature = "telemetry", feature = "macros", feature = "tokio-io"))]

use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use opentelemetry::Value;
use telemetry_rt::runtime::Handle;
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, consume_budget, spawn_blocking, yield_now};
use telemetry_rt::testing::{Capture, Captured};
use telemetry_rt::time::{Duration, Instant, sleep, timeout, timeout_at};

const HOUR: Duration = Duration::from_secs(3600);

fn tracing() -> Capture {
    Capture::new()
        .paused(true)
        .otel(|otel| otel.trace_futures(true))
}

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

#[track_caller]
fn assert_tree<T>(captured: &Captured<T>, expected: &str) {
    let tree = captured.tree();
    assert!(tree == expected, "expected\n{expected}\nfound\n{tree}");
}

#[track_caller]
fn number<T>(captured: &Captured<T>, span: &str, key: &str) -> i64 {
    match captured.attribute(span, key) {
        Some(Value::I64(number)) => *number,
        other => panic!("{key} of {span} is {other:?}"),
    }
}

// ----- names, states and places -----

async fn quick() -> u8 {
    7
}

async fn fail() -> Result<(), String> {
    Err("no".to_owned())
}

async fn slow() {
    sleep(2 * HOUR).await;
}

async fn explode() {
    panic!("boom");
}

async fn handle() {
    telemetry_rt::spawn(quick()).await.unwrap();
}

#[test]
fn it_ends_in_its_own_state() {
    async fn all() {
        assert_eq!(timeout(HOUR, quick()).await, Ok(7));
        assert!(timeout(HOUR, fail()).await.unwrap().is_err());
        assert!(timeout(HOUR, slow()).await.is_err());
        assert!(timeout_at(Instant::now() + HOUR, slow()).await.is_err());
        drop(timeout(HOUR, quick()));
        let mut polled = Box::pin(timeout(HOUR, slow()));
        poll_once(polled.as_mut()).await;
        drop(polled);
        let exploding = named("task").spawn(timeout(HOUR, explode()));
        assert!(exploding.await.unwrap_err().is_panic());
    }
    let captured = tracing()
        .with_attributes(["task.type", "error.type"])
        .run(all());
    assert_tree(
        &captured,
        "\
all {task.type=future}
  quick {task.type=future}
  fail {task.type=future, error.type=alloc::string::String} ! returned Err(alloc::string::String)
  slow {task.type=future, error.type=telemetry_rt::time::error::Elapsed} ! its time was up
  slow {task.type=future, error.type=telemetry_rt::time::error::Elapsed} ! its time was up
  quick [cancelled] {task.type=future}
  slow [cancelled] {task.type=future}
  task {task.type=task, error.type=panic} ! panicked: boom
    explode {task.type=future, error.type=panic} ! panicked: boom
",
    );
    for (name, state, count) in [
        ("quick", "finished", 1),
        ("quick", "cancelled", 1),
        ("fail", "exception", 1),
        ("slow", "timeout", 2),
        ("slow", "cancelled", 1),
        ("explode", "exception", 1),
        ("task", "exception", 1),
    ] {
        assert_eq!(captured.count(name, state), count, "{name} {state}");
    }
}

async fn poll_once<F: Future + Unpin>(mut future: F) {
    poll_fn(|cx| {
        assert!(pin!(&mut future).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn its_place_is_the_line_that_calls_timeout() {
    let captured = tracing().run(async {
        let limited = timeout(HOUR, quick());
        let line = line!() - 1;
        limited.await.unwrap();
        i64::from(line)
    });
    let file = captured.attribute("quick", "code.file.path").unwrap();
    assert_eq!(file.as_str(), file!());
    let line = number(&captured, "quick", "code.line.number");
    assert_eq!(line, captured.output);
    let path = captured.attribute("quick", "code.function.name").unwrap();
    assert_eq!(path.as_str(), concat!(module_path!(), "::quick"));
}

#[test]
fn it_is_below_the_task_that_polls_it_and_above_what_it_spawns() {
    async fn nested() {
        let outer = timeout(HOUR, async { timeout(HOUR, handle()).await });
        named("task").spawn(outer).await.unwrap().unwrap().unwrap();
        let both = (timeout(HOUR, handle()), timeout(HOUR, work()));
        let (one, other) = telemetry_rt::join!(both.0, both.1);
        one.and(other).unwrap();
    }
    #[telemetry_rt::span]
    async fn load() {
        yield_now().await;
    }
    async fn work() {
        load().await;
        spawn_blocking(|| ()).await.unwrap();
    }
    assert_tree(
        &tracing().run(nested()),
        "\
nested
  task
    nested
      handle
        quick
  handle
    quick
  work
    load
    work
",
    );
}

// ----- off, and switched -----

#[test]
fn it_is_none_unless_it_is_so_when_timeout_is_called() {
    async fn switch() {
        let before = timeout(HOUR, quick());
        Handle::current().set_future_tracing(true);
        let after = timeout(HOUR, handle());
        Handle::current().set_future_tracing(false);
        before.await.unwrap();
        after.await.unwrap();
        timeout(HOUR, slow()).await.unwrap_err();
    }
    let captured = Capture::new().paused(true).run(switch());
    assert_tree(&captured, "switch\n  handle\n    quick\n");
}

#[test]
fn nothing_is_recorded_while_recording_is_off() {
    async fn silent() {
        Handle::current().set_recording(false);
        timeout(HOUR, quick()).await.unwrap();
    }
    assert_tree(&tracing().run(silent()), "silent\n");
}

#[test]
fn outside_of_a_runtime_it_is_what_it_was() {
    let refused = thread::spawn(|| timeout(HOUR, quick()).into_inner()).join();
    assert!(refused.is_err(), "there is no clock outside of a runtime");
}

// ----- the ledger, the budget and the reason -----

#[test]
fn all_of_its_time_is_busy_or_idle() {
    async fn wait() {
        for _ in 0..3 {
            sleep(Duration::from_millis(2)).await;
        }
    }
    let captured = tracing().run(async { timeout(HOUR, wait()).await });
    let span = captured.span("wait");
    let length = span.end_time.duration_since(span.start_time).unwrap();
    let of = |key| number(&captured, "wait", key);
    let parts = of("task.busy_ns") + of("task.scheduled_ns") + of("task.idle_ns");
    assert_eq!(i64::try_from(length.as_nanos()).unwrap(), parts);
    assert!(of("task.busy_ns") > 0 && of("task.idle_ns") > 0, "{span:?}");
    assert_eq!(of("task.scheduled_ns"), 0);
    assert!(of("task.idle_timer_ns") > 0);
    assert_eq!(of("task.polls"), 4);
    assert_eq!(of("task.wakes"), 4);
}

#[test]
fn the_task_is_said_to_wait_for_what_the_future_waits_for() {
    let captured = tracing().run(async {
        let waiting = timeout(HOUR, sleep(Duration::from_millis(5)));
        named("task").spawn(waiting).await.unwrap()
    });
    let idle = number(&captured, "task", "task.idle_ns");
    assert_eq!(number(&captured, "task", "task.idle_timer_ns"), idle);
}

/// A future that would never return by itself is made to yield as often as without tracing.
#[test]
fn the_budget_is_that_of_the_task() {
    async fn greedy() {
        for _ in 0..1000 {
            consume_budget().await;
        }
    }
    async fn many() {
        for _ in 0..1000 {
            timeout(HOUR, consume_budget()).await.unwrap();
        }
    }
    let polls = |capture: Capture| {
        let captured = capture
            .otel(|otel| otel.most_children(u32::MAX))
            .run(async {
                named("greedy")
                    .spawn(timeout(HOUR, greedy()))
                    .await
                    .unwrap()
                    .unwrap();
                named("many").spawn(many()).await.unwrap();
            });
        let polls_of = |name| {
            let mut spans = captured.spans_named(name);
            let task =
                spans.find(|span| span.attributes.iter().any(|kv| kv.value == "task".into()));
            let polls = task
                .unwrap()
                .attributes
                .iter()
                .find(|kv| kv.key.as_str() == "task.polls");
            polls.unwrap().value.clone()
        };
        (polls_of("greedy"), polls_of("many"))
    };
    assert_eq!(polls(tracing()), polls(Capture::new().paused(true)));
}

// ----- drops -----

#[test]
fn it_is_current_while_its_future_is_dropped() {
    struct SpawnsInDrop;
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            drop(named("last").spawn(quick()));
        }
    }
    async fn hold() {
        let _spawns = SpawnsInDrop;
        pending().await
    }
    let captured = tracing().run(async {
        let mut held = Box::pin(timeout(HOUR, hold()));
        poll_once(held.as_mut()).await;
        drop(held);
        yield_now().await;
    });
    assert_tree(
        &captured,
        "it_is_current_while_its_future_is_dropped\n  hold [cancelled]\n    last\n",
    );
}

#[test]
fn a_panic_in_the_drop_of_the_future_goes_on() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    async fn hold(_bomb: Bomb) {}
    let captured = tracing().run(async {
        let task = named("task").spawn(async { drop(timeout(HOUR, hold(Bomb))) });
        assert!(task.await.unwrap_err().is_panic());
        // The thread is as it was: this one is below the root.
        named("after").spawn(async {}).await.unwrap();
    });
    assert_eq!(captured.count("hold", "cancelled"), 1);
    assert_eq!(
        captured.span("after").parent_span_id,
        captured.spans()[0].span_context.span_id()
    );
}

#[test]
fn the_future_can_be_looked_at_and_taken_out() {
    let captured = tracing().run(async {
        let mut limited = timeout(HOUR, ready(7));
        assert_eq!(format!("{:?}", limited.get_ref()), "Ready(Some(7))");
        *limited.get_mut() = ready(8);
        assert!(
            format!("{limited:?}").starts_with("Timeout {"),
            "{limited:?}"
        );
        limited.into_inner().await
    });
    assert_eq!(captured.output, 8);
    assert_eq!(captured.count("Ready", "cancelled"), 1);
}

// ----- workers -----

#[test]
fn it_moves_between_workers_with_its_task() {
    async fn hop(mut receiver: oneshot::Receiver<u8>) -> u8 {
        for _ in 0..20 {
            yield_now().await;
        }
        let received = (&mut receiver).await;
        received.unwrap()
    }
    let captured = Capture::new()
        .workers(2)
        .otel(|otel| otel.trace_futures(true))
        .run(async {
            let mut tasks = Vec::new();
            for number in 0..50 {
                let (sender, receiver) = oneshot::channel();
                tasks.push(telemetry_rt::spawn(timeout(HOUR, hop(receiver))));
                drop(named("sender").spawn(async move { sender.send(number).unwrap() }));
            }
            for (number, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap().unwrap(), number as u8);
            }
        });
    // The task, and the future in it.
    assert_eq!(captured.count("hop", "finished"), 100);
    let below = captured.spans_named("hop").filter(|span| {
        let parent = captured
            .spans()
            .iter()
            .find(|parent| parent.span_context.span_id() == span.parent_span_id);
        parent.is_some_and(|parent| parent.name == "hop")
    });
    assert_eq!(below.count(), 50);
}

#[test]
fn a_future_may_be_polled_on_a_thread_that_no_runtime_knows() {
    let captured = tracing().run(async {
        let mut limited = Box::pin(timeout(HOUR, quick()));
        let polled = thread::scope(|scope| {
            let poll = scope.spawn(|| {
                limited
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
            });
            poll.join().unwrap()
        });
        assert_eq!(polled, Poll::Ready(Ok(7)));
    });
    assert_eq!(captured.count("quick", "finished"), 1);
}
