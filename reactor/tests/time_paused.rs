//! Sleeps, timeouts and intervals on a clock that stands still: every duration is exact.

mod time_support;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use telemetry_rt_reactor::leaf;
use telemetry_rt_reactor::net::UnixStream;
use telemetry_rt_reactor::time::error::Elapsed;
use telemetry_rt_reactor::time::{
    InhibitAutoAdvance, Instant, Interval, MissedTickBehavior, advance, interval, interval_at,
    pause, resume, sleep, sleep_until, timeout, timeout_at,
};
use telemetry_rt_reactor::{Config, context};
use time_support::{MS, Runtime, config};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs `future` on a clock that runs.
fn run<F: Future>(future: F) -> F::Output {
    Runtime::new(config()).block_on(future)
}

/// Runs `future` on a clock that is paused from the start.
fn run_paused<F: Future>(future: F) -> F::Output {
    let start_paused = true;
    Runtime::new(Config {
        start_paused,
        ..config()
    })
    .block_on(future)
}

async fn ready_now<F: Future>(future: F) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn when_there_is_nothing_else_to_do_time_moves_to_the_next_timer_and_no_further() {
    let start = std::time::Instant::now();
    run_paused(async {
        let start = Instant::now();
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);
        sleep(Duration::from_micros(1_500)).await;
        assert_eq!(start.elapsed(), HOUR + 2 * MS);
        sleep(5 * YEAR).await;
        assert_eq!(start.elapsed(), HOUR + 5 * YEAR + 2 * MS);
    });
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn sleeps_from_a_millisecond_to_thirty_years_are_exact() {
    run_paused(async {
        for wheel in [
            1_u64,
            63,
            64,
            65,
            4_095,
            4_096,
            1 << 18,
            1 << 24,
            1 << 30,
            1 << 36,
        ] {
            for millis in [wheel - 1, wheel, wheel + 1] {
                let start = Instant::now();
                sleep(Duration::from_millis(millis)).await;
                assert_eq!(start.elapsed(), Duration::from_millis(millis));
            }
        }
        let start = Instant::now();
        sleep(Duration::MAX).await;
        assert_eq!(start.elapsed(), 30 * YEAR);
    });
}

#[test]
fn a_clock_that_is_paused_later_on_is_exact_too_and_runs_again_when_resumed() {
    run(async {
        sleep(Duration::from_micros(1_300)).await;
        pause();
        let start = Instant::now();
        std::thread::sleep(2 * MS);
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);
        resume();
        sleep(2 * MS).await;
        assert!(start.elapsed() >= HOUR + 2 * MS);
        assert!(start.elapsed() < HOUR + Duration::from_secs(10));
    });
}

#[test]
fn advancing_fires_what_became_due_and_nothing_else() {
    run_paused(async {
        let start = Instant::now();
        let mut early = pin!(sleep(10 * MS));
        let mut late = pin!(sleep(20 * MS));
        assert!(!ready_now(early.as_mut()).await);
        assert!(!ready_now(late.as_mut()).await);
        advance(15 * MS).await;
        assert!(ready_now(early.as_mut()).await);
        assert!(!ready_now(late.as_mut()).await);
        assert_eq!(start.elapsed(), 15 * MS);
        advance(5 * MS).await;
        assert!(ready_now(late.as_mut()).await);
    });
}

#[test]
fn advancing_by_a_fraction_of_a_tick_fires_no_timer_early() {
    run_paused(async {
        let mut sleep = pin!(sleep(2 * MS));
        for _ in 0..19 {
            advance(MS / 10).await;
            assert!(!ready_now(sleep.as_mut()).await);
        }
        advance(MS / 10).await;
        assert!(ready_now(sleep.as_mut()).await);
    });
}

#[test]
fn time_stands_still_as_long_as_work_goes_on_elsewhere() {
    let start_paused = true;
    let mut runtime = Runtime::new(Config {
        start_paused,
        ..config()
    });
    let inhibited = InhibitAutoAdvance::new(&runtime.handle);
    assert!(inhibited.is_some());
    let work = std::thread::spawn(move || {
        std::thread::sleep(50 * MS);
        drop(inhibited);
    });
    let real = std::time::Instant::now();
    let virtual_time = runtime.block_on(async {
        let start = Instant::now();
        sleep(HOUR).await;
        start.elapsed()
    });
    assert_eq!(virtual_time, HOUR);
    assert!(real.elapsed() >= 50 * MS);
    assert!(work.join().is_ok());
}

#[test]
fn a_clock_that_cannot_be_paused_needs_no_inhibition() {
    let pausable = false;
    let runtime = Runtime::new(Config {
        pausable,
        ..config()
    });
    assert!(InhibitAutoAdvance::new(&runtime.handle).is_none());
}

#[test]
fn time_does_not_move_in_a_turn_that_was_told_not_to_wait() {
    let start_paused = true;
    let mut runtime = Runtime::new(Config {
        start_paused,
        ..config()
    });
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let mut sleep = pin!(sleep(MS));
    assert!(
        sleep
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let start = Instant::now();
    assert_eq!(runtime.driver.turn(Some(Duration::ZERO), true).timers, 0);
    assert_eq!(runtime.driver.turn(Some(MS), false).timers, 0);
    assert_eq!(Instant::now(), start);
    assert_eq!(runtime.driver.turn(None, true).timers, 1);
    context::restore(entered);
}

#[test]
fn a_thread_without_runtime_sees_the_time_of_the_machine() {
    run_paused(async {
        advance(HOUR).await;
        let here = Instant::now();
        let there = std::thread::spawn(Instant::now)
            .join()
            .expect("it only asks");
        assert!(there < here);
    });
}

#[test]
#[should_panic(expected = "only in a telemetry_rt runtime")]
fn pausing_outside_of_a_runtime_panics() {
    pause();
}

#[test]
#[should_panic(expected = "already paused")]
fn pausing_twice_panics() {
    run_paused(async { pause() });
}

#[test]
#[should_panic(expected = "not paused")]
fn resuming_a_clock_that_runs_panics() {
    run(async { resume() });
}

#[test]
#[should_panic(expected = "only a paused clock can be advanced")]
fn advancing_a_clock_that_runs_panics() {
    run(advance(MS));
}

#[test]
#[should_panic(expected = "current-thread")]
fn pausing_the_clock_of_several_threads_panics() {
    let pausable = false;
    Runtime::new(Config {
        pausable,
        ..config()
    })
    .block_on(async { pause() });
}

#[test]
fn a_reset_sleep_ends_at_the_new_deadline_wherever_it_was() {
    run_paused(async {
        let start = Instant::now();
        let mut sleep = pin!(sleep(100 * MS));
        sleep.as_mut().reset(start + 50 * MS);
        sleep.as_mut().await;
        assert_eq!(start.elapsed(), 50 * MS, "before it was polled");
        sleep.as_mut().reset(start + 110 * MS);
        assert!(!sleep.is_elapsed());
        sleep.as_mut().await;
        assert_eq!(start.elapsed(), 110 * MS, "after it elapsed");
        sleep.as_mut().reset(start + 200 * MS);
        assert!(!ready_now(sleep.as_mut()).await);
        sleep.as_mut().reset(start + 300 * MS);
        sleep.as_mut().await;
        assert_eq!(start.elapsed(), 300 * MS, "later, while pending");
        sleep.as_mut().reset(start + 900 * MS);
        assert!(!ready_now(sleep.as_mut()).await);
        sleep.as_mut().reset(start + 400 * MS);
        sleep.as_mut().await;
        assert_eq!(start.elapsed(), 400 * MS, "earlier, while pending");
        assert_eq!(sleep.deadline(), start + 400 * MS);
    });
}

#[test]
fn a_task_is_woken_at_the_deadline_set_last_without_polling_again() {
    run_paused(async {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut sleep = pin!(sleep(10 * MS));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        sleep.as_mut().reset(Instant::now() + 20 * MS);
        advance(15 * MS).await;
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        advance(5 * MS).await;
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(sleep.is_elapsed());
    });
}

#[test]
fn a_sleep_that_is_reset_to_the_past_wakes_its_task_and_is_ready() {
    run_paused(async {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let start = Instant::now();
        let mut pending = pin!(sleep(100 * MS));
        assert!(
            pending
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        sleep(50 * MS).await;
        pending.as_mut().reset(start + 40 * MS);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(ready_now(pending.as_mut()).await);
    });
}

#[test]
fn a_timeout_gives_the_output_or_says_that_the_time_is_over() {
    run_paused(async {
        let start = Instant::now();
        assert_eq!(timeout(MS, async { 7 }).await, Ok(7));
        assert!(timeout(20 * MS, pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), 20 * MS);
        assert!(timeout(20 * MS, sleep(10 * MS)).await.is_ok());
        assert_eq!(start.elapsed(), 30 * MS);
        assert!(timeout_at(start + 35 * MS, sleep(HOUR)).await.is_err());
        assert_eq!(start.elapsed(), 35 * MS);
    });
}

#[test]
fn a_future_that_is_ready_when_the_time_is_over_wins() {
    run_paused(async {
        let past = Instant::now();
        advance(HOUR).await;
        assert_eq!(timeout_at(past, async { 1 }).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, async { 2 }).await, Ok(2));
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        assert!(timeout(5 * MS, sleep(5 * MS)).await.is_ok());
    });
}

#[test]
fn a_timeout_without_end_needs_no_timer() {
    run_paused(async {
        let start = Instant::now();
        assert!(timeout(Duration::MAX, sleep(HOUR)).await.is_ok());
        assert_eq!(start.elapsed(), HOUR);
    });
}

#[test]
fn a_future_that_uses_the_whole_budget_up_is_stopped_all_the_same() {
    run_paused(async {
        let greedy = poll_fn(|cx| {
            while let Poll::Ready(unit) = leaf::poll_proceed(cx) {
                unit.made_progress();
            }
            Poll::<()>::Pending
        });
        let mut limited = pin!(timeout(10 * MS, greedy));
        let polled = poll_fn(|cx| {
            let outer = leaf::begin_poll();
            let polled = limited.as_mut().poll(cx);
            let _ = leaf::end_poll(outer);
            Poll::Ready(polled)
        });
        advance(10 * MS).await;
        assert!(matches!(polled.await, Poll::Ready(Err(Elapsed { .. }))));
    });
}

#[test]
fn a_pending_timeout_leaves_the_reason_of_the_inner_future_in_place() {
    run_paused(async {
        let inner = poll_fn(|_| {
            leaf::waiting_for(leaf::Waiting::Io);
            Poll::<()>::Pending
        });
        let outer = leaf::begin_poll();
        assert!(!ready_now(timeout(MS, inner)).await);
        assert_eq!(leaf::end_poll(outer).waiting, leaf::Waiting::Io);
    });
}

/// When the next five ticks are taken, in milliseconds from `start`, after the second was taken
/// 35 ms late.
async fn ticks_around_a_late_one(behavior: MissedTickBehavior) -> Vec<u128> {
    let start = Instant::now();
    let mut interval = interval(10 * MS);
    interval.set_missed_tick_behavior(behavior);
    interval.tick().await;
    advance(45 * MS).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        interval.tick().await;
        taken.push(start.elapsed().as_millis());
    }
    taken
}

#[test]
fn missed_ticks_are_caught_up_with_or_left_out_as_the_behavior_says() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    for (behavior, taken) in [
        (Burst, [45, 45, 45, 45, 50]),
        (Delay, [45, 55, 65, 75, 85]),
        (Skip, [45, 50, 60, 70, 80]),
    ] {
        assert_eq!(
            run_paused(ticks_around_a_late_one(behavior)),
            taken,
            "{behavior:?}"
        );
    }
}

#[test]
fn an_interval_ticks_at_once_and_then_regularly_whatever_is_done_between() {
    run_paused(async {
        let start = Instant::now();
        let mut interval = interval(10 * MS);
        for n in 0..5 {
            assert_eq!(interval.tick().await, start + n * 10 * MS);
            sleep(3 * MS).await;
        }
        let mut late = interval_at(start + HOUR, 10 * MS);
        assert_eq!(late.tick().await, start + HOUR);
        assert_eq!(late.tick().await, start + HOUR + 10 * MS);
    });
}

#[test]
fn an_interval_that_is_reset_ticks_when_it_was_told() {
    run_paused(async {
        let mut interval = interval(100 * MS);
        let first = interval.tick().await;
        sleep(30 * MS).await;
        interval.reset();
        assert_eq!(interval.tick().await - first, 130 * MS);
        interval.reset_after(5 * MS);
        assert_eq!(interval.tick().await - first, 135 * MS);
        interval.reset_at(first + 140 * MS);
        assert_eq!(interval.tick().await - first, 140 * MS);
        interval.reset_immediately();
        assert_eq!(interval.tick().await - first, 140 * MS);
        assert_eq!(interval.tick().await - first, 240 * MS);
    });
}

#[test]
#[should_panic(expected = "`period` must be non-zero")]
fn a_period_of_nothing_is_refused() {
    run_paused(async { interval(Duration::ZERO).tick().await });
}

fn edge_durations() -> [Duration; 6] {
    [
        Duration::ZERO,
        Duration::from_nanos(1),
        MS,
        HOUR,
        200 * YEAR,
        Duration::MAX,
    ]
}

fn edge_instants(now: Instant) -> Vec<Instant> {
    let past = [MS, HOUR].into_iter().filter_map(|by| now.checked_sub(by));
    let coming = edge_durations()
        .into_iter()
        .filter_map(|by| now.checked_add(by));
    past.chain(coming).collect()
}

async fn poll_once(interval: &mut Interval) {
    poll_fn(|cx| Poll::Ready(interval.poll_tick(cx).is_ready())).await;
}

#[test]
fn no_duration_and_no_instant_makes_any_entry_point_panic() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    run_paused(async {
        let now = Instant::now();
        for by in edge_durations() {
            let _ = ready_now(sleep(by)).await;
            let _ = ready_now(timeout(by, pending::<()>())).await;
        }
        for at in edge_instants(now) {
            let _ = ready_now(timeout_at(at, pending::<()>())).await;
            let mut sleep = pin!(sleep_until(at));
            let _ = ready_now(sleep.as_mut()).await;
            for to in edge_instants(now) {
                sleep.as_mut().reset(to);
                let _ = ready_now(sleep.as_mut()).await;
            }
        }
        for period in edge_durations().into_iter().skip(1) {
            for behavior in [Burst, Delay, Skip] {
                for start in edge_instants(now) {
                    let mut interval = interval_at(start, period);
                    interval.set_missed_tick_behavior(behavior);
                    poll_once(&mut interval).await;
                    interval.reset();
                    poll_once(&mut interval).await;
                    interval.reset_immediately();
                    poll_once(&mut interval).await;
                    for after in edge_durations() {
                        interval.reset_after(after);
                        poll_once(&mut interval).await;
                    }
                    for at in edge_instants(now) {
                        interval.reset_at(at);
                        poll_once(&mut interval).await;
                    }
                }
            }
        }
    });
}

#[test]
fn deadlines_are_kept_through_four_years_of_steps_of_all_sizes() {
    run_paused(async {
        let start = Instant::now();
        let mut step = MS;
        while start.elapsed() < 4 * YEAR {
            let before = Instant::now();
            let mut deadline = pin!(sleep(step));
            assert!(!ready_now(deadline.as_mut()).await);
            advance(step - MS).await;
            assert!(
                !ready_now(deadline.as_mut()).await,
                "{step:?} after {:?}",
                start.elapsed()
            );
            deadline.as_mut().await;
            assert_eq!(before.elapsed(), step);
            step = (step * 3 / 2 + MS).min(YEAR / 3);
            step = Duration::from_millis(step.as_millis() as u64);
        }
    });
}

#[test]
fn a_sleep_of_longer_than_there_is_time_is_one_step() {
    let mut runtime = Runtime::new(Config {
        start_paused: true,
        ..config()
    });
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let mut sleep = pin!(sleep(Duration::from_millis(u64::MAX)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    let limit = Some(Duration::from_secs(1));
    assert_eq!(runtime.driver.turn(limit, true).timers, 1);
    assert!(sleep.as_mut().poll(&mut cx).is_ready());
    context::restore(entered);
}

#[test]
fn time_does_not_overtake_what_has_arrived_already() {
    let mut runtime = Runtime::new(Config {
        start_paused: true,
        ..config()
    });
    runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..50 {
            let (one, other) = UnixStream::pair().expect("a pair");
            let readable = timeout(5 * MS, other.readable());
            assert_eq!(one.try_write(b"x").or_else(|_| nudge(&one)).expect("ok"), 1);
            readable.await.expect("in time").expect("readable");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

/// Writes past the readiness, which is not known yet.
fn nudge(stream: &UnixStream) -> std::io::Result<usize> {
    socket2::SockRef::from(stream).send(b"x")
}
