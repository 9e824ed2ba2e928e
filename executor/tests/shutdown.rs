//! Does a runtime end, wherever and whatever meanwhile? And what becomes of those who still hold a
//! piece of it: wakers, handles, timers, functions that do not end.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use support::{current, in_time, multi, multi_with, on_each, wait_until};
use telemetry_rt_executor::*;
use telemetry_rt_reactor::net::UnixStream;
use telemetry_rt_reactor::time::sleep;

const SOON: Duration = Duration::from_millis(3);

/// Waits until a task has parked its waker.
fn parked_waker(runtime: &Runtime) -> Waker {
    let (sender, receiver) = mpsc::channel();
    drop(runtime.spawn(poll_fn(move |cx| {
        let _ = sender.send(cx.waker().clone());
        Poll::<()>::Pending
    })));
    if runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
        runtime.block_on(yield_now());
    }
    receiver.recv().unwrap()
}

// ----- wakers while the runtime is dropped -----

/// What a thread does with its own clone of a waker at the moment at which the runtime is dropped.
#[derive(Clone, Copy)]
enum Use {
    Wake,
    WakeByRef,
    CloneAndWake,
    Drop,
}

fn use_waker(waker: Waker, what: Use) {
    match what {
        Use::Wake => waker.wake(),
        Use::WakeByRef => waker.wake_by_ref(),
        Use::CloneAndWake => {
            let clone = waker.clone();
            waker.wake();
            clone.wake();
        }
        Use::Drop => drop(waker),
    }
}

/// A thread that uses wakers, each at its barrier.
fn user_of_wakers(what: Use) -> mpsc::Sender<(Waker, Arc<Barrier>)> {
    let (sender, wakers) = mpsc::channel::<(Waker, Arc<Barrier>)>();
    thread::spawn(move || {
        for (waker, barrier) in wakers {
            barrier.wait();
            use_waker(waker, what);
        }
    });
    sender
}

#[test]
fn wakers_are_used_by_several_threads_while_their_runtime_is_dropped() {
    in_time(|| {
        let uses = [Use::Wake, Use::WakeByRef, Use::CloneAndWake, Use::Drop];
        let users = uses.map(user_of_wakers);
        for round in 0..900 {
            let runtime = match round % 3 {
                0 => current(),
                workers => multi(workers),
            };
            let waker = parked_waker(&runtime);
            // Two of the users, each with every other, and the one who drops.
            let barrier = Arc::new(Barrier::new(3));
            let (first, next) = (round % 4, 1 + round / 4 % 3);
            for user in [&users[first], &users[(first + next) % 4]] {
                user.send((waker.clone(), Arc::clone(&barrier))).unwrap();
            }
            drop(waker);
            barrier.wait();
            drop(runtime);
        }
    });
}

#[test]
fn tasks_and_functions_that_are_spawned_while_the_runtime_is_dropped_are_all_resolved() {
    in_time(|| {
        let other = current();
        for round in 0..300 {
            let runtime = multi(1 + round % 2);
            let barrier = Arc::new(Barrier::new(2));
            let (handle, there) = (runtime.handle().clone(), Arc::clone(&barrier));
            let spawning = thread::spawn(move || {
                there.wait();
                let tasks: Vec<_> = (0..8).map(|_| handle.spawn(sleep_less())).collect();
                let functions: Vec<_> = (0..8).map(|_| handle.spawn_blocking(|| ())).collect();
                (tasks, functions)
            });
            barrier.wait();
            drop(runtime);
            let (tasks, functions) = spawning.join().unwrap();
            other.block_on(async {
                for task in tasks.into_iter().chain(functions) {
                    let result = task.await;
                    assert!(result.is_ok() || result.unwrap_err().is_cancelled());
                }
            });
        }
    });
}

async fn sleep_less() {
    yield_now().await;
}

// ----- who drops the runtime -----

#[test]
fn a_task_that_drops_its_own_runtime_is_told_and_the_runtime_ends() {
    in_time(|| {
        for workers in [1, 2] {
            let runtime = Arc::new(multi(workers));
            let held = Arc::new(());
            let holder = Arc::clone(&held);
            drop(runtime.spawn(async move {
                let _holder = holder;
                pending::<()>().await;
            }));
            let (go, gone) = mpsc::channel::<()>();
            let own = Arc::clone(&runtime);
            let task = runtime.spawn(async move {
                let _ = gone.recv();
                drop(own);
            });
            drop(runtime);
            drop(go);
            let error = current().block_on(task).unwrap_err();
            assert!(
                error.to_string().contains("Cannot drop a runtime"),
                "{error}"
            );
            wait_until(|| Arc::strong_count(&held) == 1);
        }
    });
}

#[test]
fn a_task_shuts_its_own_runtime_down_in_the_background() {
    in_time(|| {
        for workers in [1, 2] {
            let (sender, receiver) = mpsc::channel::<Runtime>();
            let runtime = multi(workers);
            let held = Arc::new(());
            let holder = Arc::clone(&held);
            drop(runtime.spawn(async move {
                let _holder = holder;
                pending::<()>().await;
            }));
            let task = runtime.spawn(async move {
                receiver.recv().unwrap().shutdown_background();
                // What is spawned now is cancelled, and the task itself goes on to its end.
                spawn(async {}).await.unwrap_err().is_cancelled()
            });
            sender.send(runtime).unwrap();
            // It awaited something, and its runtime drops it there; or it was not so far yet.
            let ended = current().block_on(task);
            assert!(ended.as_ref().is_ok_and(|cancelled| *cancelled) || ended.is_err());
            wait_until(|| Arc::strong_count(&held) == 1);
        }
    });
}

#[test]
fn a_function_on_the_pool_drops_its_own_runtime_and_does_not_wait_for_itself() {
    in_time(|| {
        for workers in [1, 2] {
            let runtime = Arc::new(multi(workers));
            let functions: Vec<_> = (0..3)
                .map(|_| {
                    let own = Arc::clone(&runtime);
                    runtime.spawn_blocking(move || {
                        thread::sleep(SOON);
                        drop(own);
                    })
                })
                .collect();
            drop(runtime);
            for function in functions {
                // The last of them is the one who drops it.
                current().block_on(function).unwrap();
            }
        }
        let runtime = Arc::new(current());
        let own = Arc::clone(&runtime);
        let function = runtime.spawn_blocking(move || {
            thread::sleep(SOON);
            drop(own);
        });
        drop(runtime);
        current().block_on(function).unwrap();
    });
}

thread_local! {
    static LAST: RefCell<Option<AsksInDrop>> = const { RefCell::new(None) };
    static RUNTIME: RefCell<Option<Arc<Runtime>>> = const { RefCell::new(None) };
    static WAKER: RefCell<Option<WakesInDrop>> = const { RefCell::new(None) };
}

#[test]
fn a_destructor_of_a_thread_local_of_the_pool_drops_the_runtime_of_that_pool() {
    in_time(|| {
        for workers in [1, 2] {
            let runtime = Arc::new(multi_with(workers, |config| config.keep_alive = SOON));
            let weak = Arc::downgrade(&runtime);
            let own = Arc::clone(&runtime);
            let function = runtime.spawn_blocking(move || RUNTIME.set(Some(own)));
            runtime.block_on(function).unwrap();
            drop(runtime);
            wait_until(|| weak.strong_count() == 0);
        }
    });
}

#[test]
fn a_destructor_of_a_thread_local_of_a_worker_drops_another_runtime() {
    in_time(|| {
        let inner = Arc::new(multi(2));
        let held = Arc::new(());
        let holder = Arc::clone(&held);
        drop(inner.spawn(async move {
            let _holder = holder;
            pending::<()>().await;
        }));
        let weak = Arc::downgrade(&inner);
        let outer = multi(1);
        let keep = outer.spawn(async move { RUNTIME.set(Some(inner)) });
        outer.block_on(keep).unwrap();
        drop(outer);
        assert_eq!((weak.strong_count(), Arc::strong_count(&held)), (0, 1));
    });
}

/// Uses what there is of a runtime in a destructor of a thread-local, when that of the runtime's
/// own locals may have run.
struct AsksInDrop {
    handle: Handle,
    told: mpsc::Sender<bool>,
}

impl Drop for AsksInDrop {
    fn drop(&mut self) {
        let _entered = self.handle.enter();
        let task = self.handle.spawn(async {});
        let function = self.handle.spawn_blocking(|| ());
        // Once the runtime is shut down a sleep panics, as it would for ever wait.
        let slept = catch_unwind(|| poll_once(sleep_where_possible()));
        drop((task, function, slept));
        let _ = Handle::try_current();
        let _ = self.told.send(true);
    }
}

/// A sleep, if the thread can still make one.
async fn sleep_where_possible() {
    if Handle::try_current().is_ok() {
        sleep(SOON).await;
    }
}

fn poll_once(future: impl Future<Output = ()>) -> Poll<()> {
    let mut future = std::pin::pin!(future);
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

struct WakesInDrop(Waker);

impl Drop for WakesInDrop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
        drop(self.0.clone());
    }
}

#[test]
fn destructors_of_thread_locals_spawn_wake_and_sleep() {
    in_time(|| {
        for workers in [1, 2] {
            let runtime = multi(workers);
            let (told, heard) = mpsc::channel();
            let task = runtime.spawn({
                let (handle, told) = (runtime.handle().clone(), told.clone());
                poll_fn(move |cx| {
                    let (handle, told) = (handle.clone(), told.clone());
                    LAST.set(Some(AsksInDrop { handle, told }));
                    WAKER.set(Some(WakesInDrop(cx.waker().clone())));
                    Poll::Ready(())
                })
            });
            runtime.block_on(task).unwrap();
            let (handle, waker) = (runtime.handle().clone(), parked_waker(&runtime));
            let function = runtime.spawn_blocking(move || {
                LAST.set(Some(AsksInDrop { handle, told }));
                WAKER.set(Some(WakesInDrop(waker)));
            });
            runtime.block_on(function).unwrap();
            drop(runtime);
            assert_eq!(
                heard.iter().count(),
                2,
                "a destructor did not get to its end"
            );
        }
    });
}

// ----- what destructors do -----

/// Does in its drop what a destructor might: wakes, spawns, locks, sleeps.
struct Busy {
    lock: Arc<Mutex<u32>>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    refused: Arc<AtomicUsize>,
    functions: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.lock.lock() += 1;
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
        let handle = Handle::current();
        let refused = handle.spawn(async {}).is_finished();
        self.refused.fetch_add(usize::from(refused), SeqCst);
        self.functions.lock().push(handle.spawn_blocking(|| ()));
        drop(sleep(SOON));
    }
}

#[test]
fn destructors_that_wake_spawn_and_lock_do_not_stop_the_end() {
    in_time(|| {
        on_each(|runtime| {
            let (lock, refused, functions) = (Arc::default(), Arc::default(), Arc::default());
            let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
            for _ in 0..50 {
                let busy = Busy {
                    lock: Arc::clone(&lock),
                    wakers: Arc::clone(&wakers),
                    refused: Arc::clone(&refused),
                    functions: Arc::clone(&functions),
                };
                let wakers = Arc::clone(&wakers);
                drop(runtime.spawn(async move {
                    let _busy = busy;
                    poll_fn(|cx| {
                        wakers.lock().push(cx.waker().clone());
                        Poll::<()>::Pending
                    })
                    .await;
                }));
            }
            runtime.block_on(async {
                while wakers.lock().len() < 50 {
                    yield_now().await;
                }
            });
            drop(runtime);
            assert_eq!((*lock.lock(), refused.load(SeqCst)), (50, 50));
            // The pool ends after the tasks: each has run, or was dropped with it.
            let mut functions = functions.lock();
            assert!(functions.drain(..).all(|function| function.is_finished()));
        });
    });
}

thread_local! {
    static WAKING: Cell<bool> = const { Cell::new(false) };
}

/// Wakes while it holds what the poll needs.
fn wake_locked(lock: &Mutex<Vec<Waker>>) {
    let mut wakers = lock.lock();
    WAKING.set(true);
    wakers.drain(..).for_each(Waker::wake);
    WAKING.set(false);
}

#[test]
fn a_waker_that_is_called_under_a_lock_of_its_tasks_own_polls_nothing() {
    in_time(|| {
        on_each(|runtime| {
            let lock = Arc::new(Mutex::new(Vec::<Waker>::new()));
            let polls = Arc::new(AtomicUsize::new(0));
            let (own, count) = (Arc::clone(&lock), Arc::clone(&polls));
            let task = runtime.spawn(poll_fn(move |cx| {
                assert!(!WAKING.get(), "polled by the one who wakes");
                // Would hang, if it were called by one who has it.
                let mut wakers = own.lock();
                wakers.push(cx.waker().clone());
                match count.fetch_add(1, SeqCst) {
                    9 => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }));
            runtime.block_on(async {
                while polls.load(SeqCst) < 10 {
                    wake_locked(&lock);
                    yield_now().await;
                }
                task.await.unwrap();
            });
        });
    });
}

#[test]
fn waiters_timers_and_sockets_that_know_their_task_do_not_keep_it() {
    in_time(|| {
        on_each(|runtime| {
            let held = Arc::new(());
            let (waits, other) = runtime.block_on(async { UnixStream::pair().unwrap() });
            let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
            let (holder, wakers) = (Arc::clone(&held), Arc::clone(&kept));
            drop(runtime.spawn(async move {
                let _holder = holder;
                let mut long = Box::pin(sleep(Duration::MAX));
                let forever = spawn(pending::<()>());
                let mut joins = Box::pin(forever);
                poll_fn(|cx| {
                    wakers.lock().push(cx.waker().clone());
                    let _ = long.as_mut().poll(cx);
                    let _ = joins.as_mut().poll(cx);
                    waits.poll_read_ready(cx).map(drop)
                })
                .await;
                pending::<()>().await;
            }));
            runtime.block_on(async {
                while kept.lock().is_empty() {
                    yield_now().await;
                }
            });
            drop(runtime);
            assert_eq!(Arc::strong_count(&held), 1, "the future was not dropped");
            // What is left of the task is what its wakers keep, and nothing of it is of use.
            let write = poll_fn(|cx| other.poll_write(cx, b"x"));
            let _ = poll_once(async move { drop(write.await) });
            kept.lock().drain(..).for_each(Waker::wake);
        });
    });
}

#[test]
fn a_local_future_is_dropped_at_home_whenever_others_abort_and_wake_it() {
    struct DropsAtHome(thread::ThreadId, Arc<AtomicUsize>);
    impl Drop for DropsAtHome {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0);
            self.1.fetch_add(1, SeqCst);
        }
    }
    const ROUNDS: usize = 3_000;
    in_time(|| {
        let (sender, tasks) = mpsc::channel::<(AbortHandle, Waker, Arc<Barrier>)>();
        let elsewhere = thread::spawn(move || {
            for (abort, waker, barrier) in tasks {
                barrier.wait();
                waker.wake_by_ref();
                abort.abort();
            }
        });
        let runtime = current();
        let drops = Arc::new(AtomicUsize::new(0));
        for round in 0..ROUNDS {
            let set = LocalSet::new();
            let held = DropsAtHome(thread::current().id(), Arc::clone(&drops));
            let (parked, waker) = mpsc::channel();
            let task = set.spawn_local(poll_fn(move |cx| {
                let _held = &held;
                let _ = parked.send(cx.waker().clone());
                Poll::<()>::Pending
            }));
            set.block_on(&runtime, yield_now());
            let barrier = Arc::new(Barrier::new(2));
            let (abort, waker) = (task.abort_handle(), waker.recv().unwrap());
            sender.send((abort, waker, Arc::clone(&barrier))).unwrap();
            barrier.wait();
            // Either the set goes, or it runs the task to its end.
            match round % 2 {
                0 => drop(set),
                _ => drop(set.block_on(&runtime, task).unwrap_err()),
            }
            assert_eq!(drops.load(SeqCst), round + 1);
        }
        drop(sender);
        elsewhere.join().unwrap();
    });
}

// ----- what does not end -----

#[test]
fn a_function_that_does_not_end_is_left_behind_and_resolved_when_it_ends() {
    in_time(|| {
        for in_background in [false, true] {
            on_each(|runtime| {
                let (release, stuck) = mpsc::channel::<()>();
                let started = Arc::new(AtomicBool::new(false));
                let flag = Arc::clone(&started);
                let function = runtime.spawn_blocking(move || {
                    flag.store(true, SeqCst);
                    let _ = stuck.recv();
                    // Its runtime has ended: all of this says so, and none of it hangs.
                    let handle = Handle::current();
                    assert!(handle.spawn(async {}).is_finished());
                    assert!(handle.block_on(handle.spawn_blocking(|| ())).is_err());
                    7
                });
                let (held, task) = pending_task(&runtime);
                wait_until(|| started.load(SeqCst));
                let start = Instant::now();
                match in_background {
                    true => runtime.shutdown_background(),
                    false => runtime.shutdown_timeout(10 * SOON),
                }
                assert!(start.elapsed() < support::HANGS / 2);
                let elsewhere = current();
                assert!(elsewhere.block_on(task).unwrap_err().is_cancelled());
                assert_eq!(Arc::strong_count(&held), 1);
                assert!(!function.is_finished());
                drop(release);
                assert_eq!(elsewhere.block_on(function).unwrap(), 7);
            });
        }
    });
}

fn pending_task(runtime: &Runtime) -> (Arc<()>, JoinHandle<()>) {
    let held = Arc::new(());
    let holder = Arc::clone(&held);
    let task = runtime.spawn(async move {
        let _holder = holder;
        pending::<()>().await;
    });
    (held, task)
}

#[test]
fn a_poll_that_does_not_end_is_left_behind_and_its_runtime_ends_after_it() {
    in_time(|| {
        let runtime = multi(2);
        let (release, stuck) = mpsc::channel::<()>();
        let started = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&started);
        let poll = runtime.spawn(async move {
            flag.store(true, SeqCst);
            let _ = stuck.recv();
            yield_now().await;
            unreachable!("its runtime has ended");
        });
        let (held, task) = pending_task(&runtime);
        wait_until(|| started.load(SeqCst));
        let start = Instant::now();
        runtime.shutdown_timeout(10 * SOON);
        assert!(start.elapsed() < support::HANGS / 2);
        drop(release);
        let elsewhere = current();
        assert!(elsewhere.block_on(poll).unwrap_err().is_cancelled());
        assert!(elsewhere.block_on(task).unwrap_err().is_cancelled());
        wait_until(|| Arc::strong_count(&held) == 1);
    });
}

#[test]
fn the_longest_timeout_is_as_long_as_it_takes() {
    in_time(|| {
        on_each(|runtime| {
            let done = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&done);
            let started = Arc::new(Barrier::new(2));
            let there = Arc::clone(&started);
            drop(runtime.spawn_blocking(move || {
                there.wait();
                thread::sleep(SOON);
                flag.store(true, SeqCst);
            }));
            started.wait();
            runtime.shutdown_timeout(Duration::MAX);
            assert!(done.load(SeqCst));
        });
        let forever = multi_with(1, |config| config.keep_alive = Duration::MAX);
        for _ in 0..3 {
            forever.block_on(forever.spawn_blocking(|| ())).unwrap();
        }
    });
}
