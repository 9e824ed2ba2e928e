//! How a task comes to its scheduler, and how it finds back there when it is woken.
//!
//! A task holds its scheduler without counting a reference: two additions for each task to one word
//! of all workers would cost more than its queueing. It needs none, because *a task that is not
//! complete has a scheduler*: the thread that ends a scheduler keeps it until the registry is empty,
//! and a task leaves the registry when it is complete. What is woken later is not scheduled any more.
//!
//! The last moments are the ones to mind. A thread that is no worker and has pushed the last task into
//! the injector still has a sleeper to wake, while the thread that ends the scheduler may have dropped
//! that task already, and goes. So [`Home::schedule`] takes a reference there, before it pushes.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Lineage, Meta, ProcessType, Spawning};

use super::shared::Shared;
use super::worker::WorkerThread;
use crate::task::{Id, JoinHandle, Notified, Pen, Schedule, Slot, Spawned, Task};

/// The scheduler of a task, as the task holds it: see the module.
struct Home(ManuallyDrop<Arc<Shared>>);

impl Home {
    fn of(shared: &Arc<Shared>) -> Home {
        // SAFETY: a second pointer to what is behind the first, never dropped. It is followed only
        // while the task is not complete, or by a thread that holds a reference of its own.
        Home(ManuallyDrop::new(unsafe { ptr::read(shared) }))
    }
}

impl Schedule for Home {
    fn schedule(&self, task: Notified) {
        WorkerThread::with_current(
            |worker| match worker.filter(|worker| worker.serves(&self.0)) {
                Some(worker) => worker.push(task),
                None => Arc::clone(&self.0).inject(task),
            },
        );
    }

    fn schedule_again(&self, task: Notified) {
        WorkerThread::with_current(
            |worker| match worker.filter(|worker| worker.serves(&self.0)) {
                Some(worker) => worker.push_last(task),
                None => Arc::clone(&self.0).inject(task),
            },
        );
    }

    fn release(&self, slot: Slot) {
        self.0.registry.remove(slot);
    }
}

/// A task whose scheduler is shutting down. It is to be [cancelled](Refused::cancel) where user code
/// may run.
#[must_use = "the task is never dropped otherwise"]
pub(crate) struct Refused(Notified);

impl Refused {
    /// Drops the task; its handle says that it was cancelled.
    #[cold]
    pub(crate) fn cancel(self, shared: &Shared) {
        self.0.run_cancelled(&Pen::Own(&shared.recorder().other()));
    }
}

/// Spawns a future onto a scheduler.
///
/// `site` is the line that the user wrote. When the scheduler is shutting down the task is returned
/// beside its handle.
pub(crate) fn spawn<F>(
    shared: &Arc<Shared>,
    future: F,
    name: Option<&str>,
    lineage: Lineage,
    site: &'static Location<'static>,
) -> (JoinHandle<F::Output>, Option<Refused>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let account = shared.recorder().spawned(Spawning {
        meta: const { &Meta::of::<F, F::Output>(ProcessType::Task) },
        name,
        site,
        lineage,
    });
    let Spawned { notified, join } = Task {
        future,
        scheduler: Home::of(shared),
        id: Id::next(),
        account,
        awaited_as: Waiting::Join,
    }
    .into_cell();
    match shared.registry.insert(notified) {
        Ok(task) => {
            Home::of(shared).schedule(task);
            (join, None)
        }
        Err(task) => (join, Some(Refused(task))),
    }
}
