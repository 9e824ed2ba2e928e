//! Sleeps on a clock that runs, on one thread and on several.

mod time_support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use telemetry_rt_reactor::leaf;
use telemetry_rt_reactor::time::{Instant, Sleep, sleep, sleep_until, timeout};
use telemetry_rt_reactor::{Config, context};
use time_support::{MS, Runtime, Woken, config};

/// Runs `future` on a clock that runs.
fn run<F: Future>(future: F) -> F::Output {
    Runtime::new(config()).block_on(future)
}

fn poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_sleep_is_never_too_short_and_hardly_too_long() {
    run(async {
        for micros in [1, 700, 1_000, 1_001, 3_500, 12_345] {
            let (start, wanted) = (Instant::now(), Duration::from_micros(micros));
            sleep(wanted).await;
            let took = start.elapsed();
            assert!(took >= wanted, "{took:?} instead of {wanted:?}");
            assert!(took < wanted + 50 * MS, "{took:?} instead of {wanted:?}");
        }
    });
}

#[test]
fn without_sockets_the_driver_waits_for_timers_as_well() {
    let enable_io = false;
    Runtime::new(Config {
        enable_io,
        ..config()
    })
    .block_on(async {
        let start = Instant::now();
        sleep(5 * MS).await;
        assert!(start.elapsed() >= 5 * MS);
    });
}

#[test]
fn a_sleep_whose_deadline_has_passed_is_ready_at_once() {
    run(async {
        let turn = poll_fn(|cx| Poll::Ready(pin!(sleep(Duration::ZERO)).poll(cx)));
        assert!(turn.await.is_ready());
        let past = Instant::now() - Duration::from_secs(1);
        let turn = poll_fn(|cx| Poll::Ready(pin!(sleep_until(past)).poll(cx)));
        assert!(turn.await.is_ready());
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    type Order = Arc<std::sync::Mutex<Vec<u64>>>;
    /// Notes when it is woken: that is the order in which timers fire, however late all of them.
    struct Notes(u64, Order);
    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    run(async {
        let order = Order::default();
        let mut sleeps: Vec<_> = [9, 3, 6, 1]
            .map(|ms| (ms, Box::pin(sleep(100 * MS + ms * MS))))
            .into();
        for (ms, sleep) in &mut sleeps {
            let waker = Waker::from(Arc::new(Notes(u64::from(*ms), order.clone())));
            let pending = sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending();
            assert!(pending, "the machine stood still for 100 ms");
        }
        sleep(120 * MS).await;
        assert_eq!(*order.lock().unwrap(), [1, 3, 6, 9]);
    });
}

#[test]
fn a_hundred_thousand_timers_all_fire_and_none_early() {
    const TIMERS: usize = 100_000;
    let mut runtime = Runtime::new(config());
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let start = Instant::now() + 300 * MS;
    let mut sleeps: Vec<_> = (0..TIMERS)
        .map(|n| {
            Box::pin(sleep_until(
                start + Duration::from_micros(n as u64 * 7 % 200_000),
            ))
        })
        .collect();
    let pending = sleeps
        .iter_mut()
        .filter_map(|sleep| poll(sleep.as_mut(), &waker).is_pending().then_some(()))
        .count();
    let mut fired = 0;
    while fired < pending {
        fired += runtime.driver.turn(None, false).timers as usize;
        let now = Instant::now();
        let due = sleeps
            .iter()
            .filter(|sleep| sleep.deadline() <= now)
            .count();
        assert!(fired <= due, "{fired} fired, {due} were due");
    }
    assert_eq!(count.get(), pending);
    assert!(
        sleeps
            .iter_mut()
            .all(|sleep| poll(sleep.as_mut(), &waker).is_ready())
    );
    context::restore(entered);
}

#[test]
fn a_timer_added_by_another_thread_wakes_a_driver_that_waits_longer() {
    let mut runtime = Runtime::new(config());
    let handle = runtime.handle.clone();
    let (report, fired) = mpsc::channel();
    let other = std::thread::spawn(move || {
        std::thread::sleep(30 * MS);
        let _entered = context::enter(Some(handle.clone()), None);
        let woken = Woken::new(&handle);
        let mut sleep = pin!(sleep(20 * MS));
        let start = Instant::now();
        while poll(sleep.as_mut(), &Waker::from(woken.clone())).is_pending() {
            std::thread::sleep(MS);
        }
        let _ = report.send(start.elapsed());
    });
    let start = Instant::now();
    let mut timers = 0;
    while timers == 0 && start.elapsed() < Duration::from_secs(10) {
        timers = runtime
            .driver
            .turn(Some(Duration::from_secs(20)), false)
            .timers;
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the driver slept through"
    );
    let took = fired
        .recv_timeout(Duration::from_secs(5))
        .expect("it fired");
    assert!(took >= 20 * MS && took < Duration::from_secs(2), "{took:?}");
    assert!(other.join().is_ok());
}

#[test]
fn threads_and_the_driver_never_wait_for_each_other() {
    const THREADS: usize = 3;
    const SLEEPS: usize = 150;
    let mut runtime = Runtime::new(Config {
        shards: 2,
        ..config()
    });
    let done = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (handle, done) = (runtime.handle.clone(), done.clone());
            std::thread::spawn(move || {
                let _entered = context::enter(Some(handle.clone()), None);
                for round in 0..SLEEPS {
                    let thread = std::thread::current();
                    let waker = Waker::from(Arc::new(Unpark(thread)));
                    let wanted = Duration::from_micros((round * 37 + number * 101) as u64 % 3_000);
                    let start = Instant::now();
                    let mut sleep = pin!(sleep(wanted));
                    while poll(sleep.as_mut(), &waker).is_pending() {
                        std::thread::park_timeout(Duration::from_secs(5));
                        assert!(
                            start.elapsed() < Duration::from_secs(4),
                            "a wake-up was lost"
                        );
                    }
                    assert!(start.elapsed() >= wanted);
                }
                done.fetch_add(1, Ordering::Release);
                handle.wake();
            })
        })
        .collect();
    let give_up = Instant::now() + Duration::from_secs(20);
    while done.load(Ordering::Acquire) < THREADS && Instant::now() < give_up {
        runtime.driver.turn(Some(Duration::from_secs(6)), false);
        if threads.iter().all(|thread| thread.is_finished()) {
            break;
        }
    }
    assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_pending_sleep_may_be_dropped_by_another_thread_and_its_waker_goes_with_it() {
    let mut runtime = Runtime::new(config());
    let count = Arc::new(Count::default());
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    for _ in 0..1_000 {
        let mut sleep = Box::pin(sleep(10 * MS));
        assert!(poll(sleep.as_mut(), &Waker::from(count.clone())).is_pending());
        assert!(std::thread::spawn(move || drop(sleep)).join().is_ok());
    }
    assert_eq!(Arc::strong_count(&count), 1);
    assert_eq!(runtime.driver.turn(Some(20 * MS), false).timers, 0);
    context::restore(entered);
}

#[test]
fn many_timeouts_that_are_not_needed_leave_nothing_behind() {
    let mut runtime = Runtime::new(config());
    let count = Arc::new(Count::default());
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let waker = Waker::from(count.clone());
    for _ in 0..100_000 {
        let mut ready_later = false;
        let inner = poll_fn(|_| match std::mem::replace(&mut ready_later, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let mut limited = pin!(timeout(Duration::from_secs(60), inner));
        assert!(poll(limited.as_mut(), &waker).is_pending());
        assert_eq!(poll(limited.as_mut(), &waker), Poll::Ready(Ok(())));
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
    assert_eq!(runtime.driver.turn(Some(Duration::ZERO), false).timers, 0);
    context::restore(entered);
}

#[test]
fn only_the_task_that_polled_last_is_woken() {
    let mut runtime = Runtime::new(config());
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut sleep = pin!(sleep(5 * MS));
    assert!(poll(sleep.as_mut(), &first.clone().into()).is_pending());
    assert!(poll(sleep.as_mut(), &last.clone().into()).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the first waker is not kept");
    while runtime.driver.turn(None, false).timers == 0 {}
    assert_eq!((first.get(), last.get()), (0, 1));
    assert!(poll(sleep.as_mut(), Waker::noop()).is_ready());
    context::restore(entered);
}

#[test]
fn the_shutdown_wakes_pending_sleeps_and_polling_them_again_panics_instead_of_hanging() {
    let runtime = Runtime::new(config());
    let entered = context::enter(Some(runtime.handle.clone()), Some(0));
    let count = Arc::new(Count::default());
    let mut pending = Box::pin(sleep(Duration::from_secs(3600)));
    assert!(poll(pending.as_mut(), &count.clone().into()).is_pending());
    let mut fresh = Box::pin(sleep(Duration::from_secs(3600)));
    let mut past = Box::pin(sleep(Duration::ZERO));
    drop(runtime);
    assert_eq!(count.get(), 1);
    assert_eq!(Arc::strong_count(&count), 1);
    for sleep in [&mut pending, &mut fresh] {
        assert_eq!(
            panic_of(sleep),
            "A telemetry_rt runtime was found, but it is being shut down."
        );
    }
    assert!(poll(past.as_mut(), Waker::noop()).is_ready());
    context::restore(entered);
}

fn panic_of(sleep: &mut std::pin::Pin<Box<Sleep>>) -> String {
    let poll = std::panic::AssertUnwindSafe(|| poll(sleep.as_mut(), Waker::noop()));
    let panic = std::panic::catch_unwind(poll).expect_err("it cannot be ready");
    panic
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .unwrap_or_default()
}

#[test]
#[should_panic(expected = "there is no timer running")]
fn a_sleep_outside_of_a_runtime_panics_when_it_is_made() {
    drop(sleep(MS));
}

#[test]
#[should_panic(expected = "enable_time")]
fn a_sleep_in_a_runtime_without_time_names_what_is_missing() {
    let enable_time = false;
    let mut runtime = Runtime::new(Config {
        enable_time,
        ..config()
    });
    runtime.block_on(async { sleep(MS).await });
}

#[test]
fn a_sleep_keeps_to_its_runtime_when_another_polls_it() {
    let mut home = Runtime::new(config());
    let mut away = Runtime::new(config());
    let count = Arc::new(Count::default());
    let entered = context::enter(Some(home.handle.clone()), Some(0));
    let mut sleep = Box::pin(sleep(5 * MS));
    context::restore(entered);
    let entered = context::enter(Some(away.handle.clone()), Some(7));
    assert!(poll(sleep.as_mut(), &count.clone().into()).is_pending());
    assert_eq!(away.driver.turn(Some(10 * MS), false).timers, 0);
    context::restore(entered);
    assert_eq!(home.driver.turn(Some(10 * MS), false).timers, 1);
    assert_eq!(count.get(), 1);
}

#[test]
fn a_sleep_that_outlives_its_runtime_is_over_when_its_time_is_and_else_panics() {
    let mut runtime = Runtime::new(config());
    let (mut short, mut long) = runtime.block_on(async {
        let mut sleeps = [MS, 3_600_000 * MS].map(|wait| Box::pin(sleep(wait)));
        let pending = poll_fn(|cx| {
            let pending = sleeps
                .iter_mut()
                .all(|it| it.as_mut().poll(cx).is_pending());
            Poll::Ready(pending)
        })
        .await;
        assert!(pending);
        sleeps.into()
    });
    drop(runtime);
    std::thread::sleep(2 * MS);
    assert!(poll(short.as_mut(), Waker::noop()).is_ready());
    assert!(panic_of(&mut long).contains("shut down"));
}

#[test]
fn a_timeout_is_never_too_short() {
    run(async {
        for micros in [1, 900, 2_500, 7_000] {
            let (start, wanted) = (Instant::now(), Duration::from_micros(micros));
            assert!(timeout(wanted, std::future::pending::<()>()).await.is_err());
            let took = start.elapsed();
            assert!(took >= wanted, "{took:?} instead of {wanted:?}");
        }
    });
}

#[test]
fn a_timeout_counts_from_when_it_was_made_though_it_is_polled_much_later() {
    run(async {
        let limited = timeout(20 * MS, std::future::pending::<()>());
        let mut limited = pin!(limited);
        std::thread::sleep(150 * MS);
        let turn = poll_fn(|cx| Poll::Ready(limited.as_mut().poll(cx)));
        assert!(turn.await.is_ready());
    });
}

#[test]
fn sleeps_that_are_always_ready_use_the_budget_up() {
    run(async {
        let mut ready = 0;
        let outer = leaf::begin_poll();
        poll_fn(|cx| {
            while pin!(sleep(Duration::ZERO)).poll(cx).is_ready() {
                ready += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!(leaf::end_poll(outer).exhausted);
        assert_eq!(ready, usize::from(leaf::BUDGET));
    });
}

#[test]
fn a_pending_sleep_says_that_its_task_waits_for_a_timer() {
    run(async {
        let outer = leaf::begin_poll();
        let pending = poll_fn(|cx| Poll::Ready(pin!(sleep(MS)).poll(cx).is_pending()));
        assert!(pending.await);
        assert_eq!(leaf::end_poll(outer).waiting, leaf::Waiting::Timer);
    });
}

#[test]
fn sleeps_are_send_and_sync_and_have_to_be_pinned() {
    fn send_and_sync<T: Send + Sync>(_: T) {}
    fn unpin<T: Unpin>(_: T) {}
    run(async {
        send_and_sync(sleep(MS));
        send_and_sync(timeout(MS, async {}));
        let interval = telemetry_rt_reactor::time::interval(MS);
        send_and_sync(&interval);
        unpin(interval);
        // `Sleep: !Unpin` is proved by a call that two implementations would make ambiguous.
        trait Ambiguous<A> {
            fn not_unpin() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct IsUnpin;
        impl<T: ?Sized + Unpin> Ambiguous<IsUnpin> for T {}
        <Sleep as Ambiguous<_>>::not_unpin();
    });
}
