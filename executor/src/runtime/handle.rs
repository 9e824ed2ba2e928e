//! The handle: a runtime from any thread.

use std::fmt;
use std::future::Future;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock, Weak};

use telemetry_rt_reactor as reactor;
use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{
    Gauges, Lineage, Meta, Observed, ProcessType, Recorder, Spawning, TaskView,
};

use super::block_on;
use super::config::{Config, RuntimeFlavor};
use super::context::{self, EnterGuard};
use super::worker_threads::WorkerThreads;
use crate::blocking::{BlockingFunction, Detached, Pool};
use crate::memory;
use crate::scheduler::{self, Shared};
use crate::task::{Id, JoinHandle, Spawned, Task};

/// A reference to a runtime, usable from any thread and cheap to clone.
///
/// A handle does not keep the runtime running: what is spawned after the runtime was shut down is
/// cancelled at once.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    blocking: Arc<Pool>,
    workers: WorkerThreads,
    flavor: RuntimeFlavor,
    /// What [`memory::forks`] was where the runtime was built.
    forks: u32,
}

impl Observed for Inner {
    fn gauges(&self) -> Gauges {
        let mut gauges = Gauges::default();
        self.shared.gauge(&mut gauges);
        self.blocking.gauge(&mut gauges);
        gauges
    }

    fn tasks(&self) -> Vec<TaskView> {
        let viewer = self.shared.recorder().viewer();
        let mut tasks = Vec::new();
        self.shared.view(&viewer, &mut tasks);
        self.blocking.registry().view(&viewer, &mut tasks);
        tasks
    }
}

// No user code runs while anything of a runtime is locked, so that a panic leaves it whole.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, config: Config) -> Handle {
        let inner = Arc::new(Inner {
            shared,
            blocking: Arc::new(Pool::new(&config)),
            flavor: config.flavor,
            workers: WorkerThreads::new(config),
            // Before the first task, and so before the first lock that a fork has to take.
            forks: memory::watch_forks(),
        });
        let observed: Weak<Inner> = Arc::downgrade(&inner);
        inner.shared.recorder().observe(observed);
        Handle { inner }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn blocking(&self) -> &Arc<Pool> {
        &self.inner.blocking
    }

    pub(crate) fn workers(&self) -> &WorkerThreads {
        &self.inner.workers
    }

    pub(crate) fn reactor(&self) -> &reactor::Handle {
        self.inner.shared.reactor()
    }

    /// The handle of the runtime that is current on this thread.
    ///
    /// # Panics
    ///
    /// Outside of a runtime: on a thread that neither runs tasks nor has
    /// [entered](Self::enter) a runtime.
    #[track_caller]
    pub fn current() -> Handle {
        match Handle::try_current() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// The handle of the runtime that is current on this thread.
    ///
    /// # Errors
    ///
    /// Outside of a runtime, and on a thread whose thread-locals are being destroyed.
    pub fn try_current() -> Result<Handle, TryCurrentError> {
        context::current()
    }

    /// Makes this runtime the current one of the thread until the guard is dropped, so that
    /// `spawn`, timers and sockets work outside of a task.
    ///
    /// # Panics
    ///
    /// Guards must be dropped in the reverse of the order in which they were made; dropping one
    /// out of order panics.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard::new(self)
    }

    /// Spawns a future: it runs at once, on the workers of the runtime, whether its handle is
    /// awaited or not.
    ///
    /// Cost: some 250 bytes and the future, taken from what tasks have left that ended before, and
    /// the lock of a list; on a thread that is no worker, that of the injector.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_named(self, future, None, Lineage::Inherit, Location::caller())
    }

    /// Runs a function that blocks, on a thread of the blocking pool.
    ///
    /// When the pool has its greatest number of threads the function waits for one. It cannot be
    /// aborted once it has started. The runtime waits for it when it is dropped.
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, function: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        spawn_blocking_named(
            self,
            function,
            BlockingSpawn {
                name: None,
                lineage: Lineage::Inherit,
                site: Location::caller(),
                must_run: false,
            },
        )
    }

    /// Runs a future to its end on this thread.
    ///
    /// On a current-thread runtime this does not run the runtime's own tasks, sockets and timers:
    /// that is what the runtime's own `block_on` does.
    ///
    /// # Panics
    ///
    /// If the future panics, if this thread is running asynchronous tasks, or in a process that was
    /// forked off the one that built the runtime.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.check_process();
        block_on::on_this_thread(self, future, Location::caller())
    }

    /// Sees to it that nobody waits in a child for threads that the parent has.
    #[inline]
    #[track_caller]
    pub(super) fn check_process(&self) {
        if memory::forks() != self.inner.forks {
            in_a_forked_child();
        }
    }

    /// Which machine the runtime is.
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        self.inner.flavor
    }

    /// The recorder of the runtime: for the floors above.
    #[doc(hidden)]
    pub fn recorder(&self) -> &Recorder {
        self.inner.shared.recorder()
    }

    pub(super) fn observed(&self) -> &impl Observed {
        &*self.inner
    }

    /// How many tasks are alive: spawned, and neither finished nor dropped.
    pub fn num_alive_tasks(&self) -> usize {
        self.inner.shared.live_tasks()
    }

    /// How many workers the runtime has.
    pub fn num_workers(&self) -> usize {
        self.inner.shared.workers()
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn in_a_forked_child() -> ! {
    panic!(
        "Cannot block on a runtime that was built before this process was forked: its threads and \
         sockets are those of the parent. Build a runtime of its own in the child, or fork before \
         the runtime is built."
    )
}

/// Spawns a future with all that can be said about it.
pub(crate) fn spawn_named<F>(
    handle: &Handle,
    future: F,
    name: Option<&str>,
    lineage: Lineage,
    site: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (join, refused) = scheduler::spawn(handle.shared(), future, name, lineage, site);
    if let Some(refused) = refused {
        refused.cancel(handle.shared());
    }
    join
}

/// Spawns a future on the runtime that is current on this thread.
///
/// The runtime is borrowed from the thread, since two additions to its count would cost as much as
/// queueing the task; but not where code of the user's may run, which may leave the runtime.
#[track_caller]
pub(crate) fn spawn_here<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let site = Location::caller();
    match context::with_current(|handle| handle.recorder().asks_users()) {
        Some(false) => spawn_borrowing(future, site),
        Some(true) | None => spawn_named(&Handle::current(), future, None, Lineage::Inherit, site),
    }
}

fn spawn_borrowing<F>(future: F, site: &'static Location<'static>) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let spawned = context::with_current(move |handle| {
        let shared = handle.shared();
        let (join, refused) = scheduler::spawn(shared, future, None, Lineage::Inherit, site);
        (join, refused.map(|task| (task, handle.clone())))
    });
    let (join, refused) = spawned.expect("the caller has seen that a runtime is current");
    if let Some((refused, handle)) = refused {
        refused.cancel(handle.shared());
    }
    join
}

/// All that can be said about a function on the blocking pool.
pub(crate) struct BlockingSpawn<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) lineage: Lineage,
    pub(crate) site: &'static Location<'static>,
    /// Whether it is run even if the runtime ends before its turn.
    pub(crate) must_run: bool,
}

/// Spawns a function onto the blocking pool.
pub(crate) fn spawn_blocking_named<F, R>(
    handle: &Handle,
    function: F,
    spawn: BlockingSpawn<'_>,
) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let account = handle.shared().recorder().spawned(Spawning {
        meta: const { &Meta::of::<F, R>(ProcessType::Blocking) },
        name: spawn.name,
        site: spawn.site,
        lineage: spawn.lineage,
    });
    let Spawned { notified, join } = Task {
        future: BlockingFunction::new(function),
        scheduler: Detached::new(Arc::clone(handle.blocking().registry())),
        id: Id::next(),
        account,
        awaited_as: Waiting::Blocking,
    }
    .into_cell();
    let notified = match Recorder::IS_SEEN {
        true => handle.blocking().list(notified),
        false => notified,
    };
    handle.blocking().run(handle, notified, spawn.must_run);
    join
}

/// Lets the reactor look names up on the blocking pool. It knows the runtime only from afar, as
/// the runtime owns the reactor.
#[derive(Default)]
pub(super) struct Lookups {
    runtime: OnceLock<Weak<Inner>>,
}

impl Lookups {
    pub(super) fn attach(&self, handle: &Handle) {
        // Set once, by the one who makes the runtime.
        let _ = self.runtime.set(Arc::downgrade(&handle.inner));
    }
}

impl reactor::Offload for Lookups {
    fn offload(&self, name: &'static str, job: reactor::Job) -> Result<(), reactor::Refused> {
        let inner = self.runtime.get().and_then(Weak::upgrade);
        let inner = inner.ok_or_else(reactor::Refused::default)?;
        let handle = Handle { inner };
        let spawn = BlockingSpawn {
            name: Some(name),
            lineage: Lineage::Inherit,
            site: Location::caller(),
            must_run: false,
        };
        drop(spawn_blocking_named(&handle, job, spawn));
        Ok(())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("flavor", &self.inner.flavor)
            .field("workers", &self.num_workers())
            .finish_non_exhaustive()
    }
}

/// There is no current runtime on this thread.
#[derive(Clone, PartialEq, Eq)]
pub struct TryCurrentError {
    destroyed: bool,
}

impl TryCurrentError {
    pub(super) fn no_context() -> TryCurrentError {
        TryCurrentError { destroyed: false }
    }

    pub(super) fn thread_local_destroyed() -> TryCurrentError {
        TryCurrentError { destroyed: true }
    }

    /// No runtime was entered on this thread.
    pub fn is_missing_context(&self) -> bool {
        !self.destroyed
    }

    /// The thread is ending and its thread-locals are gone.
    pub fn is_thread_local_destroyed(&self) -> bool {
        self.destroyed
    }
}

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.destroyed {
            true => "the thread is ending, and the context of its runtime has been destroyed",
            false => {
                "there is no reactor running, must be called from the context of a telemetry_rt \
                 runtime"
            }
        })
    }
}

impl fmt::Debug for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryCurrentError")
            .field("thread_local_destroyed", &self.destroyed)
            .finish()
    }
}

impl std::error::Error for TryCurrentError {}
