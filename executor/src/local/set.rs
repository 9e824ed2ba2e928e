//! The set as users hold it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Account, Lineage, Meta, ProcessType, Recorder, Spawning};

use super::queue::{CurrentGuard, Local, Member, Running, Shared, Unrecorded, Why, current};
use crate::runtime::Runtime;
use crate::task::{Id, JoinHandle, Pen, Spawned, Task};

/// A set of tasks that run on one thread, whose futures need not be `Send`.
///
/// The tasks run while the set is awaited, or while [`run_until`](Self::run_until) or
/// [`block_on`](Self::block_on) is; within those, [`spawn_local`] adds to the set. Dropping the set
/// drops its tasks.
///
/// # Example
///
/// ```
/// # let runtime = telemetry_rt_executor::doc_runtime();
/// use std::rc::Rc;
/// use telemetry_rt_executor::{LocalSet, spawn_local};
///
/// let set = LocalSet::new();
/// let sum = set.block_on(&runtime, async {
///     let shared = Rc::new(20);
///     let task = spawn_local({
///         let shared = Rc::clone(&shared);
///         async move { *shared + 1 }
///     });
///     task.await.unwrap() + *shared
/// });
/// assert_eq!(sum, 41);
/// ```
pub struct LocalSet {
    running: Running,
    /// Tasks are polled and dropped on one thread: the set must not leave it.
    not_send: PhantomData<*const ()>,
}

/// How many tasks are polled before the set returns to its own scheduler.
const ROUND: usize = 61;

impl LocalSet {
    /// An empty set, bound to this thread.
    pub fn new() -> LocalSet {
        LocalSet {
            running: Running {
                shared: Arc::new(Shared::new()),
                local: Rc::new(Local::default()),
            },
            not_send: PhantomData,
        }
    }

    /// Adds a task, which runs when the set does.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_named(future, None, Lineage::Inherit, Location::caller())
    }

    pub(crate) fn spawn_named<F>(
        &self,
        future: F,
        name: Option<&str>,
        lineage: Lineage,
        site: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn(&self.running, future, name, lineage, site)
    }

    /// Makes this the set to which [`spawn_local`] adds, until the guard is dropped. The tasks
    /// run once the set is polled.
    pub fn enter(&self) -> LocalEnterGuard {
        LocalEnterGuard {
            _current: CurrentGuard::enter(&self.running, Why::Entered),
            not_send: PhantomData,
        }
    }

    /// Runs `future` and the set on `runtime` until the future is done.
    ///
    /// # Panics
    ///
    /// If the future panics, or if this thread is running asynchronous tasks.
    #[track_caller]
    pub fn block_on<F: Future>(&self, runtime: &impl AsRef<Runtime>, future: F) -> F::Output {
        runtime.as_ref().block_on(self.run_until(future))
    }

    /// Runs the set until `future` is done, and returns its output.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped the tasks stay in the set, and go on when that runs again.
    pub async fn run_until<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _current = CurrentGuard::enter(&self.running, Why::Polled);
            self.running.shared.set_waker(cx.waker());
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if self.run_round() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Runs some of the tasks that are ready. `true` if there may be more.
    fn run_round(&self) -> bool {
        with_pen(&self.running, |pen| {
            for _ in 0..ROUND {
                match self.running.local.pop(&self.running.shared) {
                    Some(task) => task.run(pen),
                    None => return false,
                }
            }
            true
        })
    }
}

/// Adds a task to the [`LocalSet`] that runs on this thread.
///
/// # Panics
///
/// Outside of a [`LocalSet`].
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_current(future, None, Lineage::Inherit, Location::caller())
}

#[track_caller]
pub(crate) fn spawn_current<F>(
    future: F,
    name: Option<&str>,
    lineage: Lineage,
    site: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let running = current().expect("`spawn_local` called from outside of a `task::LocalSet`");
    spawn(&running, future, name, lineage, site)
}

fn spawn<F>(
    running: &Running,
    future: F,
    name: Option<&str>,
    lineage: Lineage,
    site: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let meta = const { &Meta::of::<F, F::Output>(ProcessType::Task) };
    let (account, unrecorded) = match running.local.recorder(&running.shared) {
        Some(recorder) => {
            let spawning = Spawning {
                meta,
                name,
                site,
                lineage,
            };
            (recorder.spawned(spawning), None)
        }
        None => {
            let later = Unrecorded {
                meta,
                name: name.map(Box::from),
                site,
                lineage,
            };
            (Account::unrecorded(), Some(later))
        }
    };
    // Run on this thread only: rule 1 of the module.
    let Spawned { notified, join } = Task {
        future,
        scheduler: Member {
            shared: Arc::clone(&running.shared),
            unrecorded,
        },
        id: Id::next(),
        account,
        awaited_as: Waiting::Join,
    }
    .into_cell();
    match running.shared.registry.insert(notified) {
        Ok(task) => running.schedule(task),
        Err(task) => with_pen(running, |pen| task.run_cancelled(pen)),
    }
    join
}

/// The pen for the tasks of a set. Where the set has no recorder, a pen that nobody reads, of a
/// recorder that all such sets share.
fn with_pen<R>(running: &Running, f: impl FnOnce(&Pen<'_>) -> R) -> R {
    static UNREAD: OnceLock<Recorder> = OnceLock::new();
    let recorder = match running.local.recorder(&running.shared) {
        Some(recorder) => recorder,
        None => {
            UNREAD.get_or_init(|| Recorder::new(telemetry_rt_telemetry::record::Config::default()))
        }
    };
    let scribe = recorder.other();
    f(&Pen::Own(&scribe))
}

impl Future for LocalSet {
    type Output = ();

    /// Ready when no task is left.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _current = CurrentGuard::enter(&self.running, Why::Polled);
        self.running.shared.set_waker(cx.waker());
        let more = self.run_round();
        if self.running.shared.registry.is_empty() {
            return Poll::Ready(());
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        let _current = CurrentGuard::enter(&self.running, Why::Polled);
        with_pen(&self.running, |pen| {
            let shared = &self.running.shared;
            for task in shared.registry.close() {
                task.run_cancelled(pen);
            }
            // A task that another thread has just woken is on its way into the queue.
            while !shared.registry.is_empty() {
                match self.running.local.pop(shared) {
                    Some(task) => task.run_cancelled(pen),
                    None => std::thread::yield_now(),
                }
            }
        });
    }
}

impl Default for LocalSet {
    fn default() -> LocalSet {
        LocalSet::new()
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet")
            .field("tasks", &self.running.shared.registry.len())
            .finish()
    }
}

/// Keeps a [`LocalSet`] the current one; made by [`LocalSet::enter`].
#[must_use = "the set is current only as long as the guard lives"]
pub struct LocalEnterGuard {
    _current: CurrentGuard,
    not_send: PhantomData<*const ()>,
}

impl fmt::Debug for LocalEnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEnterGuard").finish_non_exhaustive()
    }
}
