//! How a scheduler ends (`ending.rs`), under every order of events: no task is left, be it that it is
//! spawned, woken or running elsewhere meanwhile; one worker drops them all; and who waits for the end
//! is told, with all tasks gone.
//!
//! Tasks, registry and injector are the real ones. The workers take the steps of `worker.rs`, and the
//! spawners those of `tasks.rs`.
//!
//! Each model is shown to fail when a step is left out.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use loom::thread;
use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Config, Meta, ProcessType, Recorder, Scribe, Spawning};

use super::ending::{Ending, drop_all, drop_idle, drop_injected};
use super::injector::Injector;
use crate::registry::Registry;
use crate::sync::model::explore;
use crate::sync::{Mutex, UnsafeCell};
use crate::task::{Id, Notified, Pen, Schedule, Slot, Spawned, Task};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who drops all tasks looks at the injector once.
    LookingAgain,
    /// Who spawns asks whether the scheduler ends, and registers its task later.
    Refusing,
    /// A worker that stops keeps its tasks.
    LeavingTasks,
    /// Who has dropped all tasks tells nobody.
    Telling,
    /// Who waits is told before the tasks are dropped.
    DroppingFirst,
    /// Whoever pushes relies on the scheduler to be there afterwards, too.
    Reference,
}

struct World {
    ending: Ending,
    registry: Registry,
    injector: Injector<Notified>,
    wakers: parking_lot::Mutex<Vec<Waker>>,
    spawned: AtomicUsize,
    dropped: AtomicUsize,
    /// References to the scheduler. The last one frees it: what is used is this cell.
    references: Mutex<usize>,
    memory: UnsafeCell<()>,
    without: Without,
}

// SAFETY: the cell holds nothing; loom checks who is in it.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(without: Without) -> Arc<World> {
        Arc::new(World {
            ending: Ending::default(),
            registry: Registry::new(1),
            injector: Injector::new(),
            wakers: parking_lot::Mutex::default(),
            spawned: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            references: Mutex::new(1),
            memory: UnsafeCell::new(()),
            without,
        })
    }

    /// Makes a task that waits for ever. If it is refused it is dropped at once.
    fn spawn(self: &Arc<World>) -> Option<Notified> {
        if self.without == Without::Refusing && self.ending.has_begun() {
            return None;
        }
        let Spawned { notified, join } = self.make();
        drop(join);
        if self.without == Without::Refusing {
            return Some(notified);
        }
        match self.registry.insert(notified) {
            Ok(task) => Some(task),
            Err(task) => {
                task.run_cancelled(&Pen::Own(&scribe()));
                None
            }
        }
    }

    fn make(self: &Arc<World>) -> Spawned<()> {
        self.spawned.fetch_add(1, SeqCst);
        Task {
            future: Waits(Arc::clone(self)),
            scheduler: Home(Arc::clone(self)),
            id: Id::next(),
            account: recorder().spawned(Spawning {
                meta: const { &Meta::of::<Waits, ()>(ProcessType::Task) },
                name: None,
                site: Location::caller(),
                lineage: Default::default(),
            }),
            awaited_as: Waiting::Join,
        }
        .into_cell()
    }

    /// A task that waits, and has left a waker.
    fn idle_task(self: &Arc<World>) {
        let task = self.spawn().expect("the scheduler does not end yet");
        task.run(&Pen::Own(&scribe()));
    }

    fn waker(&self) -> Waker {
        let waker = self.wakers.lock().pop();
        waker.expect("a task that was polled has left one")
    }

    // ----- as `Home` and `Shared` do -----

    fn retain(&self) {
        *self.references.lock() += 1;
    }

    fn release(&self) {
        let mut references = self.references.lock();
        *references -= 1;
        if *references == 0 {
            drop(references);
            self.memory.with_mut(|_| ());
        }
    }

    fn inject(&self, task: Notified) {
        self.injector.push(task);
        // A sleeper is looked for.
        self.memory.with(|_| ());
    }

    /// One of so many workers stops, with a task of its own.
    fn stop(&self, workers: usize, own: Option<Notified>) {
        match self.without {
            Without::LeavingTasks => drop(own.map(ManuallyDrop::new)),
            _ => own.into_iter().for_each(|task| self.injector.push(task)),
        }
        if !self.ending.is_last(workers) {
            return;
        }
        if self.without == Without::DroppingFirst {
            self.ending.is_over();
        }
        self.drop_tasks();
        if self.without != Without::Telling {
            self.ending.is_over();
        }
    }

    fn drop_tasks(&self) {
        let scribe = scribe();
        let pen = Pen::Own(&scribe);
        if self.without == Without::LookingAgain {
            drop_idle(&self.registry, &pen);
            return drop_injected(&self.injector, &pen);
        }
        drop_all(&self.registry, &self.injector, &pen, || ());
    }

    fn assert_empty(&self) {
        // Loom has to see that this thread looks.
        assert!(self.registry.is_empty(), "tasks that nobody dropped");
        let (spawned, dropped) = (self.spawned.load(SeqCst), self.dropped.load(SeqCst));
        assert_eq!(dropped, spawned, "tasks that nobody dropped");
    }
}

fn recorder() -> &'static Recorder {
    static RECORDER: std::sync::OnceLock<Recorder> = std::sync::OnceLock::new();
    RECORDER.get_or_init(|| {
        Recorder::new(Config {
            workers: 0,
            ..Config::default()
        })
    })
}

fn scribe() -> Scribe {
    recorder().other()
}

struct Home(Arc<World>);

impl Schedule for Home {
    fn schedule(&self, task: Notified) {
        let world = Arc::clone(&self.0);
        if world.without == Without::Reference {
            return world.inject(task);
        }
        world.retain();
        world.inject(task);
        world.release();
    }

    fn schedule_again(&self, task: Notified) {
        self.schedule(task);
    }

    fn release(&self, slot: Slot) {
        self.0.registry.remove(slot);
    }
}

struct Waits(Arc<World>);

impl Future for Waits {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.wakers.lock().push(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

fn start(world: &Arc<World>, act: impl FnOnce(Arc<World>) + 'static) -> thread::JoinHandle<()> {
    let theirs = Arc::clone(world);
    thread::spawn(move || act(theirs))
}

fn end(thread: thread::JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the model");
}

/// A task is woken by another thread while the only worker stops, and the scheduler goes.
fn a_wake_meets_the_end(without: Without) {
    let world = World::new(without);
    world.idle_task();
    let waker = world.waker();
    let waking = start(&world, move |_| waker.wake());
    world.ending.begin();
    world.stop(1, None);
    world.assert_empty();
    world.release();
    end(waking);
}

/// A task is spawned by another thread while the only worker stops.
fn a_spawn_meets_the_end(without: Without) {
    let world = World::new(without);
    let spawning = start(&world, |world| {
        if let Some(task) = world.spawn() {
            world.inject(task);
        }
    });
    world.ending.begin();
    world.stop(1, None);
    end(spawning);
    world.assert_empty();
}

/// Two workers stop, each with a task of its own, while a third thread waits for the end.
fn two_workers_stop(without: Without) {
    let world = World::new(without);
    let tasks = [(); 2].map(|()| world.spawn());
    world.ending.begin();
    let workers = tasks.map(|task| start(&world, move |world| world.stop(2, task)));
    assert!(world.ending.wait(None));
    world.assert_empty();
    workers.into_iter().for_each(end);
}

mod hold {
    use super::*;

    #[test]
    fn a_wake_meets_the_end() {
        explore(None, || super::a_wake_meets_the_end(Without::Nothing));
    }

    #[test]
    fn a_spawn_meets_the_end() {
        explore(None, || super::a_spawn_meets_the_end(Without::Nothing));
    }

    #[test]
    fn two_workers_stop() {
        explore(None, || super::two_workers_stop(Without::Nothing));
    }
}

/// Each model notices when a step is left out.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "tasks that nobody dropped")]
    fn an_end_that_does_not_wait_for_who_wakes() {
        explore(None, || a_wake_meets_the_end(Without::LookingAgain));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn a_push_into_a_scheduler_that_is_gone() {
        explore(None, || a_wake_meets_the_end(Without::Reference));
    }

    #[test]
    #[should_panic(expected = "tasks that nobody dropped")]
    fn a_spawn_that_is_not_refused_under_the_lock() {
        explore(None, || a_spawn_meets_the_end(Without::Refusing));
    }

    #[test]
    #[should_panic(expected = "maximum number of branches")]
    fn a_worker_that_keeps_its_tasks() {
        explore(None, || two_workers_stop(Without::LeavingTasks));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn an_end_that_nobody_is_told_of() {
        explore(None, || two_workers_stop(Without::Telling));
    }

    #[test]
    #[should_panic(expected = "tasks that nobody dropped")]
    fn an_end_that_is_told_too_early() {
        explore(None, || two_workers_stop(Without::DroppingFirst));
    }
}
