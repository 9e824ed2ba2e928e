//! What does a program that was written for tokio rely on without saying so? Contexts, handles,
//! several runtimes, local tasks, and that a task in a loop lets others have their turn.

// A detached task is an ordinary thing: no ceremony is asked for it.
#![deny(unused_must_use)]
#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bounded::on_each_runtime;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::UnixStream;
use telemetry_rt::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use telemetry_rt::sync::{Notify, broadcast, mpsc, oneshot, watch};
use telemetry_rt::task::{
    self, JoinSet, LocalSet, block_in_place, consume_budget, spawn_blocking, spawn_local,
    unconstrained, yield_now,
};
use telemetry_rt::time::{Duration, interval, sleep, timeout};

fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn message_of<T>(panics: impl FnOnce() -> T) -> String {
    let caught = catch_unwind(AssertUnwindSafe(|| drop(panics())));
    let payload = caught.expect_err("a panic was expected");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

// ----- block_on -----

#[test]
fn the_free_block_on_has_everything_enabled() {
    let flavor = telemetry_rt::block_on(async {
        sleep(Duration::from_millis(1)).await;
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_u8(7).await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), 7);
        telemetry_rt::spawn(async { Handle::current().runtime_flavor() })
            .await
            .unwrap()
    });
    assert_eq!(flavor, RuntimeFlavor::MultiThread);
}

#[test]
fn block_on_within_a_task_panics_in_the_words_that_are_searched_for() {
    const WORDS: &str = "Cannot start a runtime from within a runtime";
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            for message in [
                message_of(|| telemetry_rt::block_on(async {})),
                message_of(|| Handle::current().block_on(async {})),
                telemetry_rt::spawn(async { message_of(|| Handle::current().block_on(async {})) })
                    .await
                    .unwrap(),
            ] {
                assert!(message.starts_with(WORDS), "{message}");
            }
            // It left nothing behind.
            telemetry_rt::spawn(yield_now()).await.unwrap();
        });
    });
}

#[test]
fn dropping_a_runtime_within_a_task_panics_and_in_the_background_does_not() {
    const WORDS: &str = "Cannot drop a runtime in a context where blocking is not allowed";
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let dropped = telemetry_rt::spawn(async { message_of(|| multi_thread(1)) });
            let message = dropped.await.unwrap();
            assert!(message.starts_with(WORDS), "{message}");
            telemetry_rt::spawn(async { multi_thread(1).shutdown_background() })
                .await
                .unwrap();
            spawn_blocking(|| drop(multi_thread(1))).await.unwrap();
        });
    });
}

// ----- the current runtime -----

#[test]
fn spawning_outside_of_a_runtime_panics_with_advice() {
    let message = message_of(|| telemetry_rt::spawn(async {}));
    assert!(message.contains("there is no reactor running"), "{message}");
    assert!(Handle::try_current().unwrap_err().is_missing_context());
}

#[test]
fn a_blocking_function_is_inside_of_the_runtime_and_may_block_on_it() {
    on_each_runtime(|runtime| {
        let answer = runtime.block_on(async {
            spawn_blocking(|| {
                let handle = Handle::current();
                let task = telemetry_rt::spawn(async { 41 });
                handle.block_on(async { task.await.unwrap() + 1 })
            })
            .await
            .unwrap()
        });
        assert_eq!(answer, 42);
    });
}

#[test]
fn hooks_run_on_every_thread_within_the_runtime() {
    let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hooked")
        .enable_all()
        .on_thread_start({
            let started = Arc::clone(&started);
            move || {
                // Spawning from here is allowed.
                Handle::current().spawn(async {});
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                assert!(name.starts_with("hooked"), "{name}");
                started.fetch_add(1, Ordering::SeqCst);
            }
        })
        .on_thread_stop({
            let stopped = Arc::clone(&stopped);
            move || {
                stopped.fetch_add(1, Ordering::SeqCst);
            }
        })
        .build()
        .unwrap();
    runtime.block_on(async { spawn_blocking(|| {}).await.unwrap() });
    drop(runtime);
    assert_eq!(started.load(Ordering::SeqCst), 3);
    assert_eq!(stopped.load(Ordering::SeqCst), 3);
}

#[test]
fn the_runtime_entered_last_is_the_current_one() {
    let (outer, inner) = (multi_thread(1), multi_thread(3));
    let workers = || Handle::current().num_workers();
    let outer_entered = outer.enter();
    assert_eq!(workers(), 1);
    {
        let _inner_entered = inner.enter();
        assert_eq!(workers(), 3);
        // A task knows its own runtime, whoever spawned it.
        assert_eq!(outer.block_on(async { workers() }), 1);
        let spawned = outer.spawn(async move { workers() });
        assert_eq!(inner.block_on(spawned).unwrap(), 1);
    }
    assert_eq!(workers(), 1);
    drop(outer_entered);
    assert!(Handle::try_current().is_err());
}

#[test]
fn a_future_may_spawn_while_it_is_dropped_with_its_runtime() {
    struct SpawnsInDrop(Arc<AtomicBool>);
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            telemetry_rt::spawn(async { unreachable!("the runtime is shutting down") });
            drop(sleep(Duration::from_millis(1)));
            self.0.store(true, Ordering::SeqCst);
        }
    }
    on_each_runtime(|runtime| {
        let dropped = Arc::new(AtomicBool::new(false));
        let spawns = SpawnsInDrop(Arc::clone(&dropped));
        runtime.spawn(async move {
            let _spawns = spawns;
            std::future::pending::<()>().await;
        });
        runtime.block_on(yield_now());
        drop(runtime);
        assert!(dropped.load(Ordering::SeqCst));
    });
}

// ----- several runtimes -----

#[test]
fn channels_and_handles_connect_runtimes() {
    on_each_runtime(|runtime| {
        let other = multi_thread(2);
        let (numbers, mut received) = mpsc::channel(4);
        let (sum, sum_arrives) = oneshot::channel();
        let (state, mut watching) = watch::channel(0);
        let (news, mut reading) = broadcast::channel(16);
        runtime.spawn(async move {
            let mut total = 0;
            while let Some(number) = received.recv().await {
                total += number;
            }
            sum.send(total).unwrap();
        });
        let seen = runtime.spawn(async move {
            watching.wait_for(|&value| value == 9).await.unwrap();
            reading.recv().await.unwrap()
        });
        let sent = other.spawn(async move {
            for number in 1..=100 {
                numbers.send(number).await.unwrap();
            }
            news.send("news").unwrap();
            state.send(9).unwrap();
        });
        runtime.block_on(async {
            sent.await.unwrap();
            assert_eq!(sum_arrives.await, Ok(5050));
        });
        assert_eq!(other.block_on(seen).unwrap(), "news");
    });
}

#[test]
fn threads_without_a_runtime_use_the_blocking_side_of_channels() {
    on_each_runtime(|runtime| {
        let (requests, mut received) = mpsc::channel(1);
        let (answers, mut answered) = mpsc::channel(1);
        runtime.spawn(async move {
            while let Some(number) = received.recv().await {
                answers.send(number * 2).await.unwrap();
            }
        });
        let thread = std::thread::spawn(move || {
            for number in 0..100 {
                requests.blocking_send(number).unwrap();
                assert_eq!(answered.blocking_recv(), Some(number * 2));
            }
        });
        runtime.block_on(async {
            spawn_blocking(move || thread.join().unwrap())
                .await
                .unwrap();
        });
    });
}

#[test]
fn a_task_whose_runtime_is_gone_is_cancelled_for_who_awaits_it_elsewhere() {
    on_each_runtime(|runtime| {
        let other = multi_thread(1);
        let gone = runtime.spawn(std::future::pending::<()>());
        let awaiting = other.spawn(gone);
        drop(runtime);
        let joined = other.block_on(awaiting).unwrap();
        assert!(joined.unwrap_err().is_cancelled());
    });
}

// ----- sets of tasks -----

#[test]
fn a_join_set_takes_tasks_and_blocking_functions_from_any_runtime() {
    on_each_runtime(|runtime| {
        let other = multi_thread(1);
        runtime.block_on(async {
            let mut set = JoinSet::new();
            set.spawn(async { 1 });
            set.spawn_on(async { 10 }, other.handle());
            set.spawn_blocking(|| 100);
            set.spawn(std::future::pending()).abort();
            let (mut sum, mut cancelled) = (0, 0);
            while let Some(joined) = set.join_next().await {
                match joined {
                    Ok(number) => sum += number,
                    Err(error) => cancelled += usize::from(error.is_cancelled()),
                }
            }
            assert_eq!((sum, cancelled), (111, 1));
        });
    });
}

#[test]
fn a_local_set_blocks_on_a_runtime_of_any_kind() {
    on_each_runtime(|runtime| {
        let set = LocalSet::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        let (wake, woken) = oneshot::channel();
        set.block_on(&runtime, async {
            let local = spawn_local({
                let log = Rc::clone(&log);
                async move {
                    let number = woken.await.unwrap();
                    sleep(Duration::from_millis(1)).await;
                    log.borrow_mut().push(number);
                }
            });
            telemetry_rt::spawn(async move { wake.send(7).unwrap() });
            local.await.unwrap();
        });
        assert_eq!(*log.borrow(), [7]);
        // The set goes on where it was left, on whichever call.
        let later = set.spawn_local({
            let log = Rc::clone(&log);
            async move { log.borrow_mut().push(8) }
        });
        set.block_on(&runtime, later).unwrap();
        assert_eq!(*log.borrow(), [7, 8]);
    });
}

#[test]
fn blocking_in_place_lets_the_only_worker_go_on() {
    let runtime = multi_thread(1);
    let answer = runtime.block_on(async {
        telemetry_rt::spawn(async {
            let (sender, receiver) = oneshot::channel();
            telemetry_rt::spawn(async move {
                sleep(Duration::from_millis(1)).await;
                sender.send(7).unwrap();
            });
            block_in_place(|| Handle::current().block_on(receiver))
        })
        .await
        .unwrap()
    });
    assert_eq!(answer, Ok(7));
}

// ----- task-locals -----

telemetry_rt::task_local! {
    static REQUEST: u32;
    static USER: Cell<&'static str>;
}

#[test]
fn task_locals_follow_the_future_and_not_the_thread() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for number in 0..20 {
                let request = async move {
                    for _ in 0..20 {
                        assert_eq!(REQUEST.get(), number);
                        yield_now().await;
                    }
                    let inherited = telemetry_rt::spawn(async { REQUEST.try_get().is_ok() });
                    assert!(!inherited.await.unwrap());
                    REQUEST.scope(number + 1, async { REQUEST.get() }).await
                };
                set.spawn(REQUEST.scope(number, request));
            }
            let sum: u32 = set.join_all().await.into_iter().sum();
            assert_eq!(sum, (1..=20).sum::<u32>());
            assert!(REQUEST.try_get().is_err());
            USER.sync_scope(Cell::new("ada"), || USER.with(|user| user.set("bob")));
        });
    });
}

// ----- turns -----

/// So many operations are tried before it is said that others starve.
const MANY: usize = 20_000;

/// A task that is ready and waits for its turn.
struct Other(Arc<AtomicBool>);

impl Other {
    fn spawn() -> Other {
        let ran = Arc::new(AtomicBool::new(false));
        let other = Other(Arc::clone(&ran));
        telemetry_rt::spawn(async move { ran.store(true, Ordering::SeqCst) });
        other
    }

    fn ran(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How often a step completes before a task that is ready gets its turn.
///
/// A macro, as the compiler cannot prove yet that the future of a borrowing closure is `Send`.
macro_rules! steps_until_others_run {
    ($step:expr) => {{
        let other = Other::spawn();
        let mut steps = 0;
        while steps < MANY && !other.ran() {
            $step;
            steps += 1;
        }
        steps
    }};
}

/// Runs `future` as a task of the only worker there is, in both kinds of runtime.
fn on_one_worker<F>(future: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    for runtime in [current, multi_thread(1)] {
        runtime.block_on(async {
            let task = telemetry_rt::spawn(future());
            timeout(Duration::from_secs(60), task)
                .await
                .unwrap()
                .unwrap();
        });
    }
}

/// The budget is 128; what a step costs besides its own operation is a few more.
#[track_caller]
fn assert_yields(steps: usize) {
    assert!((1..=130).contains(&steps), "others ran after {steps} steps");
}

#[test]
fn a_socket_that_is_always_ready_lets_others_run() {
    on_one_worker(|| async {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(&[0; MANY]).await.unwrap();
        yield_now().await;
        assert_yields(steps_until_others_run!(other.read_u8().await.unwrap()));
    });
}

#[test]
fn a_timer_that_is_always_due_lets_others_run() {
    on_one_worker(|| async {
        assert_yields(steps_until_others_run!(sleep(Duration::ZERO).await));
        let mut burst = interval(Duration::from_nanos(1));
        assert_yields(steps_until_others_run!(burst.tick().await));
    });
}

#[test]
fn tasks_that_are_done_let_others_run_while_they_are_joined() {
    on_one_worker(|| async {
        let mut done: Vec<_> = (0..500).map(|_| telemetry_rt::spawn(async {})).collect();
        let mut set: JoinSet<()> = (0..500).map(|_| async {}).collect();
        while !done.iter().all(task::JoinHandle::is_finished) {
            yield_now().await;
        }
        assert_yields(steps_until_others_run!(done.pop().unwrap().await.unwrap()));
        assert_yields(steps_until_others_run!(
            set.join_next().await.unwrap().unwrap()
        ));
    });
}

#[test]
fn a_loop_over_a_channel_lets_others_run_if_it_takes_from_the_budget() {
    on_one_worker(|| async {
        let notify = Notify::new();
        assert_yields(steps_until_others_run!({
            notify.notify_one();
            notify.notified().await;
            consume_budget().await;
        }));
    });
}

#[test]
fn without_a_budget_a_task_keeps_its_worker() {
    on_one_worker(|| {
        unconstrained(async {
            assert_eq!(steps_until_others_run!(sleep(Duration::ZERO).await), MANY);
        })
    });
}

#[test]
fn the_future_of_block_on_has_a_budget_too() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_yields(steps_until_others_run!(sleep(Duration::ZERO).await));
    });
}

#[test]
fn a_panic_ends_its_task_and_is_told_to_who_awaits_it() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let task = telemetry_rt::spawn(async { panic!("a task that panics") });
            let id = task.id();
            let error = task.await.unwrap_err();
            assert!(error.is_panic());
            assert_eq!(error.id(), id);
            assert!(error.to_string().contains("a task that panics"), "{error}");
            let own = telemetry_rt::spawn(async { task::id() });
            assert_eq!(own.id(), own.await.unwrap());
        });
    });
}
