//! A task, a scheduler that is run by hand, and the account of what became of both.

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

use crate::registry::Registry;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::task::{Id, JoinError, JoinHandle, Notified, Pen, Schedule, Slot, Spawned, Task};

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
pub(super) struct World {
    ready: Mutex<VecDeque<Notified>>,
    registry: Registry,
    /// What the task waits for: it is ready when all of them are set.
    flags: [AtomicBool; 2],
    wakers: parking_lot::Mutex<Vec<Waker>>,
    counts: Counts,
    /// Makes the scheduler wrong: it does not unregister what is complete.
    pub(super) forgetful: std::sync::atomic::AtomicBool,
}

impl World {
    /// Polls tasks until none is ready.
    pub(super) fn run(&self) {
        while let Some(task) = self.pop() {
            task.run(&Pen::Own(&recorder().other()));
        }
    }

    fn pop(&self) -> Option<Notified> {
        self.ready.lock().pop_front()
    }

    /// Polls the task that is known to be ready.
    fn run_one(&self) {
        let task = self.pop().expect("the model has made the task ready");
        task.run(&Pen::Own(&recorder().other()));
    }

    /// Shuts the scheduler down, as far as the registry is concerned.
    pub(super) fn close(&self) {
        for task in self.registry.close() {
            task.run_cancelled(&Pen::Own(&recorder().other()));
        }
    }

    /// Looks at all tasks, as a dump does.
    pub(super) fn look(&self) {
        self.registry.view(&recorder().viewer(), &mut Vec::new());
    }

    pub(super) fn is_over(&self) -> bool {
        self.registry.is_empty()
    }

    /// Sets what the task waits for. Relaxed: the wake that follows has to publish it.
    pub(super) fn set(&self, flag: usize) {
        self.flags[flag].store(true, Ordering::Relaxed);
    }

    pub(super) fn waker(&self) -> Waker {
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

pub(super) struct Output(Arc<World>);

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
pub(super) fn idle_task(flags: usize, wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, join) = fresh_task(flags, wakers);
    world.run_one();
    (world, join)
}

/// As `idle_task`, but the task was not polled yet, and waits in the queue.
pub(super) fn fresh_task(flags: usize, wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
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
        account: recorder().spawned(Spawning {
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
pub(super) fn assert_all_gone(world: &World) {
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
pub(super) struct Told(AtomicUsize);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Told {
    pub(super) fn poll(
        self: &Arc<Self>,
        join: &mut JoinHandle<Output>,
    ) -> Poll<Result<Output, JoinError>> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(join).poll(&mut Context::from_waker(&waker))
    }

    /// How often it was woken, once nobody holds it any more.
    pub(super) fn wakes(self: Arc<Self>) -> usize {
        let told = Arc::into_inner(self).expect("a join waker was kept");
        told.0.into_inner()
    }
}

pub(super) fn spawn(f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(f)
}

pub(super) fn join(thread: thread::JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the model");
}

/// A task in the queue, with one flag to be set, and so many wakers left over.
pub(super) fn woken_task(wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, handle) = idle_task(1, wakers + 1);
    world.waker().wake();
    (world, handle)
}

/// A task in the queue whose next poll is its last, with so many wakers left over.
pub(super) fn ending_task(wakers: usize) -> (Arc<World>, JoinHandle<Output>) {
    let (world, handle) = woken_task(wakers);
    world.set(0);
    (world, handle)
}
