//! The protocol of the task cell under every order of events: two or three threads that do to one
//! task what may be done at the same time.
//!
//! The scheduler is a queue that the threads of a model run by hand. A model ends when all threads
//! are done and the queue is empty; then the task must have come to its end, and future, output,
//! join wakers and cell must each have been dropped once. Loom itself reports whoever touches the
//! future, the output, the join waker or the ledger without the right to, and, by way of the
//! state word, whoever touches the cell after it was freed.
//!
//! Each model is shown to fail when one operation of the state word is made too weak.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;
use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Config, Meta, ProcessType, Recorder, Spawning};

use super::*;
use crate::registry::Registry;
use crate::sync::model::{Op, Seed, explore};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

// ----- the bench -----

/// What happened to the parts of one task. Not modelled: it is looked at when all is over.
#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    future_drops: AtomicUsize,
    outputs: AtomicUsize,
    output_drops: AtomicUsize,
    cell_drops: AtomicUsize,
}

/// What the threads of a model share.
struct World {
    ready: Mutex<VecDeque<Notified>>,
    registry: Registry,
    /// What the task waits for: it is ready when all of them are set.
    flags: [AtomicBool; 2],
    wakers: parking_lot::Mutex<Vec<Waker>>,
    counts: Counts,
    /// Makes the scheduler wrong: it does not unregister what is complete.
    forgetful: std::sync::atomic::AtomicBool,
}

impl World {
    /// Polls tasks until none is ready.
    fn run(&self) {
        while let Some(task) = self.pop() {
            task.run(&Pen::Own(&recorder().other(None)));
        }
    }

    fn pop(&self) -> Option<Notified> {
        self.ready.lock().pop_front()
    }

    /// Polls the task that is known to be ready.
    fn run_one(&self) {
        let task = self.pop().expect("the model has made the task ready");
        task.run(&Pen::Own(&recorder().other(None)));
    }

    /// Shuts the scheduler down, as far as the registry is concerned.
    fn close(&self) {
        for task in self.registry.close() {
            task.run_cancelled(&Pen::Own(&recorder().other(None)));
        }
    }

    /// Sets what the task waits for. Relaxed: the wake that follows has to publish it.
    fn set(&self, flag: usize) {
        self.flags[flag].store(true, Ordering::Relaxed);
    }

    fn waker(&self) -> Waker {
        let waker = self.wakers.lock().pop();
        waker.expect("the task has left enough wakers")
    }
}

fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| {
        Recorder::new(Config {
            // No worker, no ring: a ring is modelled itself and would outlive the model.
            workers: 0,
            ..Config::default()
        })
    })
}

/// The scheduler, held by the cell. Like the real ones, it looks at itself after the push.
struct ByHand {
    world: Arc<World>,
    here: AtomicU64,
}

impl Schedule for ByHand {
    fn schedule(&self, task: Notified) {
        self.world.ready.lock().push_back(task);
        self.here.load(Ordering::Relaxed);
    }

    fn schedule_again(&self, task: Notified) {
        self.world.ready.lock().push_back(task);
    }

    fn release(&self, slot: Slot) {
        if !self.world.forgetful.load(SeqCst) {
            self.world.registry.remove(slot);
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.world.counts.cell_drops.fetch_add(1, SeqCst);
    }
}

/// Leaves wakers at its first poll, and is ready when the flags are set.
struct Probe {
    world: Arc<World>,
    wakers: usize,
}

struct Output(Arc<World>);

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let counts = &self.world.counts;
        if counts.polls.fetch_add(1, SeqCst) == 0 {
            let wakers = (0..self.wakers).map(|_| cx.waker().clone());
            self.world.wakers.lock().extend(wakers);
        }
        let flags = &self.world.flags;
        match flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
            false => Poll::Pending,
            true => {
                counts.outputs.fetch_add(1, SeqCst);
                Poll::Ready(Output(Arc::clone(&self.world)))
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.world.counts.future_drops.fetch_add(1, SeqCst);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.counts.output_drops.fetch_add(1, SeqCst);
    }
}

/// Spawns a task that waits for so many of the flags, and polls it for the first time, in which it
/// leaves so many wakers. It is in the registry, and idle.
fn idle_task(flags: usize, wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, join) = fresh_task(flags, wakers);
    world.run_one();
    (world, join)
}

/// As `idle_task`, but the task was not polled yet, and waits in the queue.
fn fresh_task(flags: usize, wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let world = Arc::new(World {
        ready: Mutex::default(),
        registry: Registry::new(1),
        flags: [AtomicBool::new(flags < 1), AtomicBool::new(flags < 2)],
        wakers: parking_lot::Mutex::default(),
        counts: Counts::default(),
        forgetful: Default::default(),
    });
    let Spawned { notified, join } = Task {
        future: Probe {
            world: Arc::clone(&world),
            wakers,
        },
        scheduler: ByHand {
            world: Arc::clone(&world),
            here: AtomicU64::new(0),
        },
        id: Id::next(),
        record: recorder().spawned(Spawning {
            meta: const { &Meta::of::<Probe, Output>(ProcessType::Task) },
            name: None,
            site: Location::caller(),
            lineage: Default::default(),
        }),
        awaited_as: Waiting::Join,
    }
    .into_cell();
    let notified = world.registry.insert(notified);
    let notified = notified.expect("the registry is open");
    world.ready.lock().push_back(notified);
    (world, join)
}

/// To be called when all threads and handles are gone: everything was dropped, and dropped once.
fn assert_all_gone(world: &World) {
    let Counts {
        polls: _,
        future_drops,
        outputs,
        output_drops,
        cell_drops,
    } = &world.counts;
    assert!(world.registry.is_empty(), "the task is not complete");
    assert_eq!(future_drops.load(SeqCst), 1, "drops of the future");
    assert_eq!(
        output_drops.load(SeqCst),
        outputs.load(SeqCst),
        "drops of the output"
    );
    assert_eq!(cell_drops.load(SeqCst), 1, "drops of the cell");
}

/// A join waker.
#[derive(Default)]
struct Told(AtomicUsize);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Told {
    fn poll(self: &Arc<Self>, join: &mut JoinHandle<Output>) -> Poll<Result<Output, JoinError>> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(join).poll(&mut Context::from_waker(&waker))
    }

    /// How often it was woken, once nobody holds it any more.
    fn wakes(self: Arc<Self>) -> usize {
        let told = Arc::into_inner(self).expect("a join waker was kept");
        told.0.into_inner()
    }
}

fn spawn(f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(f)
}

fn join(thread: thread::JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the model");
}

/// A task in the queue, with one flag to be set, and so many wakers left over.
fn woken_task(wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, handle) = idle_task(1, wakers + 1);
    world.waker().wake();
    (world, handle)
}

/// A task in the queue whose next poll is its last, with so many wakers left over.
fn ending_task(wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, handle) = woken_task(wakers);
    world.set(0);
    (world, handle)
}

// ----- waking -----

/// A thread polls a task, while another one sets what it waits for and wakes it.
fn a_wake_meets_a_poll() {
    let (world, handle) = woken_task(1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake_by_ref();
    });
    world.run();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

/// Two threads wake an idle task, each for another reason, while a third one polls it.
fn two_wakers_meet() {
    let (world, handle) = idle_task(2, 2);
    drop(handle);
    let waking = [0, 1].map(|flag| {
        let theirs = Arc::clone(&world);
        spawn(move || {
            let waker = theirs.waker();
            theirs.set(flag);
            waker.wake();
        })
    });
    world.run();
    waking.into_iter().for_each(join);
    world.run();
    assert_all_gone(&world);
}

/// As many wakes as are not counted any more, while the task is polled.
fn wakes_that_are_not_counted_meet_a_poll() {
    let (world, handle) = idle_task(2, 3);
    drop(handle);
    let awake = world.waker();
    (0..3).for_each(|_| awake.wake_by_ref());
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let (by_ref, by_value) = (theirs.waker(), theirs.waker());
        theirs.set(0);
        by_ref.wake_by_ref();
        theirs.set(1);
        by_value.wake();
    });
    world.run();
    join(waking);
    world.run();
    drop(awake);
    assert_all_gone(&world);
}

/// A wake gives up the last handle beside the life of the task, whose end it brings about: the
/// scheduler is still in use by the waking thread when the task is done.
fn a_wake_by_value_starts_the_last_poll() {
    let (world, handle) = idle_task(1, 1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake();
    });
    world.run();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

// ----- the end of the memory -----

/// A task ends while a waker is used up and another one dropped.
fn the_last_wakers_meet_completion() {
    let (world, handle) = ending_task(2);
    drop(handle);
    let used = Arc::clone(&world);
    let using = spawn(move || used.waker().wake());
    let dropped = Arc::clone(&world);
    let dropping = spawn(move || drop(dropped.waker()));
    world.run();
    join(using);
    join(dropping);
    assert_all_gone(&world);
}

/// The last two wakers of a task that has ended are dropped at the same time, one by a wake.
fn the_last_wakers_meet_after_completion() {
    let (world, handle) = ending_task(2);
    drop(handle);
    world.run();
    let theirs = Arc::clone(&world);
    let waking = spawn(move || theirs.waker().wake());
    drop(world.waker());
    join(waking);
    assert_all_gone(&world);
}

// ----- aborting -----

/// A task that would wait for ever is aborted while it is polled.
fn an_abort_meets_a_poll() {
    let (world, handle) = woken_task(0);
    let abort = handle.abort_handle();
    let aborting = spawn(move || abort.abort());
    world.run();
    join(aborting);
    world.run();
    assert_eq!(ended(handle), Err(true));
    assert_all_gone(&world);
}

/// A task is aborted while it ends: it may end either way.
fn an_abort_meets_completion() {
    let (world, handle) = ending_task(0);
    let abort = handle.abort_handle();
    let aborting = spawn(move || abort.abort());
    world.run();
    join(aborting);
    world.run();
    let ended = ended(handle);
    assert!(matches!(ended, Ok(()) | Err(true)), "{ended:?}");
    assert_all_gone(&world);
}

/// How a task ended that has ended; if badly, whether it was cancelled.
fn ended(mut handle: JoinHandle<Output>) -> Result<(), bool> {
    match Arc::<Told>::default().poll(&mut handle) {
        Poll::Pending => panic!("the task has not ended"),
        Poll::Ready(result) => result.map(drop).map_err(|error| error.is_cancelled()),
    }
}

// ----- joining -----

/// A handle is polled for the first time while the task ends.
fn a_join_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let ending = run_elsewhere(&world);
    let told = Arc::<Told>::default();
    let ready = told.poll(&mut handle).is_ready();
    join(ending);
    assert_joined_or_told(ready, handle, told);
    assert_all_gone(&world);
}

/// A handle is polled with another waker than before while the task ends.
fn a_change_of_the_join_waker_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let (first, second) = (Arc::<Told>::default(), Arc::<Told>::default());
    assert!(first.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    let ready = second.poll(&mut handle).is_ready();
    join(ending);
    assert_joined_or_told(ready, handle, second);
    first.wakes();
    assert_all_gone(&world);
}

/// A handle that waits is dropped while the task ends.
fn the_drop_of_a_handle_meets_completion() {
    let (world, mut handle) = ending_task(0);
    let told = Arc::<Told>::default();
    assert!(told.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    drop(handle);
    join(ending);
    told.wakes();
    assert_all_gone(&world);
}

/// A handle that was polled with two wakers is dropped while the task ends.
fn a_changed_join_waker_and_the_drop_of_its_handle_meet_completion() {
    let (world, mut handle) = ending_task(0);
    let (first, second) = (Arc::<Told>::default(), Arc::<Told>::default());
    assert!(first.poll(&mut handle).is_pending());
    let ending = run_elsewhere(&world);
    drop(second.poll(&mut handle));
    drop(handle);
    join(ending);
    first.wakes();
    second.wakes();
    assert_all_gone(&world);
}

fn run_elsewhere(world: &Arc<World>) -> thread::JoinHandle<()> {
    let theirs = Arc::clone(world);
    spawn(move || theirs.run())
}

/// A handle that was pending, of a task that has ended since, was woken once and is ready now.
fn assert_joined_or_told(ready: bool, handle: JoinHandle<Output>, told: Arc<Told>) {
    if ready {
        drop(handle);
        return;
    }
    assert_eq!(ended(handle), Ok(()));
    assert_eq!(told.wakes(), 1, "wakes of the join waker");
}

// ----- shutting down -----

/// The scheduler is shut down while a thread wakes the task, whose next poll is the last.
fn a_shutdown_meets_a_wake() {
    let (world, handle) = idle_task(1, 1);
    drop(handle);
    let theirs = Arc::clone(&world);
    let waking = spawn(move || {
        let waker = theirs.waker();
        theirs.set(0);
        waker.wake();
        theirs.run();
    });
    world.close();
    join(waking);
    world.run();
    assert_all_gone(&world);
}

/// The scheduler is shut down while the task ends elsewhere, and a waker of it is dropped.
fn a_shutdown_meets_completion() {
    let (world, handle) = ending_task(1);
    drop(handle);
    let ending = run_elsewhere(&world);
    let theirs = Arc::clone(&world);
    let dropping = spawn(move || drop(theirs.waker()));
    world.close();
    join(ending);
    join(dropping);
    world.run();
    assert_all_gone(&world);
}

/// A shutdown that does not know that the task has left the registry: the model must fail.
fn a_shutdown_finds_a_task_that_did_not_leave_the_registry() {
    let (world, handle) = ending_task(0);
    world.forgetful.store(true, SeqCst);
    drop(handle);
    let ending = run_elsewhere(&world);
    world.close();
    join(ending);
}

mod hold {
    use super::*;

    #[test]
    fn a_wake_meets_a_poll() {
        explore(None, super::a_wake_meets_a_poll);
    }

    #[test]
    fn two_wakers_meet() {
        explore(None, super::two_wakers_meet);
    }

    #[test]
    fn wakes_that_are_not_counted_meet_a_poll() {
        explore(None, super::wakes_that_are_not_counted_meet_a_poll);
    }

    #[test]
    fn a_wake_by_value_starts_the_last_poll() {
        explore(None, super::a_wake_by_value_starts_the_last_poll);
    }

    #[test]
    fn the_last_wakers_meet_completion() {
        explore(None, super::the_last_wakers_meet_completion);
    }

    #[test]
    fn the_last_wakers_meet_after_completion() {
        explore(None, super::the_last_wakers_meet_after_completion);
    }

    #[test]
    fn an_abort_meets_a_poll() {
        explore(None, super::an_abort_meets_a_poll);
    }

    #[test]
    fn an_abort_meets_completion() {
        explore(None, super::an_abort_meets_completion);
    }

    #[test]
    fn a_join_meets_completion() {
        explore(None, super::a_join_meets_completion);
    }

    #[test]
    fn a_change_of_the_join_waker_meets_completion() {
        explore(None, super::a_change_of_the_join_waker_meets_completion);
    }

    #[test]
    fn the_drop_of_a_handle_meets_completion() {
        explore(None, super::the_drop_of_a_handle_meets_completion);
    }

    #[test]
    fn a_changed_join_waker_and_the_drop_of_its_handle_meet_completion() {
        explore(
            None,
            super::a_changed_join_waker_and_the_drop_of_its_handle_meet_completion,
        );
    }

    #[test]
    fn a_shutdown_meets_a_wake() {
        explore(None, super::a_shutdown_meets_a_wake);
    }

    #[test]
    fn a_shutdown_meets_completion() {
        explore(None, super::a_shutdown_meets_completion);
    }

    #[test]
    fn a_shutdown_finds_a_task_that_did_not_leave_the_registry() {
        explore(
            None,
            super::a_shutdown_finds_a_task_that_did_not_leave_the_registry,
        );
    }

    /// temporary
    #[test]
    fn matrix() {
        let which = std::env::var("MODEL").unwrap_or_default();
        let seed = std::env::var("SEED").unwrap_or_default();
        use Op::*;
        let all: &[(&str, fn())] = &[
            ("a_wake_meets_a_poll", super::a_wake_meets_a_poll),
            ("two_wakers_meet", super::two_wakers_meet),
            (
                "wakes_that_are_not_counted_meet_a_poll",
                super::wakes_that_are_not_counted_meet_a_poll,
            ),
            (
                "a_wake_by_value_starts_the_last_poll",
                super::a_wake_by_value_starts_the_last_poll,
            ),
            (
                "the_last_wakers_meet_completion",
                super::the_last_wakers_meet_completion,
            ),
            (
                "the_last_wakers_meet_after_completion",
                super::the_last_wakers_meet_after_completion,
            ),
            ("an_abort_meets_a_poll", super::an_abort_meets_a_poll),
            (
                "an_abort_meets_completion",
                super::an_abort_meets_completion,
            ),
            ("a_join_meets_completion", super::a_join_meets_completion),
            (
                "a_change_of_the_join_waker_meets_completion",
                super::a_change_of_the_join_waker_meets_completion,
            ),
            (
                "the_drop_of_a_handle_meets_completion",
                super::the_drop_of_a_handle_meets_completion,
            ),
            (
                "a_changed_join_waker_and_the_drop_of_its_handle_meet_completion",
                super::a_changed_join_waker_and_the_drop_of_its_handle_meet_completion,
            ),
            ("a_shutdown_meets_a_wake", super::a_shutdown_meets_a_wake),
            (
                "a_shutdown_meets_completion",
                super::a_shutdown_meets_completion,
            ),
            (
                "a_shutdown_finds_a_task_that_did_not_leave_the_registry",
                super::a_shutdown_finds_a_task_that_did_not_leave_the_registry,
            ),
        ];
        let seeds: Vec<Seed> = [Load, Add, Sub, Or, And, Update]
            .into_iter()
            .map(Seed::Relaxed)
            .chain([Add, Sub, Or, And, Update].map(Seed::Torn))
            .collect();
        for (name, model) in all {
            if *name == which {
                for s in &seeds {
                    if format!("{s:?}") == seed {
                        explore(Some(*s), *model);
                    }
                }
            }
        }
    }
}
