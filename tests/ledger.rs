//! What a process spent its life on: busy, scheduled and idle add up, and idle is told by reason.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc as threads};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use observed::{Observed, Seen, attribute, idle, is_idle, number, on_each, text, wait_until};
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::UnixStream;
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::{mpsc, oneshot};
use telemetry_rt::task::{self, LocalSet, yield_now};
use telemetry_rt::time::{sleep, timeout};

const WHILE: Duration = Duration::from_millis(15);
/// What is surely measured of `WHILE`, whose clock is another one.
const MOST: i64 = 14_000_000;

const REASONS: [&str; 5] = [
    "task.idle_io_ns",
    "task.idle_timer_ns",
    "task.idle_blocking_ns",
    "task.idle_join_ns",
    "task.idle_other_ns",
];

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// The reasons for which a process was idle, and how long.
fn reasons(span: &SpanData) -> Vec<(&'static str, i64)> {
    let of = |key| match attribute(&span.attributes, key) {
        Some(Value::I64(nanos)) => Some((key, *nanos)),
        _ => None,
    };
    REASONS.into_iter().filter_map(of).collect()
}

#[track_caller]
fn assert_adds_up(span: &SpanData) {
    let length = span.end_time.duration_since(span.start_time).unwrap();
    let idle = number(span, "task.idle_ns");
    let parts = [
        number(span, "task.busy_ns"),
        number(span, "task.scheduled_ns"),
        idle,
    ];
    assert!(parts.iter().all(|&part| part >= 0), "{span:?}");
    assert_eq!(
        parts.iter().sum::<i64>(),
        length.as_nanos() as i64,
        "{span:?}"
    );
    let by_reason: i64 = reasons(span).iter().map(|(_, nanos)| nanos).sum();
    assert_eq!(by_reason, idle, "{span:?}");
}

/// Blocks the thread, once the process of this name waits: for a while during which it does.
fn blocks_while_idle(name: &str) {
    wait_until(|| is_idle(&Handle::current(), name));
    thread::sleep(WHILE);
}

/// All ledgers of a run add up, and there are so many.
#[track_caller]
fn assert_all_add_up(seen: &Seen, spans: usize) {
    assert_eq!(seen.spans.len(), spans, "{:?}", seen.spans);
    seen.spans.iter().for_each(assert_adds_up);
}

/// The process was idle for this reason, and for no other.
#[track_caller]
fn assert_waited_only_for(seen: &Seen, name: &str, reason: &str) {
    let span = seen.named(name);
    let found: Vec<_> = reasons(span)
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(found, [reason], "{span:?}");
    assert!(number(span, reason) > MOST / 2, "{span:?}");
}

#[test]
fn a_sleep_is_idle_for_a_timer() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            named("sleeps").spawn(sleep(WHILE)).await.unwrap();
        });
        assert_all_add_up(&seen, 2);
        assert_waited_only_for(&seen, "sleeps", "task.idle_timer_ns");
    });
}

async fn read_one(mut stream: UnixStream) {
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
}

#[test]
fn a_read_is_idle_for_io() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (near, mut far) = UnixStream::pair().unwrap();
            let reads = named("reads").spawn(read_one(near));
            idle("reads").await;
            sleep(WHILE).await;
            far.write_all(b"x").await.unwrap();
            reads.await.unwrap();
        });
        assert_all_add_up(&seen, 2);
        assert_waited_only_for(&seen, "reads", "task.idle_io_ns");
    });
}

#[test]
fn awaiting_a_blocking_function_is_idle_for_blocking() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let waits = named("waits").spawn(async {
                let function = named("function").spawn_blocking(|| blocks_while_idle("waits"));
                function.await.unwrap();
            });
            waits.await.unwrap();
        });
        assert_all_add_up(&seen, 3);
        assert_waited_only_for(&seen, "waits", "task.idle_blocking_ns");
        let function = seen.named("function");
        assert!(number(function, "task.busy_ns") >= MOST, "{function:?}");
        assert_eq!(number(function, "task.idle_ns"), 0);
    });
}

#[test]
fn awaiting_another_task_is_idle_for_a_join() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let joins = named("joins").spawn(async {
                named("joined").spawn(sleep(WHILE)).await.unwrap();
            });
            joins.await.unwrap();
        });
        assert_all_add_up(&seen, 3);
        assert_waited_only_for(&seen, "joins", "task.idle_join_ns");
    });
}

#[test]
fn awaiting_a_channel_is_idle_for_something_else() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (sender, mut receiver) = mpsc::channel::<()>(1);
            let receives = named("receives").spawn(async move {
                receiver.recv().await.unwrap();
            });
            idle("receives").await;
            sleep(WHILE).await;
            sender.send(()).await.unwrap();
            receives.await.unwrap();
        });
        assert_all_add_up(&seen, 2);
        assert_waited_only_for(&seen, "receives", "task.idle_other_ns");
    });
}

/// Waits for each reason, and for nothing twice.
async fn waits_for_all() {
    sleep(WHILE).await;
    let (near, mut far) = UnixStream::pair().unwrap();
    let (sender, receiver) = oneshot::channel();
    named("helper").spawn(async move {
        idle("mixed").await;
        sleep(WHILE).await;
        far.write_all(b"x").await.unwrap();
        sleep(WHILE).await;
        sender.send(()).unwrap();
    });
    read_one(near).await;
    receiver.await.unwrap();
    named("hop")
        .spawn_blocking(|| blocks_while_idle("mixed"))
        .await
        .unwrap();
    named("child").spawn(sleep(WHILE)).await.unwrap();
}

#[test]
fn a_task_that_waits_for_everything_is_told_each_part() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            named("mixed").spawn(waits_for_all()).await.unwrap();
        });
        assert_all_add_up(&seen, 5);
        let mixed = reasons(seen.named("mixed"));
        let keys: Vec<_> = mixed.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, REASONS);
        for (key, nanos) in mixed {
            assert!(nanos > MOST / 2, "{key}: {nanos}");
        }
    });
}

/// The deadline is only the limit.
#[test]
fn a_timeout_is_idle_for_what_it_limits() {
    let seen = Observed::one_thread().run(async {
        let (_sender, mut receiver) = mpsc::channel::<()>(1);
        let receives = async move { timeout(WHILE, receiver.recv()).await.is_err() };
        assert!(named("receives").spawn(receives).await.unwrap());
        let (near, _far) = UnixStream::pair().unwrap();
        let reads = async move { timeout(WHILE, read_one(near)).await.is_err() };
        assert!(named("reads").spawn(reads).await.unwrap());
    });
    assert_waited_only_for(&seen, "receives", "task.idle_other_ns");
    assert_waited_only_for(&seen, "reads", "task.idle_io_ns");
}

async fn root() {
    sleep(WHILE).await;
    named("child").spawn(sleep(WHILE)).await.unwrap();
}

#[test]
fn the_future_of_block_on_has_a_ledger_like_a_task() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(root());
        assert_all_add_up(&seen, 2);
        let keys: Vec<_> = reasons(seen.named("root"))
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, ["task.idle_timer_ns", "task.idle_join_ns"]);
    });
}

#[test]
fn local_tasks_have_a_ledger_like_others() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        LocalSet::new().block_on(&observed.runtime, async {
            let sleeps = named("sleeps").spawn_local(sleep(WHILE));
            let joins = named("joins").spawn_local(async { sleeps.await.unwrap() });
            joins.await.unwrap();
        });
        let seen = observed.end();
        assert_all_add_up(&seen, 3);
        assert_waited_only_for(&seen, "sleeps", "task.idle_timer_ns");
        assert_waited_only_for(&seen, "joins", "task.idle_join_ns");
    });
}

#[test]
fn a_function_that_waits_for_a_thread_is_scheduled_meanwhile() {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(1);
    let observed = Observed::new(builder);
    let (release, released) = threads::channel::<()>();
    let entered = observed.runtime.enter();
    let first = named("first").spawn_blocking(move || released.recv().unwrap());
    let second = named("second").spawn_blocking(|| ());
    drop(entered);
    thread::sleep(WHILE);
    release.send(()).unwrap();
    observed.runtime.block_on(async {
        first.await.unwrap();
        second.await.unwrap();
    });
    let seen = observed.end();
    assert_all_add_up(&seen, 3);
    let second = seen.named("second");
    let queued = number(second, "task.queued_ns");
    assert!(queued >= MOST, "{second:?}");
    assert_eq!(queued, number(second, "task.scheduled_ns"));
    assert_eq!(number(second, "task.idle_ns"), 0);
    let first = number(seen.named("first"), "task.queued_ns");
    assert!(first < queued, "{first} of {queued}");
}

/// It was ready from the end of that poll on: not from the wake on, and it was never idle.
#[test]
fn a_task_that_is_woken_while_it_runs_is_scheduled_from_the_end_of_the_poll_on() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let mut polls = 0;
            let woken = poll_fn(move |cx| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake()).join().unwrap();
                thread::sleep(WHILE);
                Poll::Pending
            });
            named("woken").spawn(woken).await.unwrap();
        });
        let span = seen.named("woken");
        assert_adds_up(span);
        assert!(number(span, "task.busy_ns") >= MOST, "{span:?}");
        assert_eq!(number(span, "task.idle_ns"), 0, "{span:?}");
        assert_eq!(number(span, "task.polls"), 2);
    });
}

#[test]
fn wakes_that_one_poll_answers_are_counted_one_by_one() {
    for (wakes, coalesced) in [(1, ""), (2, "1"), (7, "6")] {
        let seen = Observed::one_thread().run(async move {
            let (sender, receiver) = oneshot::channel();
            let mut sender = Some(sender);
            let mut polls = 0;
            let sleeper = poll_fn(move |cx| {
                polls += 1;
                if let Some(sender) = sender.take() {
                    sender.send(cx.waker().clone()).unwrap();
                    return Poll::Pending;
                }
                Poll::Ready(polls)
            });
            let sleeper = named("sleeper").spawn(sleeper);
            let waker = receiver.await.unwrap();
            (0..wakes).for_each(|_| waker.wake_by_ref());
            assert_eq!(sleeper.await.unwrap(), 2);
        });
        let span = seen.named("sleeper");
        assert_eq!(number(span, "task.wakes"), wakes + 1);
        assert_eq!(number(span, "task.polls"), 2);
        assert_eq!(text(span, "task.coalesced_wakes"), coalesced);
    }
}

/// One that wakes itself three times in its first poll.
async fn restless_root() {
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        (0..3).for_each(|_| cx.waker().wake_by_ref());
        match polls {
            1 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

#[test]
fn wakes_of_a_block_on_are_counted_one_by_one() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(restless_root());
        let span = seen.named("restless_root");
        assert_eq!(number(span, "task.polls"), 2);
        assert_eq!(number(span, "task.wakes"), 4);
        assert_eq!(number(span, "task.coalesced_wakes"), 2);
    });
}

/// Beside each poll runs a task that keeps the worker it is on busy until the next one.
#[test]
fn a_task_that_other_workers_take_over_counts_its_migrations() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    let moves = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&moves);
    let seen = Observed::new(builder).run(async move {
        let nomad = named("nomad").spawn(async move {
            let turn = Arc::new(AtomicU64::new(0));
            let mut last = thread::current().id();
            while counted.load(SeqCst) < 3 {
                let (turn_of_blocker, number) = (Arc::clone(&turn), turn.load(SeqCst));
                named("blocker").spawn(async move {
                    wait_until(|| turn_of_blocker.load(SeqCst) != number);
                });
                yield_now().await;
                turn.fetch_add(1, SeqCst);
                let here = thread::current().id();
                counted.fetch_add(u64::from(here != last), SeqCst);
                last = here;
            }
        });
        nomad.await.unwrap();
    });
    let span = seen.named("nomad");
    assert_eq!(number(span, "task.migrations"), 3);
    seen.spans.iter().for_each(assert_adds_up);
}

#[test]
fn a_task_that_stays_on_its_worker_has_no_migrations() {
    let seen = Observed::one_thread().run(async {
        let yields = named("yields").spawn(async {
            for _ in 0..10 {
                yield_now().await;
            }
        });
        yields.await.unwrap();
    });
    let span = seen.named("yields");
    assert_eq!(number(span, "task.migrations"), 0);
    assert_eq!(number(span, "task.polls"), 11);
    assert_eq!(number(span, "task.idle_ns"), 0);
}

#[test]
fn what_was_dropped_before_it_ended_has_a_ledger_too() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let aborted = named("aborted").spawn(sleep(Duration::from_secs(100)));
            idle("aborted").await;
            sleep(WHILE).await;
            aborted.abort();
            assert!(aborted.await.unwrap_err().is_cancelled());
            named("left").spawn(sleep(Duration::from_secs(100)));
            idle("left").await;
        });
        assert_all_add_up(&seen, 3);
        assert_waited_only_for(&seen, "aborted", "task.idle_timer_ns");
        let states: BTreeSet<_> = ["aborted", "left"]
            .map(|name| text(seen.named(name), "task.state"))
            .into();
        assert_eq!(states, ["cancelled".to_owned()].into());
    });
}

/// Times within nested polls are those of the inner task as well as of the outer one.
#[test]
fn a_local_set_within_a_task_keeps_both_ledgers() {
    let observed = Observed::one_thread();
    let inner_polls = Cell::new(0);
    LocalSet::new().block_on(&observed.runtime, async {
        let busy = named("busy").spawn_local(async {
            thread::sleep(WHILE);
            yield_now().await;
            thread::sleep(WHILE);
        });
        busy.await.unwrap();
        inner_polls.set(1);
    });
    let seen = observed.end();
    assert_all_add_up(&seen, 2);
    let busy = number(seen.named("busy"), "task.busy_ns");
    assert!(busy >= 2 * MOST, "{busy}");
    assert_eq!(inner_polls.get(), 1);
}
