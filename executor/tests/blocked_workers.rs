//! Workers whose tasks block them: what they leave behind is found by those that sleep.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use support::multi;
use telemetry_rt_executor::*;
use telemetry_rt_reactor::time::sleep;

/// Blocks the thread until `condition` holds; `false` if it does not for long.
fn block_until(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_micros(100));
    }
    condition()
}

/// More workers than can run at once, of which all but one are blocked in the end: nobody is woken
/// for most of the work, and the last one that sleeps may be in the driver.
#[test]
fn work_of_blocked_workers_is_found_also_when_there_are_more_workers_than_processors() {
    let processors = thread::available_parallelism().unwrap().get();
    for workers in [2, processors + 1, 2 * processors + 4] {
        let runtime = multi(workers);
        let blocked = workers - 1;
        let ran = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..blocked)
            .map(|_| {
                let ran = Arc::clone(&ran);
                runtime.spawn(async move {
                    // The second is next to run on this worker; others can take the first.
                    for _ in 0..2 {
                        let ran = Arc::clone(&ran);
                        drop(spawn(async move { ran.fetch_add(1, SeqCst) }));
                    }
                    block_until(|| ran.load(SeqCst) >= blocked)
                })
            })
            .collect();
        for task in tasks {
            assert!(runtime.block_on(task).unwrap(), "{workers} workers");
        }
    }
}

/// The worker that was in the driver is blocked by what it found there.
#[test]
fn timers_go_on_when_the_worker_that_waited_for_them_is_blocked() {
    for workers in [2, 4] {
        let runtime = multi(workers);
        for _ in 0..20 {
            let done = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&done);
            let blocked = runtime.spawn(async move {
                sleep(Duration::from_millis(1)).await;
                block_until(|| theirs.load(SeqCst))
            });
            let timers = runtime.spawn(async {
                for _ in 0..3 {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            runtime.block_on(timers).unwrap();
            done.store(true, SeqCst);
            assert!(runtime.block_on(blocked).unwrap(), "{workers} workers");
        }
    }
}

/// The owner of a long queue takes tasks off it all the time, which makes thefts fail.
#[test]
fn of_a_long_queue_of_short_tasks_others_get_some() {
    let runtime = multi(2);
    let threads = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let both = Arc::new(AtomicBool::new(false));
    let root = runtime.spawn({
        let (threads, both) = (Arc::clone(&threads), Arc::clone(&both));
        async move {
            let tasks: Vec<_> = (0..20_000)
                .map(|number| {
                    let (threads, both) = (Arc::clone(&threads), Arc::clone(&both));
                    spawn(async move {
                        let start = Instant::now();
                        while !both.load(SeqCst) && start.elapsed() < Duration::from_secs(10) {
                            if number % 64 == 0 {
                                let mut threads = threads.lock().unwrap();
                                threads.insert(thread::current().id());
                                both.store(threads.len() == 2, SeqCst);
                            }
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
    runtime.block_on(root).unwrap();
    assert!(both.load(SeqCst), "one worker had them all");
}

/// One worker is blocked and the other never runs out of tasks, so that nobody ever searches.
#[test]
fn work_of_a_blocked_worker_is_found_by_one_that_is_always_busy() {
    let runtime = multi(2);
    let stop = Arc::new(AtomicBool::new(false));
    let ran = Arc::new(AtomicUsize::new(0));
    let yielding: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            runtime.spawn(async move {
                while !stop.load(SeqCst) {
                    yield_now().await;
                }
            })
        })
        .collect();
    let theirs = Arc::clone(&ran);
    let blocked = runtime.spawn(async move {
        // The last of them is next to run on this worker; others can take the rest.
        for _ in 0..20 {
            let ran = Arc::clone(&theirs);
            drop(spawn(async move { ran.fetch_add(1, SeqCst) }));
        }
        block_until(|| theirs.load(SeqCst) >= 19)
    });
    assert!(
        runtime.block_on(blocked).unwrap(),
        "{} ran",
        ran.load(SeqCst)
    );
    stop.store(true, SeqCst);
    for task in yielding {
        runtime.block_on(task).unwrap();
    }
}

/// A task that yields all the time keeps the only worker busy: what is spawned from outside has as
/// many turns as it.
#[test]
fn tasks_from_outside_need_not_wait_for_many_turns_each() {
    const SPAWNED: usize = 310;
    let runtime = multi(1);
    let turns = Arc::new(AtomicUsize::new(0));
    let has_begun = Arc::new(AtomicBool::new(false));
    let may_go_on = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let yielding = {
        let (turns, stop, may_go_on) = (turns.clone(), stop.clone(), may_go_on.clone());
        let has_begun = Arc::clone(&has_begun);
        runtime.spawn(async move {
            has_begun.store(true, SeqCst);
            assert!(block_until(|| may_go_on.load(SeqCst)));
            while !stop.load(SeqCst) {
                turns.fetch_add(1, SeqCst);
                yield_now().await;
            }
        })
    };
    // Else the worker would take all when it begins.
    assert!(block_until(|| has_begun.load(SeqCst)));
    let others: Vec<_> = (0..SPAWNED)
        .map(|_| {
            let turns = Arc::clone(&turns);
            runtime.spawn(async move { turns.load(SeqCst) })
        })
        .collect();
    may_go_on.store(true, SeqCst);
    let waited = others
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap());
    let longest = waited.max().unwrap();
    stop.store(true, SeqCst);
    runtime.block_on(yielding).unwrap();
    assert!(longest <= SPAWNED + 31, "{longest} turns");
}
