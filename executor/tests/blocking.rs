//! Blocking in odd circumstances: in place, at the limits of the pool, when threads are refused,
//! when hooks panic, while the runtime ends.

mod support;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use support::{config, multi, multi_with, start, within};
use telemetry_rt_executor::*;
use telemetry_rt_reactor::time::{Instant as RuntimeInstant, sleep};

fn in_time(test: impl FnOnce() + Send + 'static) {
    within(Duration::from_secs(20), test);
}

fn in_place(time: Duration) {
    block_in_place(|| thread::sleep(time));
}

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_millis(50);

#[test]
fn a_timer_made_after_blocking_in_place_fires() {
    in_time(|| {
        for workers in [1, 2] {
            multi(workers).block_on(async {
                let task = spawn(async {
                    in_place(LONG);
                    sleep(SHORT).await;
                });
                task.await.unwrap();
            });
        }
    });
}

#[test]
fn blocking_in_place_while_another_runtime_is_entered_moves_the_right_worker() {
    in_time(|| {
        let (ours, other) = (multi(1), multi(1));
        let handle = other.handle().clone();
        ours.block_on(async {
            let blocking = spawn(async move {
                let _entered = handle.enter();
                in_place(SHORT);
            });
            blocking.await.unwrap();
            spawn(async {}).await.unwrap();
        });
        other.block_on(other.spawn(async {})).unwrap();
    });
}

/// Refuses threads once it has been told to.
#[derive(Debug, Default)]
struct Refusing {
    refuses: AtomicBool,
}

impl Os for Refusing {
    fn spawn(
        &self,
        name: String,
        stack_size: Option<usize>,
        run: Box<dyn FnOnce() + Send>,
    ) -> io::Result<thread::JoinHandle<()>> {
        match self.refuses.load(SeqCst) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => StdThreads.spawn(name, stack_size, run),
        }
    }
}

#[test]
fn blocking_in_place_without_a_thread_to_be_had_blocks_the_worker_and_goes_on() {
    in_time(|| {
        let os = Arc::new(Refusing::default());
        let runtime = multi_with(1, |config| config.os = Arc::clone(&os) as Arc<dyn Os>);
        os.refuses.store(true, SeqCst);
        runtime.block_on(async {
            let task = spawn(async {
                in_place(SHORT);
                sleep(SHORT).await;
                spawn(async { 7 }).await.unwrap()
            });
            assert_eq!(task.await.unwrap(), 7);
            let refused = spawn_blocking(|| ()).await.unwrap_err();
            assert!(refused.is_cancelled());
        });
        os.refuses.store(false, SeqCst);
        runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
    });
}

#[test]
fn no_job_is_lost_to_a_thread_that_is_about_to_leave() {
    in_time(|| {
        let runtime = multi_with(1, |config| {
            config.blocking_threads = 1;
            config.keep_alive = Duration::from_micros(200);
            config.on_thread_stop = Some(Arc::new(|| thread::sleep(Duration::from_millis(1))));
        });
        runtime.block_on(async {
            for round in 0..1000 {
                spawn_blocking(|| ()).await.unwrap();
                if round % 3 == 0 {
                    thread::sleep(Duration::from_micros(150));
                }
            }
        });
    });
}

#[test]
fn a_hundred_functions_that_wait_for_one_another_all_run_soon() {
    in_time(|| {
        let runtime = multi(1);
        for parties in [2, 100] {
            let barrier = Arc::new(Barrier::new(parties));
            let start = Instant::now();
            let waiting: Vec<_> = (0..parties)
                .map(|_| {
                    let barrier = Arc::clone(&barrier);
                    runtime.spawn_blocking(move || barrier.wait().is_leader())
                })
                .collect();
            runtime.block_on(async {
                for function in waiting {
                    function.await.unwrap();
                }
            });
            // A hundred starts of threads, which is some ten milliseconds on a quiet machine.
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    });
}

#[test]
fn a_function_that_is_waited_for_runs_beside_a_stream_of_short_ones() {
    in_time(|| {
        let runtime = multi(2);
        runtime.block_on(async {
            for _ in 0..50 {
                let (sender, receiver) = mpsc::channel();
                let waits = spawn_blocking(move || receiver.recv().unwrap());
                let short: Vec<_> = (0..50).map(|_| spawn_blocking(|| ())).collect();
                let waited_for = spawn_blocking(move || sender.send(()).unwrap());
                waits.await.unwrap();
                waited_for.await.unwrap();
                for function in short {
                    function.await.unwrap();
                }
            }
        });
    });
}

#[test]
fn a_burst_of_short_functions_does_not_start_a_thread_for_each() {
    in_time(|| {
        let runtime = multi(1);
        runtime.block_on(async {
            for _ in 0..4 {
                let burst: Vec<_> = (0..500).map(|_| spawn_blocking(|| ())).collect();
                for function in burst {
                    function.await.unwrap();
                }
            }
        });
        let threads = runtime.handle().metrics().num_blocking_threads();
        assert!(threads <= 100, "{threads} threads for empty functions");
    });
}

#[test]
fn users_who_park_and_unpark_threads_of_the_pool_do_not_disturb_it() {
    in_time(|| {
        let runtime = multi_with(1, |config| config.keep_alive = Duration::from_millis(2));
        runtime.block_on(async {
            for round in 0..300 {
                let thread = spawn_blocking(thread::current).await.unwrap();
                thread.unpark();
                let functions = [0; 3].map(|_| spawn_blocking(|| thread::park_timeout(SHORT / 50)));
                thread.unpark();
                for function in functions {
                    function.await.unwrap();
                }
                if round % 100 == 0 {
                    // So long that threads leave.
                    sleep(SHORT).await;
                }
            }
        });
    });
}

#[test]
fn functions_from_many_threads_all_run_while_threads_come_and_go() {
    in_time(|| {
        let runtime = multi_with(1, |config| {
            config.blocking_threads = 4;
            config.keep_alive = Duration::from_micros(100);
        });
        let done = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..4 {
                let (handle, done) = (runtime.handle().clone(), Arc::clone(&done));
                scope.spawn(move || {
                    for round in 0..500 {
                        let done = Arc::clone(&done);
                        let function = handle.spawn_blocking(move || {
                            if round % 16 == number {
                                thread::sleep(Duration::from_micros(100));
                            }
                            done.fetch_add(1, SeqCst);
                        });
                        if round % 5 == 0 {
                            handle.block_on(function).unwrap();
                        }
                    }
                });
            }
        });
        while done.load(SeqCst) < 4 * 500 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_start_hook_that_panics_cancels_the_job_and_not_those_that_follow() {
    in_time(|| {
        let panics = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&panics);
        let runtime = multi_with(1, |config| {
            config.on_thread_start = Some(Arc::new(move || {
                assert!(!hook.load(SeqCst), "as the test says");
            }));
        });
        panics.store(true, SeqCst);
        let cancelled = runtime.block_on(runtime.spawn_blocking(|| ()));
        assert!(cancelled.unwrap_err().is_cancelled());
        panics.store(false, SeqCst);
        runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
    });
}

#[test]
fn workers_that_were_moved_do_not_count_against_the_limit_of_the_pool() {
    in_time(|| {
        let runtime = multi_with(1, |config| config.blocking_threads = 1);
        runtime.block_on(async {
            for _ in 0..3 {
                spawn(async { in_place(SHORT) }).await.unwrap();
            }
            spawn_blocking(|| ()).await.unwrap();
        });
    });
}

#[test]
fn a_runtime_dropped_by_a_task_that_blocks_in_place_on_it_does_not_wait_for_itself() {
    in_time(|| {
        let (sender, receiver) = mpsc::channel::<Runtime>();
        let runtime = multi(2);
        let (dropped, told) = mpsc::channel();
        drop(runtime.spawn(async move {
            let own = receiver.recv().unwrap();
            block_in_place(|| drop(own));
            dropped.send(()).unwrap();
        }));
        sender.send(runtime).unwrap();
        told.recv().unwrap();
    });
}

#[test]
fn shutdown_timeout_is_kept_when_a_task_blocks_in_place() {
    in_time(|| {
        let runtime = multi_with(1, |config| config.blocking_threads = 1);
        let (release, blocked) = mpsc::channel::<()>();
        let started = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&started);
        drop(runtime.spawn(async move {
            block_in_place(|| {
                flag.store(true, SeqCst);
                let _ = blocked.recv();
            });
        }));
        while !started.load(SeqCst) {
            thread::yield_now();
        }
        let start = Instant::now();
        runtime.shutdown_timeout(LONG);
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(release);
    });
}

#[test]
fn a_waiting_function_is_dropped_within_the_context_of_its_runtime() {
    struct AsksInDrop(mpsc::Sender<bool>);
    impl Drop for AsksInDrop {
        fn drop(&mut self) {
            let _ = self.0.send(Handle::try_current().is_ok());
        }
    }
    in_time(|| {
        let runtime = multi_with(1, |config| config.blocking_threads = 1);
        let (sender, answers) = mpsc::channel();
        let (release, blocked) = mpsc::channel::<()>();
        drop(runtime.spawn_blocking(move || {
            let _ = blocked.recv_timeout(LONG);
        }));
        let asks = AsksInDrop(sender);
        let waiting = runtime.spawn_blocking(move || drop(asks));
        drop(runtime);
        assert!(answers.recv().unwrap());
        assert!(waiting.is_finished());
        drop(release);
    });
}

#[test]
fn a_paused_clock_moves_again_once_nothing_blocks_any_more() {
    in_time(|| {
        let mut config = config(RuntimeFlavor::CurrentThread, 1);
        config.start_paused = true;
        let runtime = start(config).unwrap();
        runtime.block_on(async {
            let start = RuntimeInstant::now();
            let blocked = Arc::new(AtomicBool::new(true));
            let flag = Arc::clone(&blocked);
            drop(spawn_blocking(move || {
                thread::sleep(LONG);
                flag.store(false, SeqCst);
            }));
            sleep(Duration::from_secs(3600)).await;
            assert!(
                !blocked.load(SeqCst),
                "the clock moved while a function blocked"
            );
            assert!(start.elapsed() >= Duration::from_secs(3600));
            for _ in 0..200 {
                spawn_blocking(|| ()).await.unwrap();
                sleep(Duration::from_secs(3600)).await;
            }
        });
    });
}

#[test]
fn a_timer_of_a_busy_worker_fires_on_an_idle_one() {
    in_time(|| {
        let runtime = multi(2);
        let fired = runtime.block_on(async {
            let (sender, receiver) = mpsc::channel();
            let task = spawn(async move {
                // Lets the other worker go to sleep in the driver.
                thread::sleep(LONG);
                drop(spawn(async move {
                    sleep(SHORT).await;
                    let _ = sender.send(());
                }));
                // The child is in this worker's own slot until it yields once; then its timer is
                // this worker's, and this worker is busy.
                yield_now().await;
                yield_now().await;
                receiver.recv_timeout(Duration::from_secs(10)).is_ok()
            });
            task.await.unwrap()
        });
        assert!(fired);
    });
}

#[test]
fn runtimes_and_local_sets_in_thread_locals_end_with_their_thread() {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
        static SET: RefCell<Option<LocalSet>> = const { RefCell::new(None) };
    }
    struct CountsDrop(Arc<AtomicUsize>);
    impl Drop for CountsDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    in_time(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (first, second) = (
            CountsDrop(Arc::clone(&drops)),
            CountsDrop(Arc::clone(&drops)),
        );
        let ended = thread::spawn(move || {
            // Used before the runtime, so that they are destroyed after it; and after it.
            SET.set(Some(LocalSet::new()));
            RUNTIME.set(Some(
                start(config(RuntimeFlavor::CurrentThread, 1)).unwrap(),
            ));
            RUNTIME.with_borrow(|runtime| {
                let runtime = runtime.as_ref().unwrap();
                SET.with_borrow(|set| {
                    let set = set.as_ref().unwrap();
                    drop(set.spawn_local(async move {
                        let _held = second;
                        pending::<()>().await;
                    }));
                    drop(runtime.spawn(async move {
                        let _held = first;
                        pending::<()>().await;
                    }));
                    set.block_on(runtime, yield_now());
                });
            });
        });
        ended.join().unwrap();
        assert_eq!(drops.load(SeqCst), 2);
    });
}

#[test]
fn local_guards_may_be_dropped_in_any_order() {
    in_time(|| {
        let runtime = start(config(RuntimeFlavor::CurrentThread, 1)).unwrap();
        let (a, b) = (LocalSet::new(), LocalSet::new());
        let (first, second) = (a.enter(), b.enter());
        drop(first);
        let task = spawn_local(async { 5 });
        drop(second);
        assert_eq!(b.block_on(&runtime, task).unwrap(), 5);
    });
}

#[test]
fn an_injected_task_does_not_wait_for_a_worker_that_runs_its_own() {
    in_time(|| {
        let runtime = multi(2);
        for _ in 0..200 {
            // A timer makes one of the workers busy for long, just when a task is injected.
            drop(runtime.spawn(async {
                sleep(Duration::from_millis(1)).await;
                thread::sleep(Duration::from_millis(4));
            }));
            thread::sleep(Duration::from_micros(900));
            let task = runtime.spawn(async {});
            runtime.block_on(task).unwrap();
        }
    });
}
