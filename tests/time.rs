//! Timers as programs use them, and the clock that tests stop.
//!
//! A paused clock must neither stand still when it could move, nor move while there is work that
//! it could overtake. Tests with `start_paused` measure by the runtime's own clock: exactly.

#![cfg(all(feature = "tokio-io", feature = "macros"))]

#[path = "ecosystem/bounded.rs"]
mod bounded;
#[path = "ecosystem/watchdog.rs"]
mod watchdog;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant as Machine;

use bounded::on_each_runtime;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream, UnixStream, lookup_host};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::{mpsc, oneshot};
use telemetry_rt::task::{JoinSet, LocalSet, spawn_blocking, spawn_local, yield_now};
use telemetry_rt::time::{
    self, Duration, Instant, MissedTickBehavior, advance, interval, interval_at, pause, resume,
    sleep, sleep_until, timeout, timeout_at,
};
use watchdog::Watchdog;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

// ----- a clock that runs -----

#[test]
fn a_sleep_is_never_too_short_on_any_runtime() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let mut sleeps = JoinSet::new();
            for length in 0..100 {
                sleeps.spawn(async move {
                    let (length, start) = (length * MS / 5, Machine::now());
                    sleep(length).await;
                    assert!(start.elapsed() >= length);
                });
            }
            sleeps.join_all().await;
        });
    });
}

#[test]
fn a_timeout_gives_the_output_or_the_error_on_any_runtime() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            assert_eq!(timeout(HOUR, async { 1 }).await, Ok(1));
            assert_eq!(timeout(Duration::MAX, async { 1 }).await, Ok(1));
            assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
            let task = telemetry_rt::spawn(timeout(5 * MS, std::future::pending::<()>()));
            let elapsed = task.await.unwrap().unwrap_err();
            assert_eq!(elapsed.to_string(), "deadline has elapsed");
            let error = std::io::Error::from(elapsed);
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let past = Instant::now() - MS;
            assert!(
                timeout_at(past, std::future::pending::<()>())
                    .await
                    .is_err()
            );
        });
    });
}

#[test]
fn an_interval_ticks_at_once_and_then_never_early_on_any_runtime() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let start = Instant::now();
            let mut ticking = interval(2 * MS);
            let first = ticking.tick().await;
            for number in 1..10 {
                assert_eq!(ticking.tick().await, first + number * 2 * MS);
                assert!(start.elapsed() >= number * 2 * MS);
            }
        });
    });
}

#[test]
fn a_sleep_may_be_moved_and_dropped_on_another_thread() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let mut hour = Box::pin(sleep(HOUR));
            assert!(futures_util::poll!(&mut hour).is_pending());
            std::thread::spawn(move || drop(hour)).join().unwrap();

            let mut sooner = Box::pin(sleep(HOUR));
            assert!(futures_util::poll!(&mut sooner).is_pending());
            let sooner = std::thread::spawn(move || {
                sooner.as_mut().reset(Instant::now() + MS);
                sooner
            });
            sooner.join().unwrap().await;
        });
    });
}

#[test]
fn a_sleep_outside_of_a_runtime_with_timers_panics_with_advice() {
    let outside = catch_unwind(|| drop(sleep(MS))).unwrap_err();
    let message = outside.downcast::<String>().map(|text| *text);
    let message = message.unwrap_or_else(|other| (*other.downcast::<&str>().unwrap()).to_owned());
    assert!(
        message.contains("must be called from the context of a telemetry_rt runtime"),
        "{message}"
    );

    let runtime = Builder::new_current_thread().build().unwrap();
    let disabled = runtime.block_on(async { catch_unwind(|| drop(sleep(MS))).unwrap_err() });
    let message = disabled.downcast::<&str>().map(|text| text.to_string());
    let message = message.unwrap_or_else(|other| *other.downcast::<String>().unwrap());
    assert!(message.contains("enable_time"), "{message}");
}

// ----- a clock that is paused -----

#[telemetry_rt::test(start_paused = true)]
async fn an_hour_passes_at_once_and_exactly() {
    let (_watchdog, machine, start) = (Watchdog::new(), Machine::now(), Instant::now());
    sleep(HOUR).await;
    assert_eq!(start.elapsed(), HOUR);
    assert!(machine.elapsed() < Duration::from_secs(30));
}

#[telemetry_rt::test(start_paused = true)]
async fn tasks_wake_in_the_order_of_their_deadlines() {
    let _watchdog = Watchdog::new();
    let (woken, mut order) = mpsc::unbounded_channel();
    for minutes in [7_u32, 1, 30, 2, 90, 3] {
        let woken = woken.clone();
        telemetry_rt::spawn(async move {
            sleep(minutes * 60 * 1000 * MS).await;
            woken.send(minutes).unwrap();
        });
    }
    drop(woken);
    for minutes in [1, 2, 3, 7, 30, 90] {
        assert_eq!(order.recv().await, Some(minutes));
    }
    assert_eq!(order.recv().await, None);
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_does_not_move_while_there_is_something_to_run() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let sleeping = telemetry_rt::spawn(sleep(MS));
    for _ in 0..1000 {
        yield_now().await;
    }
    assert!(!sleeping.is_finished());
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleeping.await.unwrap();
    assert_eq!(start.elapsed(), MS);
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_does_not_overtake_a_blocking_function() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    for _ in 0..20 {
        let blocking = spawn_blocking(|| std::thread::sleep(5 * MS));
        timeout(HOUR, blocking).await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_does_not_overtake_one_of_several_blocking_functions() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let short = spawn_blocking(|| std::thread::sleep(MS));
    let long = spawn_blocking(|| std::thread::sleep(20 * MS));
    short.await.unwrap();
    timeout(HOUR, long).await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_goes_on_when_a_blocking_function_ends_that_nobody_waits_for() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let ended = Arc::new(AtomicBool::new(false));
    telemetry_rt::spawn({
        let ended = Arc::clone(&ended);
        async move {
            drop(spawn_blocking(move || {
                std::thread::sleep(30 * MS);
                ended.store(true, Ordering::SeqCst);
            }));
        }
    });
    sleep(HOUR).await;
    assert!(ended.load(Ordering::SeqCst));
    assert_eq!(start.elapsed(), HOUR);
}

#[telemetry_rt::test(start_paused = true)]
async fn what_a_blocking_function_sends_arrives_before_the_clock_moves() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    for number in 0..200 {
        let (sender, receiver) = oneshot::channel();
        drop(spawn_blocking(move || sender.send(number)));
        assert_eq!(timeout(MS, receiver).await.unwrap(), Ok(number));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_does_not_overtake_the_lookup_of_a_name() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let found = timeout(MS, lookup_host("localhost:80")).await;
    assert!(found.unwrap().unwrap().next().is_some());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(start_paused = true)]
async fn sockets_work_beside_a_paused_clock() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = telemetry_rt::join!(TcpStream::connect(address), listener.accept());
    let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
    telemetry_rt::spawn(async move {
        sleep(HOUR).await;
        client.write_u8(7).await.unwrap();
    });
    assert_eq!(server.read_u8().await.unwrap(), 7);
    assert_eq!(start.elapsed(), HOUR);
}

/// Sends a byte to and fro, fifty times, each within a time that must not pass.
async fn ping_within_a_timeout() {
    let start = Instant::now();
    for number in 0..50 {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        telemetry_rt::spawn(async move {
            let byte = other.read_u8().await.unwrap();
            other.write_u8(byte).await.unwrap();
        });
        let ping = async {
            one.write_u8(number).await?;
            one.read_u8().await
        };
        let pong = timeout(Duration::from_secs(5), ping).await;
        assert_eq!(pong.expect("in time").unwrap(), number);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(start_paused = true)]
async fn the_clock_does_not_overtake_what_has_arrived_at_a_socket() {
    let _watchdog = Watchdog::new();
    ping_within_a_timeout().await;
    telemetry_rt::spawn(ping_within_a_timeout()).await.unwrap();
}

#[telemetry_rt::test(start_paused = true)]
async fn timers_of_local_tasks_move_the_clock_too() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let set = LocalSet::new();
    set.run_until(async {
        let task = spawn_local(sleep(HOUR));
        task.await.unwrap();
    })
    .await;
    assert_eq!(start.elapsed(), HOUR);
}

#[telemetry_rt::test(start_paused = true)]
async fn advancing_fires_what_is_due_and_nothing_else() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    let first = telemetry_rt::spawn(sleep(10 * MS));
    let second = telemetry_rt::spawn(sleep(20 * MS));
    yield_now().await;
    advance(15 * MS).await;
    yield_now().await;
    assert!(first.is_finished());
    assert!(!second.is_finished());
    assert_eq!(start.elapsed(), 15 * MS);
    second.await.unwrap();
    assert_eq!(start.elapsed(), 20 * MS);
}

#[telemetry_rt::test]
async fn the_clock_is_paused_and_resumed_in_the_middle() {
    let (_watchdog, machine) = (Watchdog::new(), Machine::now());
    sleep(MS).await;
    pause();
    let paused = Instant::now();
    sleep(HOUR).await;
    resume();
    assert!(paused.elapsed() >= HOUR);
    assert!(machine.elapsed() < Duration::from_secs(30));
    let (machine, resumed) = (Machine::now(), Instant::now());
    sleep(5 * MS).await;
    assert!(machine.elapsed() >= 5 * MS);
    assert!(resumed.elapsed() >= 5 * MS);
}

#[telemetry_rt::test(start_paused = true)]
async fn missed_ticks_are_made_up_for_as_the_interval_is_told() {
    let _watchdog = Watchdog::new();
    for (behavior, expected) in [
        (MissedTickBehavior::Burst, [0, 10, 20, 30, 40]),
        (MissedTickBehavior::Delay, [0, 10, 35, 45, 55]),
        (MissedTickBehavior::Skip, [0, 10, 30, 40, 50]),
    ] {
        let start = Instant::now();
        let mut ticking = interval_at(start, 10 * MS);
        ticking.set_missed_tick_behavior(behavior);
        assert_eq!(ticking.tick().await, start);
        advance(25 * MS).await;
        let mut ticks = vec![Duration::ZERO];
        for _ in 1..expected.len() {
            ticks.push(ticking.tick().await - start);
        }
        let expected: Vec<_> = expected.into_iter().map(|tick| tick * MS).collect();
        assert_eq!(ticks, expected, "{behavior:?}");
    }
}

#[telemetry_rt::test(start_paused = true)]
async fn a_sleep_until_the_past_does_not_move_the_clock() {
    let (_watchdog, start) = (Watchdog::new(), Instant::now());
    sleep_until(start - MS).await;
    sleep(Duration::ZERO).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(start_paused = true)]
async fn a_paused_clock_is_that_of_its_runtime_only() {
    let _watchdog = Watchdog::new();
    let (paused, machine) = (Instant::now(), Machine::now());
    let other = std::thread::spawn(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            sleep(5 * MS).await;
            start.elapsed()
        })
    });
    assert!(other.join().unwrap() >= 5 * MS);
    assert!(machine.elapsed() >= 5 * MS);
    assert_eq!(paused.elapsed(), Duration::ZERO);
}

#[telemetry_rt::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_several_threads_cannot_be_paused() {
    let _watchdog = Watchdog::new();
    for refused in [
        catch_unwind(pause),
        catch_unwind(resume),
        telemetry_rt::spawn(async { catch_unwind(pause) })
            .await
            .unwrap(),
    ] {
        assert!(refused.is_err());
    }
    let advanced = telemetry_rt::spawn(advance(MS)).await;
    assert!(advanced.unwrap_err().is_panic());
}

#[telemetry_rt::test(start_paused = true)]
async fn pausing_twice_panics() {
    let _watchdog = Watchdog::new();
    assert!(catch_unwind(AssertUnwindSafe(pause)).is_err());
    resume();
    assert!(catch_unwind(AssertUnwindSafe(resume)).is_err());
}

#[test]
fn the_clock_stays_paused_between_one_block_on_and_the_next() {
    let _watchdog = Watchdog::new();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let start = runtime.block_on(async { Instant::now() });
    std::thread::sleep(5 * MS);
    let elapsed = runtime.block_on(async {
        time::sleep(HOUR).await;
        start.elapsed()
    });
    assert_eq!(elapsed, HOUR);
    let _entered = runtime.enter();
    assert_eq!(start.elapsed(), HOUR);
    assert!(Handle::try_current().is_ok());
}
