//! Tasks on both flavours of the runtime, as users see them.

mod support;

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use support::{config, current, multi, on_each, start};
use telemetry_rt_executor::*;

#[test]
fn a_task_returns_its_output() {
    on_each(|runtime| {
        let output = runtime.block_on(async {
            let task = spawn(async { 40 + 2 });
            task.await.unwrap()
        });
        assert_eq!(output, 42);
    });
}

/// A `block_on` lends its runtime to the thread; what is entered within it may be left later.
#[test]
fn what_is_entered_in_a_block_on_and_left_after_it_keeps_no_runtime_that_is_gone() {
    let other = multi(2);
    let first = multi(1);
    let mut kept = None;
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        first.block_on(async {
            assert_eq!(Handle::current().num_workers(), 1);
            kept = Some(other.enter());
        });
    }));
    assert!(left.is_err(), "guards are left in the reverse order");
    drop(first);
    assert_eq!(Handle::current().num_workers(), 2);
    // Makes the first one current again, of which nobody else has a handle.
    drop(kept);
    assert_eq!(Handle::current().num_workers(), 1);
}

#[test]
fn many_tasks_that_yield_all_end() {
    on_each(|runtime| {
        let sum = runtime.block_on(async {
            let tasks: Vec<_> = (0..1000_u64)
                .map(|number| {
                    spawn(async move {
                        for _ in 0..number % 7 {
                            yield_now().await;
                        }
                        number
                    })
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn tasks_spawned_from_foreign_threads_run() {
    let runtime = multi(2);
    let done = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let done = Arc::clone(&done);
                    drop(runtime.spawn(async move {
                        done.fetch_add(1, SeqCst);
                    }));
                }
            });
        }
    });
    wait_until(|| done.load(SeqCst) == 4000);
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_panic_is_reported_and_the_worker_lives_on() {
    on_each(|runtime| {
        runtime.block_on(async {
            let number = std::hint::black_box(1);
            let error = spawn(async move { panic!("oh no {number}") })
                .await
                .unwrap_err();
            assert!(error.is_panic());
            assert!(
                error
                    .to_string()
                    .ends_with("panicked with message \"oh no 1\"")
            );
            let payload = error.try_into_panic().unwrap();
            assert_eq!(payload.downcast_ref::<String>().unwrap(), "oh no 1");
            assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
        });
    });
}

#[test]
fn an_aborted_task_is_cancelled_and_dropped() {
    on_each(|runtime| {
        runtime.block_on(async {
            let held = Arc::new(());
            let task = spawn({
                let held = Arc::clone(&held);
                async move {
                    pending::<()>().await;
                    drop(held);
                }
            });
            yield_now().await;
            task.abort();
            let error = task.await.unwrap_err();
            assert!(error.is_cancelled());
            assert!(error.try_into_panic().is_err());
            assert_eq!(Arc::strong_count(&held), 1);
        });
    });
}

#[test]
fn a_blocking_function_returns_its_output_and_its_panic() {
    on_each(|runtime| {
        runtime.block_on(async {
            let main = std::thread::current().id();
            let thread = spawn_blocking(|| std::thread::current().id());
            assert_ne!(thread.await.unwrap(), main);
            let error = spawn_blocking(|| panic!("blocked")).await.unwrap_err();
            assert!(error.is_panic());
        });
    });
}

#[test]
fn the_blocking_pool_keeps_to_its_limit_and_runs_everything() {
    let mut config = config(RuntimeFlavor::MultiThread, 1);
    config.blocking_threads = 3;
    let runtime = start(config).unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            runtime.spawn_blocking(move || {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, SeqCst);
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn jobs_that_block_on_one_another_get_a_thread_each() {
    let runtime = multi(1);
    let barrier = Arc::new(std::sync::Barrier::new(20));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            runtime.spawn_blocking(move || {
                barrier.wait();
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn dropping_the_runtime_drops_pending_tasks_within_its_context() {
    struct SpawnsInDrop(Arc<AtomicBool>);
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            let task = Handle::current().spawn(async {});
            // The runtime is shutting down: the task is cancelled, not run.
            self.0.store(task.is_finished(), SeqCst);
        }
    }
    on_each(|runtime| {
        let cancelled = Arc::new(AtomicBool::new(false));
        let held = SpawnsInDrop(Arc::clone(&cancelled));
        let task = runtime.spawn(async move {
            pending::<()>().await;
            drop(held);
        });
        runtime.block_on(yield_now());
        drop(runtime);
        assert!(task.is_finished());
        assert!(cancelled.load(SeqCst));
    });
}

#[test]
fn what_is_spawned_after_the_end_is_cancelled() {
    on_each(|runtime| {
        let handle = runtime.handle().clone();
        drop(runtime);
        assert!(handle.spawn(async {}).is_finished());
        assert!(handle.spawn_blocking(|| ()).is_finished());
        let error = handle.block_on(handle.spawn(async {})).unwrap_err();
        assert!(error.is_cancelled());
    });
}

#[test]
fn wakers_that_outlive_the_runtime_do_no_harm() {
    on_each(|runtime| {
        let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
        for _ in 0..10 {
            let kept = Arc::clone(&kept);
            drop(runtime.spawn(poll_fn(move |cx| {
                kept.lock().push(cx.waker().clone());
                Poll::<()>::Pending
            })));
        }
        let seen = Arc::clone(&kept);
        runtime.block_on(poll_fn(move |cx| {
            if seen.lock().len() >= 10 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        drop(runtime);
        let wakers = std::mem::take(&mut *kept.lock());
        wakers.iter().for_each(Waker::wake_by_ref);
        std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake))
            .join()
            .unwrap();
    });
}

#[test]
fn wakes_from_another_thread_race_with_the_end_of_the_runtime() {
    for _ in 0..300 {
        let runtime = multi(2);
        let (sender, receiver) = mpsc::channel::<Waker>();
        drop(runtime.spawn(poll_fn(move |cx| {
            let _ = sender.send(cx.waker().clone());
            Poll::<()>::Pending
        })));
        let waker = receiver.recv().unwrap();
        let waking = std::thread::spawn(move || {
            for _ in 0..50 {
                waker.wake_by_ref();
            }
        });
        drop(runtime);
        waking.join().unwrap();
    }
}

#[test]
fn shutdown_timeout_does_not_wait_for_what_blocks_longer() {
    on_each(|runtime| {
        let (release, blocked) = mpsc::channel::<()>();
        let started = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&started);
        drop(runtime.spawn_blocking(move || {
            flag.store(true, SeqCst);
            let _ = blocked.recv();
        }));
        wait_until(|| started.load(SeqCst));
        let start = Instant::now();
        runtime.shutdown_timeout(Duration::from_millis(50));
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(release);
    });
}

/// Notes whether it is dropped by a panic.
struct Unwound(mpsc::Sender<bool>);

impl Drop for Unwound {
    fn drop(&mut self) {
        self.0.send(std::thread::panicking()).unwrap();
    }
}

#[test]
fn a_poll_that_a_shutdown_leaves_running_may_begin_to_wait_and_is_dropped() {
    for workers in [1, 2] {
        let runtime = multi(workers);
        let (unwound, how) = mpsc::channel();
        let (polled, is_polled) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        drop(runtime.spawn(async move {
            let _unwound = Unwound(unwound);
            polled.send(()).unwrap();
            goes_on.recv().unwrap();
            telemetry_rt_reactor::time::sleep(Duration::from_secs(1000)).await;
        }));
        is_polled.recv().unwrap();
        runtime.shutdown_background();
        go_on.send(()).unwrap();
        assert!(!how.recv().unwrap(), "the sleep panicked");
    }
}

/// Its worker has gone to another thread, and stops there. Whether the poll blocks on the driver or will wait
/// for it in vain cannot be told apart: both are told, by a panic here.
#[test]
fn a_poll_that_blocks_in_place_during_a_shutdown_and_then_begins_to_wait_ends() {
    let runtime = multi(1);
    let (unwound, how) = mpsc::channel();
    let (polled, is_polled) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    drop(runtime.spawn(async move {
        let _unwound = Unwound(unwound);
        block_in_place(|| {
            polled.send(()).unwrap();
            goes_on.recv().unwrap();
        });
        telemetry_rt_reactor::time::sleep(Duration::from_secs(1000)).await;
    }));
    is_polled.recv().unwrap();
    runtime.shutdown_timeout(Duration::from_millis(20));
    go_on.send(()).unwrap();
    how.recv_timeout(Duration::from_secs(60))
        .expect("it is over");
}

#[test]
fn dropping_the_runtime_waits_for_blocking_functions_that_run_and_drops_those_that_wait() {
    let mut config = config(RuntimeFlavor::MultiThread, 1);
    config.blocking_threads = 1;
    let runtime = start(config).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(AtomicBool::new(false));
    let (flag, count) = (Arc::clone(&started), Arc::clone(&done));
    let running = runtime.spawn_blocking(move || {
        flag.store(true, SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        count.fetch_add(1, SeqCst);
    });
    let count = Arc::clone(&done);
    let waiting = runtime.spawn_blocking(move || {
        count.fetch_add(10, SeqCst);
    });
    wait_until(|| started.load(SeqCst));
    drop(runtime);
    assert_eq!(done.load(SeqCst), 1);
    assert!(running.is_finished() && waiting.is_finished());
}

fn panic_message(function: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(function).unwrap_err();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap()
}

#[test]
fn blocking_inside_of_a_task_panics_with_advice() {
    let message = panic_message(|| {
        current().block_on(async { current().block_on(async {}) });
    });
    assert!(message.contains("Cannot start a runtime from within a runtime"));
    let runtime = multi(1);
    let error = runtime
        .block_on(spawn_on(&runtime, async {
            Handle::current().block_on(async {})
        }))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Cannot start a runtime from within a runtime")
    );
}

fn spawn_on<F>(runtime: &Runtime, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.spawn(future)
}

#[test]
fn dropping_a_runtime_inside_of_a_task_panics_and_leaves_nothing_behind() {
    let message = panic_message(|| current().block_on(async { drop(multi(2)) }));
    assert!(message.contains("Cannot drop a runtime in a context where blocking is not allowed"));
    current().block_on(async { multi(2).shutdown_background() });
}

#[test]
fn spawning_outside_of_a_runtime_panics_with_advice() {
    let message = panic_message(|| drop(spawn(async {})));
    assert!(message.contains("must be called from the context of a telemetry_rt runtime"));
    assert!(Handle::try_current().unwrap_err().is_missing_context());
}

#[test]
fn enter_guards_nest_and_may_borrow_from_a_temporary() {
    let (outer, inner) = (current(), multi(1));
    let first = outer.enter();
    let second = inner.enter();
    assert_eq!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::MultiThread
    );
    drop(second);
    assert_eq!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::CurrentThread
    );
    drop(first);
    assert!(Handle::try_current().is_err());
    let _guard = outer.handle().enter();
}

#[test]
fn guards_dropped_out_of_order_panic() {
    let message = panic_message(|| {
        let (outer, inner) = (current(), current());
        let first = outer.enter();
        let second = inner.enter();
        drop(first);
        drop(second);
    });
    assert!(message.contains("dropped out of order"));
}

#[test]
fn block_in_place_lets_the_other_tasks_of_the_worker_go_on() {
    let runtime = multi(1);
    runtime.block_on(async {
        let (sender, receiver) = mpsc::channel();
        let blocked = spawn(async move { block_in_place(|| receiver.recv().unwrap()) });
        let other = spawn(async move { sender.send(7).unwrap() });
        other.await.unwrap();
        assert_eq!(blocked.await.unwrap(), 7);
    });
}

#[test]
fn block_in_place_allows_block_on_and_the_task_goes_on_afterwards() {
    let runtime = multi(2);
    let sum = runtime.block_on(async {
        spawn(async {
            let inner = block_in_place(|| Handle::current().block_on(spawn(async { 1 })));
            yield_now().await;
            inner.unwrap() + spawn(async { 2 }).await.unwrap()
        })
        .await
        .unwrap()
    });
    assert_eq!(sum, 3);
    assert_eq!(block_in_place(|| 5), 5);
    let message = panic_message(|| current().block_on(async { block_in_place(|| ()) }));
    assert!(message.contains("multi-threaded"));
}

#[test]
fn several_threads_block_on_a_current_thread_runtime() {
    let runtime = Arc::new(current());
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let runtime = Arc::clone(&runtime);
            std::thread::spawn(move || {
                runtime.block_on(async move {
                    for _ in 0..100 {
                        spawn(yield_now()).await.unwrap();
                    }
                    number
                })
            })
        })
        .collect();
    let sum: i32 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(sum, 6);
}

#[test]
fn a_root_future_that_panics_leaves_a_current_thread_runtime_usable() {
    let runtime = current();
    let message = panic_message(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { panic!("root") })
    }));
    assert_eq!(message, "root");
    assert_eq!(
        runtime.block_on(async { spawn(async { 3 }).await.unwrap() }),
        3
    );
}

#[test]
fn task_ids_are_known_inside_of_a_task_and_in_its_drop() {
    struct Reports(mpsc::Sender<Option<Id>>);
    impl Drop for Reports {
        fn drop(&mut self) {
            self.0.send(try_id()).unwrap();
        }
    }
    on_each(|runtime| {
        runtime.block_on(async {
            assert!(try_id().is_none());
            let (sender, receiver) = mpsc::channel();
            let reports = Reports(sender);
            let task = spawn(async move {
                let _reports = &reports;
                id()
            });
            let expected = task.id();
            assert_eq!(task.await.unwrap(), expected);
            assert_eq!(receiver.recv().unwrap(), Some(expected));
        });
    });
}

#[test]
fn a_join_set_joins_in_the_order_of_completion_and_aborts_on_drop() {
    on_each(|runtime| {
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for number in [3, 1, 2] {
                set.spawn(async move {
                    for _ in 0..number {
                        yield_now().await;
                    }
                    number
                });
            }
            assert_eq!(set.len(), 3);
            let mut joined = Vec::new();
            while let Some(output) = set.join_next().await {
                joined.push(output.unwrap());
            }
            joined.sort_unstable();
            assert_eq!(joined, [1, 2, 3]);

            let held = Arc::new(());
            let holder = Arc::clone(&held);
            set.spawn(async move {
                pending::<()>().await;
                drop(holder);
                0
            });
            drop(set);
            while Arc::strong_count(&held) > 1 {
                yield_now().await;
            }
        });
    });
}

#[test]
fn local_tasks_run_on_their_thread_and_are_woken_from_others() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let home = std::thread::current().id();
        let seen = set.block_on(&runtime, async move {
            let value = std::rc::Rc::new(5);
            let task = spawn_local(async move {
                let other = spawn_blocking(|| std::thread::sleep(Duration::from_millis(5)));
                other.await.unwrap();
                (*value, std::thread::current().id())
            });
            task.await.unwrap()
        });
        assert_eq!(seen, (5, home));
    });
}

#[test]
fn a_local_future_is_dropped_at_home_though_aborted_elsewhere() {
    struct ReportsThread(Arc<Mutex<Option<std::thread::ThreadId>>>);
    impl Drop for ReportsThread {
        fn drop(&mut self) {
            *self.0.lock() = Some(std::thread::current().id());
        }
    }
    let runtime = current();
    for _ in 0..100 {
        let set = LocalSet::new();
        let dropped_on = Arc::default();
        let held = ReportsThread(Arc::clone(&dropped_on));
        let task = set.spawn_local(async move {
            pending::<()>().await;
            drop(held);
        });
        let abort = task.abort_handle();
        let aborting = std::thread::spawn(move || abort.abort());
        let error = set.block_on(&runtime, task).unwrap_err();
        assert!(error.is_cancelled());
        aborting.join().unwrap();
        assert_eq!(*dropped_on.lock(), Some(std::thread::current().id()));
    }
}

#[test]
fn dropping_a_local_set_drops_its_tasks() {
    let held = Arc::new(());
    let runtime = current();
    let set = LocalSet::new();
    let holder = Arc::clone(&held);
    let task = set.spawn_local(async move {
        pending::<()>().await;
        drop(holder);
    });
    set.block_on(&runtime, yield_now());
    drop(set);
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(task.is_finished());
}

#[test]
fn timers_and_tasks_go_together() {
    on_each(|runtime| {
        runtime.block_on(async {
            let start = Instant::now();
            let tasks: Vec<_> = (0..100)
                .map(|number| {
                    spawn(telemetry_rt_reactor::time::sleep(Duration::from_millis(
                        5 + number % 20,
                    )))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(start.elapsed() >= Duration::from_millis(24));
        });
    });
}

#[test]
fn a_busy_worker_does_not_starve_timers() {
    on_each(|runtime| {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let stop = Arc::clone(&stop);
            drop(runtime.spawn(async move {
                while !stop.load(SeqCst) {
                    yield_now().await;
                }
            }));
        }
        runtime.block_on(async {
            let sleep = telemetry_rt_reactor::time::sleep(Duration::from_millis(5));
            spawn(sleep).await.unwrap();
        });
        stop.store(true, SeqCst);
    });
}

#[test]
fn a_pair_that_wakes_one_another_does_not_starve_the_queue() {
    let runtime = multi(1);
    runtime.block_on(async {
        let slots: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        for me in 0..2 {
            let slots = Arc::clone(&slots);
            drop(spawn(poll_fn(move |cx| {
                *slots[me].lock() = Some(cx.waker().clone());
                let other = slots[1 - me].lock().take();
                if let Some(other) = other {
                    other.wake();
                }
                Poll::<()>::Pending
            })));
        }
        let others: Vec<_> = (0..100).map(|_| spawn(async {})).collect();
        for other in others {
            other.await.unwrap();
        }
    });
}

#[test]
fn a_worker_thread_that_cannot_be_started_is_an_error() {
    #[derive(Debug)]
    struct NoThreads;
    impl Os for NoThreads {
        fn spawn(
            &self,
            _name: String,
            _stack_size: Option<usize>,
            _run: Box<dyn FnOnce() + Send>,
        ) -> std::io::Result<std::thread::JoinHandle<()>> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
    }
    let refused = |flavor, workers| {
        let mut config = config(flavor, workers);
        config.os = Arc::new(NoThreads);
        start(config)
    };
    assert!(refused(RuntimeFlavor::MultiThread, 3).is_err());
    let runtime = refused(RuntimeFlavor::CurrentThread, 1).unwrap();
    let error = runtime.block_on(runtime.spawn_blocking(|| ())).unwrap_err();
    assert!(error.is_cancelled());
}

#[test]
fn task_locals_are_seen_across_awaits_and_in_drop_but_not_by_spawned_tasks() {
    task_local! {
        static NUMBER: u32;
        static NAME: &'static str;
    }
    struct SeesInDrop(Arc<AtomicUsize>);
    impl Drop for SeesInDrop {
        fn drop(&mut self) {
            self.0.store(NUMBER.get() as usize, SeqCst);
        }
    }
    on_each(|runtime| {
        let seen = Arc::new(AtomicUsize::new(0));
        let sees = SeesInDrop(Arc::clone(&seen));
        runtime.block_on(NUMBER.scope(
            3,
            NAME.scope("outer", async move {
                yield_now().await;
                assert_eq!((NUMBER.get(), NAME.get()), (3, "outer"));
                assert!(spawn(async { NUMBER.try_get().is_err() }).await.unwrap());
                NUMBER.sync_scope(4, || assert_eq!(NUMBER.get(), 4));
                drop(sees);
            }),
        ));
        assert_eq!(seen.load(SeqCst), 3);
    });
}

#[test]
fn a_waker_that_panics_in_the_driver_harms_no_other_task() {
    use std::task::{Context, Wake};
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as the test says");
        }
    }
    on_each(|runtime| {
        runtime.block_on(async {
            let sleep = |millis| telemetry_rt_reactor::time::sleep(Duration::from_millis(millis));
            let mut bad = Box::pin(sleep(5));
            let waker = Waker::from(Arc::new(Panics));
            assert!(
                bad.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            spawn(sleep(10)).await.unwrap();
        });
        let handle = runtime.handle().clone();
        let foreign = std::thread::spawn(move || handle.spawn(async { 1 }));
        let task = foreign.join().unwrap();
        assert_eq!(runtime.block_on(task).unwrap(), 1);
    });
}
