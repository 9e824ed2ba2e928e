//! Who made a process ready: told at each poll, and counted by cause.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::future::{pending, poll_fn};
use std::io::Write;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use observed::{Observed, Seen, causes, idle, is_idle, on_each, wait_until};
use telemetry_rt::io::AsyncReadExt;
use telemetry_rt::net::UnixStream;
use telemetry_rt::otel::{PollDetail, WakeCause};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, LocalSet, block_in_place, yield_now};
use telemetry_rt::time::sleep;

const SHORT: Duration = Duration::from_millis(20);

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// A runtime that tells of each poll.
fn detailed(mut builder: Builder) -> Observed {
    Observed::with(&mut builder, |otel| otel.poll_detail(PollDetail::Events))
}

fn workers(workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

/// A process that was spawned, and then woken by `cause` and by nothing else.
#[track_caller]
fn assert_woken_by(seen: &Seen, name: &str, cause: &str) {
    let causes = causes(seen.named(name));
    assert_eq!(causes[0], "spawn", "{causes:?}");
    assert!(causes.len() > 1, "{name} was polled once");
    assert!(causes[1..].iter().all(|c| c == cause), "{causes:?}");
}

#[test]
fn a_channel_that_another_task_sends_into_is_woken_by_a_task() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let (sender, receiver) = oneshot::channel();
            let receives = named("receives").spawn(receiver);
            let sends = named("sends").spawn(async move {
                idle("receives").await;
                sender.send(()).unwrap();
            });
            sends.await.unwrap();
            receives.await.unwrap().unwrap();
        });
        assert_woken_by(&seen, "receives", "task");
    });
}

#[test]
fn a_task_that_yields_has_woken_itself() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let yields = named("yields").spawn(async {
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            yields.await.unwrap();
        });
        let causes = causes(seen.named("yields"));
        assert_eq!(causes, ["spawn", "task", "task", "task"]);
    });
}

#[test]
fn whoever_joins_a_task_is_woken_by_its_end() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let (sender, receiver) = oneshot::channel::<()>();
            let joins = named("joins").spawn(async move {
                named("joined").spawn(receiver).await.unwrap().unwrap();
            });
            idle("joins").await;
            sender.send(()).unwrap();
            joins.await.unwrap();
        });
        assert_woken_by(&seen, "joins", "task");
    });
}

#[test]
fn a_socket_is_woken_by_the_driver() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let mut near = UnixStream::from_std(near).unwrap();
            let reads = named("reads").spawn(async move { near.read_u8().await.unwrap() });
            idle("reads").await;
            far.write_all(b"x").unwrap();
            assert_eq!(reads.await.unwrap(), b'x');
        });
        assert_woken_by(&seen, "reads", "driver");
    });
}

#[test]
fn a_sleep_is_woken_by_a_timer_wherever_it_is_fired() {
    let sleeps = async || {
        for _ in 0..5 {
            sleep(SHORT).await;
        }
    };
    for builder in [Builder::new_current_thread(), workers(1), workers(2)] {
        let seen = detailed(builder).run(async {
            named("sleeps").spawn(sleeps()).await.unwrap();
        });
        assert_woken_by(&seen, "sleeps", "timer");
    }
}

/// A worker that never sleeps fires its timers between two polls, while the other one may be in the
/// driver.
#[test]
fn a_sleep_on_a_busy_worker_is_woken_by_a_timer() {
    for workers_wanted in [1, 2] {
        let mut builder = workers(workers_wanted);
        builder.event_interval(1);
        let seen = detailed(builder).run(async {
            let busy = named("busy").spawn(async {
                loop {
                    yield_now().await;
                }
            });
            let sleeps = named("sleeps").spawn(async {
                for _ in 0..5 {
                    sleep(SHORT).await;
                }
            });
            sleeps.await.unwrap();
            busy.abort();
            assert!(busy.await.is_err());
        });
        assert_woken_by(&seen, "sleeps", "timer");
        let busy = causes(seen.named("busy"));
        assert!(busy[1..].iter().all(|cause| cause == "task"), "{busy:?}");
    }
}

#[test]
fn whoever_awaits_a_blocking_function_is_woken_by_the_blocking_pool() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let handle = Handle::current();
            let awaits = named("awaits").spawn(async move {
                let function = move || wait_until(|| is_idle(&handle, "awaits"));
                named("function").spawn_blocking(function).await.unwrap();
            });
            awaits.await.unwrap();
        });
        assert_woken_by(&seen, "awaits", "blocking");
    });
}

#[test]
fn a_blocking_function_that_sends_wakes_as_the_blocking_pool() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let (sender, receiver) = oneshot::channel();
            let receives = named("receives").spawn(receiver);
            idle("receives").await;
            let sends = task::spawn_blocking(move || sender.send(()).unwrap());
            sends.await.unwrap();
            receives.await.unwrap().unwrap();
        });
        assert_woken_by(&seen, "receives", "blocking");
    });
}

#[test]
fn a_thread_that_the_runtime_does_not_know_is_foreign() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let (sender, receiver) = oneshot::channel();
            let receives = named("receives").spawn(receiver);
            idle("receives").await;
            thread::spawn(move || sender.send(()).unwrap())
                .join()
                .unwrap();
            receives.await.unwrap().unwrap();
        });
        assert_woken_by(&seen, "receives", "foreign");
    });
}

/// The first of the wakes during a poll is the one that is told.
#[test]
fn a_foreign_thread_that_wakes_a_task_during_its_poll_is_told() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let mut polls = 0;
            let woken = poll_fn(move |cx| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake()).join().unwrap();
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            named("woken").spawn(woken).await.unwrap();
        });
        assert_woken_by(&seen, "woken", "foreign");
    });
}

#[test]
fn a_task_that_blocks_in_place_still_wakes_as_a_task() {
    let seen = detailed(workers(2)).run(async {
        let (sender, receiver) = oneshot::channel();
        let receives = named("receives").spawn(receiver);
        let sends = named("sends").spawn(async move {
            idle("receives").await;
            block_in_place(|| sender.send(()).unwrap());
        });
        sends.await.unwrap();
        receives.await.unwrap().unwrap();
    });
    assert_woken_by(&seen, "receives", "task");
}

async fn root_on_a_channel() {
    let (sender, receiver) = oneshot::channel();
    named("sends").spawn(async move {
        idle("root_on_a_channel").await;
        sender.send(()).unwrap();
    });
    receiver.await.unwrap();
}

async fn root_on_a_timer() {
    sleep(SHORT).await;
}

async fn root_on_a_thread() {
    let (sender, receiver) = oneshot::channel();
    let handle = Handle::current();
    thread::spawn(move || {
        wait_until(|| is_idle(&handle, "root_on_a_thread"));
        sender.send(()).unwrap();
    });
    receiver.await.unwrap();
}

#[test]
fn the_future_of_block_on_is_told_who_woke_it() {
    on_each(|builder| {
        let observed = detailed(builder);
        observed.runtime.block_on(root_on_a_channel());
        observed.runtime.block_on(root_on_a_timer());
        observed.runtime.block_on(root_on_a_thread());
        let seen = observed.end();
        assert_woken_by(&seen, "root_on_a_channel", "task");
        assert_woken_by(&seen, "root_on_a_timer", "timer");
        assert_woken_by(&seen, "root_on_a_thread", "foreign");
    });
}

#[test]
fn local_tasks_are_told_who_woke_them() {
    on_each(|builder| {
        let observed = detailed(builder);
        let handle = observed.runtime.handle().clone();
        LocalSet::new().block_on(&observed.runtime, async move {
            let (sender, receiver) = oneshot::channel();
            let remote = named("remote").spawn_local(receiver);
            let timed = named("timed").spawn_local(async { sleep(SHORT).await });
            let (to_sibling, from_sibling) = oneshot::channel();
            let sibling = named("sibling").spawn_local(from_sibling);
            thread::spawn(move || {
                wait_until(|| is_idle(&handle, "remote"));
                sender.send(()).unwrap();
            });
            remote.await.unwrap().unwrap();
            timed.await.unwrap();
            named("sends")
                .spawn_local(async move { to_sibling.send(()).unwrap() })
                .await
                .unwrap();
            sibling.await.unwrap().unwrap();
        });
        let seen = observed.end();
        assert_woken_by(&seen, "remote", "foreign");
        assert_woken_by(&seen, "timed", "timer");
        assert_woken_by(&seen, "sibling", "task");
    });
}

/// Each poll answers one wake that made the process ready, so there are as many.
#[test]
fn wakes_are_counted_by_cause_and_are_as_many_as_the_polls() {
    on_each(|builder| {
        let observed = detailed(builder);
        observed.runtime.block_on(async {
            named("one")
                .spawn(async { sleep(SHORT).await })
                .await
                .unwrap();
            named("two").spawn(yield_now()).await.unwrap();
            task::spawn_blocking(|| ()).await.unwrap();
        });
        let metrics = observed.runtime.handle().metrics();
        let in_code: u64 = WakeCause::ALL
            .map(|cause| metrics.wake_count(cause))
            .iter()
            .sum();
        let seen = observed.end();
        let told = seen.spans.iter().map(causes);
        let mut told: Vec<String> = told.flatten().collect();
        // A blocking function has one poll, of which there is no event.
        told.push("spawn".to_owned());
        assert_eq!(in_code as usize, told.len());
        for cause in WakeCause::ALL {
            let expected = told.iter().filter(|told| *told == cause.as_str()).count();
            let counted = seen.total("executor.wakes", &[("cause", cause.as_str())]);
            assert_eq!(counted as usize, expected, "{cause:?} of {told:?}");
        }
        assert_eq!(seen.total("executor.wakes", &[("cause", "spawn")]), 4.0);
        assert!(seen.total("executor.wakes", &[("cause", "timer")]) >= 1.0);
    });
}

/// A waker that outlives its task is woken and nothing happens.
#[test]
fn a_late_wake_is_nobodys() {
    let observed = detailed(Builder::new_current_thread());
    let waker = observed.runtime.block_on(async {
        let takes = poll_fn(|cx| Poll::Ready(cx.waker().clone()));
        named("ended").spawn(takes).await.unwrap()
    });
    (0..3).for_each(|_| waker.wake_by_ref());
    drop(waker);
    let seen = observed.end();
    assert_eq!(causes(seen.named("ended")), ["spawn"]);
}

#[test]
fn an_aborted_task_is_no_poll() {
    on_each(|builder| {
        let seen = detailed(builder).run(async {
            let aborted = named("aborted").spawn(pending::<()>());
            idle("aborted").await;
            aborted.abort();
            assert!(aborted.await.is_err());
        });
        assert_eq!(causes(seen.named("aborted")), ["spawn"]);
        // A no-op waker is nobody's either.
        Waker::noop().wake_by_ref();
    });
}
