//! What all workers of a runtime share, and how tasks come in from outside.

use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Instant;

use crossbeam_utils::CachePadded;
use telemetry_rt_reactor as reactor;
use telemetry_rt_telemetry::record::{Counter, Gauges, Recorder, TaskView, Viewer};

use super::core::{Core, processors};
use super::ending::{Ending, drop_all};
use super::errand::Intervals;
use super::idle::{Idle, Taken};
use super::injector::Injector;
use super::park::{Parker, SharedDriver};
use super::queue::Stealer;
use super::stand::Stand;
use crate::registry::{Bystanders, Registry};
use crate::runtime::Pens;
use crate::sync::{Ordering, fence};
use crate::task::{Notified, Pen};

/// See the module.
pub(crate) struct Shared {
    pub(super) injector: CachePadded<Injector<Notified>>,
    pub(super) stealers: Box<[Stealer<Notified>]>,
    pub(super) parkers: Box<[Parker]>,
    pub(super) idle: Idle,
    pub(super) driver: SharedDriver,
    pub(super) event_interval: u32,
    pub(super) registry: Registry,
    bystanders: Bystanders,
    pens: Pens,
    /// No other runtime of the process has it.
    number: u64,
    recorder: Recorder,
    ending: Ending,
    /// The core of the current-thread flavour, while nobody runs it.
    stand: Stand<Core>,
}

fn next_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    // Relaxed: only uniqueness is asked for.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Shared {
    /// The shared part, and the cores for the workers.
    pub(crate) fn new(
        workers: usize,
        driver: reactor::Driver,
        handle: reactor::Handle,
        recorder: Recorder,
        intervals: Intervals,
    ) -> (Arc<Shared>, Vec<Core>) {
        let cores: Vec<_> = (0..workers)
            .map(|index| Core::new(index, workers, intervals, recorder.worker(index)))
            .collect();
        let shared = Shared {
            injector: CachePadded::new(Injector::new()),
            stealers: cores.iter().map(|core| core.stealer()).collect(),
            parkers: cores.iter().map(|_| Parker::new()).collect(),
            idle: Idle::new(workers, processors()),
            driver: SharedDriver::new(driver, handle),
            event_interval: intervals.events,
            // More shards than workers, because other threads spawn, too.
            registry: Registry::new(2 * workers),
            bystanders: Bystanders::default(),
            pens: Pens::default(),
            number: next_number(),
            recorder,
            ending: Ending::default(),
            stand: Stand::new(),
        };
        (Arc::new(shared), cores)
    }

    pub(crate) fn reactor(&self) -> &reactor::Handle {
        self.driver.handle()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn workers(&self) -> usize {
        self.parkers.len()
    }

    pub(crate) fn live_tasks(&self) -> usize {
        self.registry.len()
    }

    // ----- for those who look on -----

    /// Adds the numbers of the moment.
    pub(crate) fn gauge(&self, gauges: &mut Gauges) {
        gauges.live_tasks = self.live_tasks() as u64;
        gauges.injector_depth = self.injector.len() as u64;
        gauges.local_depths = self
            .stealers
            .iter()
            .map(|queue| queue.len() as u64)
            .collect();
        let reactor = self.reactor().counts();
        gauges.io_registered = reactor.registered;
        gauges.io_deregistered = reactor.deregistered;
        gauges.timers = reactor.timers;
    }

    /// What is to be seen of all live processes but those of the blocking pool.
    pub(crate) fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        self.registry.view(viewer, into);
        self.bystanders.view(viewer, into);
    }

    /// Processes that are not the scheduler's own.
    pub(crate) fn bystanders(&self) -> &Bystanders {
        &self.bystanders
    }

    /// The pens of threads in a `block_on`.
    pub(crate) fn pens(&self) -> &Pens {
        &self.pens
    }

    /// What tells this runtime from all others of the process.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The thread that runs a worker, if one does.
    pub(crate) fn thread_of(&self, worker: usize) -> Option<ThreadId> {
        self.parkers[worker].thread_id()
    }

    // ----- work from outside -----

    /// Puts a task where any worker finds it, and wakes one if need be.
    pub(super) fn inject(&self, task: Notified) {
        self.recorder.count(Counter::RemoteSchedules, 1);
        self.injector.push(task);
        // Pairs with the fence in `Idle::sleep`, here and in `tell_others`: either this sees the
        // sleeper, or the sleeper's second look sees the task.
        fence(Ordering::SeqCst);
        if self.idle.someone_may_be_woken() {
            self.share_work();
        }
    }

    /// There is work in a worker's own queue, and that worker may be blocked the next moment.
    #[inline]
    pub(super) fn tell_others(&self) {
        if self.workers() > 1 {
            fence(Ordering::SeqCst);
            if self.idle.someone_may_be_woken() {
                self.share_work();
            }
        }
    }

    /// Wakes a sleeper for work that is visible to it, if another worker can run; if not, sees to it
    /// that somebody watches the work.
    #[cold]
    pub(super) fn share_work(&self) {
        if self.idle.is_crowded() && self.has_watcher() {
            return;
        }
        let taken = self.idle.take_sleeper(|worker| self.is_in_driver(worker));
        if let Some(Taken { worker, watched }) = taken {
            self.parkers[worker].unpark(self.reactor());
            if watched {
                self.relieve_watcher();
            }
        }
    }

    fn is_in_driver(&self, worker: usize) -> bool {
        self.parkers[worker].is_in_driver()
    }

    /// To be called by who leaves the driver to do something else: unless somebody else is there, a
    /// sleeper has to watch.
    pub(super) fn see_to_the_driver(&self) {
        if self.workers() > 1 {
            self.appoint_watcher(|| !self.driver.is_attended());
        }
    }

    /// To be called when the watcher has left its post. If the only one who sleeps now is in the
    /// driver, nobody can watch the work that was left to the watcher: that one is woken for it.
    pub(super) fn relieve_watcher(&self) {
        self.see_to_the_driver();
        if self.has_work() && self.idle.someone_may_be_woken() {
            self.share_work();
        }
    }

    /// Whether somebody watches the queues, from now on at the latest.
    fn has_watcher(&self) -> bool {
        self.appoint_watcher(|| true);
        self.idle.is_watched()
    }

    fn appoint_watcher(&self, needed: impl Fn() -> bool) {
        let spare = |worker| self.is_in_driver(worker);
        if let Some(worker) = self.idle.someone_must_watch(needed, spare) {
            self.parkers[worker].unpark(self.reactor());
        }
    }

    /// How far each queue has come: two equal numbers say that nothing was taken from it in between.
    pub(super) fn progress(&self) -> impl Iterator<Item = Option<u64>> {
        let queues = self.stealers.iter().map(Stealer::progress);
        queues.chain([self.injector.progress()])
    }

    /// Whether a worker that has just listed itself as a sleeper has to get up again. As long as enough
    /// others search it has not: the last of them looks again.
    pub(super) fn has_work_nobody_looks_for(&self) -> bool {
        !self.injector.is_empty() || (self.has_work() && !self.idle.enough_search())
    }

    /// Whether there is a task that some other worker than its owner could run.
    pub(super) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|queue| !queue.is_empty())
    }

    // ----- the one worker of the current-thread flavour -----

    pub(crate) fn park_core(&self, core: Core) {
        self.stand.put(core);
    }

    pub(crate) fn take_core(&self) -> Option<Core> {
        self.stand.take()
    }

    /// Waits until the core may be had or `ready` says that there is no need for it any more.
    pub(crate) fn wait_for_core(&self, ready: impl Fn() -> bool) {
        self.stand.wait(ready);
    }

    /// The future of `block_on` was woken: the thread that polls it must look.
    pub(crate) fn wake_root(&self) {
        self.parkers[0].unpark(self.reactor());
        self.stand.tell();
    }

    // ----- shutdown -----

    pub(crate) fn is_closing(&self) -> bool {
        self.ending.has_begun()
    }

    /// Tells the workers to stop: each ends its poll, leaves its tasks to the injector, and
    /// returns its core. Tasks that are spawned from here on are dropped at once.
    pub(crate) fn close(&self) {
        self.ending.begin();
        for parker in &self.parkers {
            parker.unpark(self.reactor());
        }
    }

    /// A worker has stopped. The thread that returns the last core drops all tasks, and shuts the
    /// driver down.
    pub(crate) fn return_core(&self, core: Core) {
        core.leave_tasks(&self.injector);
        drop(core);
        if self.ending.is_last(self.workers()) {
            self.drop_tasks();
            self.ending.is_over();
        }
    }

    /// Waits until all tasks have been dropped, at most until `deadline`; tells whether they have.
    pub(crate) fn wait_until_down(&self, deadline: Option<Instant>) -> bool {
        self.ending.wait(deadline)
    }

    /// Drops all tasks and shuts the driver down, when no worker runs any more.
    fn drop_tasks(&self) {
        let scribe = self.recorder.other();
        // Nobody looks at the driver any more: what waits for it on other threads, in a `block_on`
        // within `block_in_place` or on the blocking pool, learns it now, or would wait for ever.
        // So does a task that blocks in place and begins to wait afterwards, whose poll panics then.
        let shut_down = || self.reactor().shutdown();
        drop_all(
            &self.registry,
            &self.injector,
            &Pen::Own(&scribe),
            shut_down,
        );
    }
}
