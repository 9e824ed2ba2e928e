//! The loop of a worker, on the thread that runs it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use telemetry_rt_reactor::{self as reactor, Turn};
use telemetry_rt_telemetry::record::{Counter, Scribe, WakeCause};

use super::core::Core;
use super::idle::Last;
use super::park::Place;
use super::shared::Shared;
use crate::runtime::Handle;
use crate::sync::{Ordering, fence};
use crate::task::{Id, Notified, Pen, try_id};

thread_local! {
    static CURRENT: RefCell<Option<Rc<WorkerThread>>> = const { RefCell::new(None) };
}

/// A thread that runs a worker. The core is borrowed for moments only, never while a task is
/// polled, because the task may give it to another thread (see `block_in_place`).
pub(crate) struct WorkerThread {
    handle: Handle,
    core: RefCell<Option<Core>>,
    waking_joiner: Cell<bool>,
    /// Whether it was woken and has run no task since.
    woken_in_vain: Cell<bool>,
}

impl WorkerThread {
    /// The worker that the calling thread runs, if any.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&WorkerThread>) -> R) -> R {
        // The key may be gone when a destructor of another thread-local wakes a task.
        let current = CURRENT.try_with(|current| current.borrow().clone());
        f(current.ok().flatten().as_deref())
    }

    /// Makes the calling thread run `core` for the time of `f`, and gives the core back unless it
    /// was given away meanwhile.
    pub(crate) fn enter<R>(
        handle: &Handle,
        core: Core,
        f: impl FnOnce(&WorkerThread) -> R,
    ) -> (R, Option<Core>) {
        struct Leave(Option<Rc<WorkerThread>>);
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let index = core.index();
        handle.shared().parkers[index].move_in();
        let worker = Rc::new(WorkerThread {
            handle: handle.clone(),
            core: RefCell::new(Some(core)),
            waking_joiner: Cell::new(false),
            woken_in_vain: Cell::new(false),
        });
        let leave = Leave(CURRENT.replace(Some(Rc::clone(&worker))));
        let outer = reactor::context::enter(Some(handle.reactor().clone()), Some(index));
        let at_work = worker.with_scribe(|scribe| scribe.at_work(WakeCause::Task));
        worker.with_scribe(Scribe::on_duty);
        let result = f(&worker);
        worker.with_scribe(Scribe::off_duty);
        if worker.has_core() {
            handle.shared().parkers[index].move_out();
        }
        drop(at_work);
        reactor::context::restore(outer);
        drop(leave);
        (result, worker.core.take())
    }

    /// Runs tasks until the scheduler closes or the core is given away.
    pub(crate) fn run(&self) {
        while !self.shared().is_closing() && self.has_core() {
            match self.next_task() {
                Some(task) => self.run_task(task),
                None => self.sleep(|| self.shared().is_closing()),
            }
        }
    }

    /// Runs at most a round of tasks, as many as fit between two looks at the driver. `false` if
    /// there was none.
    pub(crate) fn run_round(&self) -> bool {
        for round in 0..self.shared().event_interval {
            match self.next_task() {
                Some(task) => self.run_task(task),
                None => return round > 0,
            }
        }
        self.look_at_driver();
        true
    }

    /// Calls something on the worker's thread that is none of its tasks: the clock of the worker
    /// does not count it as one's.
    pub(crate) fn outside_of_tasks<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with_scribe(Scribe::paused);
        let result = f();
        self.with_scribe(Scribe::resumed);
        result
    }

    /// It was not woken in vain.
    #[inline]
    pub(crate) fn found_work(&self) {
        self.woken_in_vain.set(false);
    }

    // ----- finding tasks -----

    fn next_task(&self) -> Option<Notified> {
        let turn = self.with_core(Core::next_turn)?;
        if turn.is_multiple_of(self.shared().event_interval) {
            self.look_at_driver();
        }
        let injector_first = turn.is_multiple_of(self.shared().injector_interval);
        self.with_core(|core| {
            let task = injector_first
                .then(|| self.shared().injector.pop())
                .flatten()
                .or_else(|| core.pop())
                .or_else(|| self.search(core))?;
            self.stop_searching(core);
            Some(task)
        })?
    }

    /// Looks for a task in the injector and with the other workers.
    #[cold]
    fn search(&self, core: &Core) -> Option<Notified> {
        if !core.is_searching() {
            core.set_searching(self.shared().idle.start_search());
        }
        core.take_injected(&self.shared().injector).or_else(|| {
            core.is_searching()
                .then(|| core.steal(&self.shared().stealers))
                .flatten()
        })
    }

    /// Having found a task, the last searcher passes the search on if there is more to be found.
    fn stop_searching(&self, core: &Core) {
        if core.is_searching() {
            core.set_searching(false);
            if self.shared().idle.stop_search() == Last::Searcher {
                // Pairs with the fence in `Idle::after_push`: a push that relied on this search
                // is seen here.
                fence(Ordering::SeqCst);
                if self.shared().has_work() {
                    self.shared().share_work();
                }
            }
        }
    }

    fn look_at_driver(&self) {
        let mut turn = self.shared().driver.look();
        // If another worker is in the driver, it is there for the sockets; timers of this thread
        // may be due before it comes out.
        turn.timers += self.shared().reactor().fire_due();
        self.with_scribe(|scribe| {
            scribe.resumed();
            count_turn(scribe, turn);
        });
    }

    // ----- running tasks -----

    #[inline]
    fn run_task(&self, task: Notified) {
        self.found_work();
        task.run(&Pen::Worker(self));
        if self.with_core(Core::has_queued) == Some(true)
            && self.shared().idle.someone_may_be_woken()
        {
            self.shared().share_work();
        }
    }

    // ----- sleeping -----

    /// Waits until there is something to do, or `interrupted` says that there is.
    pub(crate) fn sleep(&self, interrupted: impl Fn() -> bool) {
        let Some(index) = self.with_core(|core| {
            self.shared().idle.sleep(core.index(), core.is_searching());
            core.set_searching(false);
            core.index()
        }) else {
            return;
        };
        if self.shared().has_work() {
            self.get_up(index);
            return;
        }
        if self.woken_in_vain.replace(true) {
            self.with_scribe(|scribe| scribe.count(Counter::EmptyWakeUps, 1));
        }
        self.with_scribe(Scribe::parked);
        let mut place = Place::Thread;
        while !interrupted() && self.shared().idle.is_asleep(index) && !self.has_tasks() {
            let turn;
            (place, turn) = self.shared().parkers[index].park(&self.shared().driver);
            self.with_scribe(|scribe| count_turn(scribe, turn));
        }
        self.with_scribe(Scribe::unparked);
        self.get_up(index);
        if place == Place::Driver {
            // Nobody is in the driver now, and this thread is about to be busy.
            self.shared().pass_driver_on();
        }
    }

    /// Takes the worker off the list of sleepers. If somebody else did, it was woken to search.
    fn get_up(&self, index: usize) {
        let woken = !self.shared().idle.get_up(index);
        self.with_core(|core| core.set_searching(woken));
    }

    // ----- what tasks ask for while they are polled -----

    /// Whether this thread was made a worker of that scheduler; it may have moved away since.
    #[inline]
    pub(crate) fn belongs_to(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(self.shared(), shared)
    }

    /// Whether this thread can take tasks of that scheduler.
    #[inline]
    pub(super) fn serves(&self, shared: &Arc<Shared>) -> bool {
        self.belongs_to(shared) && self.has_core()
    }

    #[inline]
    pub(super) fn push(&self, task: Notified) {
        let queued = self.with_core(|core| {
            core.scribe().count(Counter::LocalSchedules, 1);
            if self.waking_joiner.get() && core.has_queued() {
                core.push_last(task);
                true
            } else {
                core.push_next(task)
            }
        });
        if queued == Some(true) && self.shared().idle.someone_may_be_woken() {
            self.shared().share_work();
        }
    }

    /// The only runnable task of a worker is not worth waking another: nobody is told.
    pub(super) fn push_last(&self, task: Notified) {
        self.with_core(|core| {
            core.scribe().count(Counter::LocalSchedules, 1);
            core.push_last(task);
        });
    }

    /// Runs `wake` with joiners being put behind other tasks: see the table of the module.
    pub(crate) fn waking_joiner<R>(&self, wake: impl FnOnce() -> R) -> R {
        let outer = self.waking_joiner.replace(true);
        let result = wake();
        self.waking_joiner.set(outer);
        result
    }

    /// The pen of this thread: that of the worker, or, when the worker was given away, one of the
    /// pen that all threads share which are no workers.
    #[inline]
    pub(crate) fn with_scribe<R>(&self, f: impl FnOnce(&Scribe) -> R) -> R {
        match &*self.core.borrow() {
            Some(core) => f(core.scribe()),
            None => f(&self.shared().recorder().other()),
        }
    }

    /// Moves the worker to another thread, because this one is about to be blocked. From here on
    /// this thread is no worker: what it wakes or spawns goes to the injector, and its timers are
    /// those of a foreign thread.
    pub(crate) fn move_away(&self) {
        let Some(core) = self.take_core() else {
            return;
        };
        core.scribe().move_away(try_id().map_or(0, Id::number));
        self.set_shard(None);
        if let Err(refused) = self.handle.workers().start(&self.handle, core) {
            // Nobody else can run it: the function blocks this worker.
            self.set_shard(Some(refused.core.index()));
            refused.core.scribe().move_back();
            *self.core.borrow_mut() = Some(*refused.core);
        }
    }

    fn take_core(&self) -> Option<Core> {
        // In use by whoever called the user code that blocks, such as the drop of a context.
        self.core.try_borrow_mut().ok()?.take()
    }

    /// Says whose timers this thread makes, until `enter` restores what was there before.
    fn set_shard(&self, shard: Option<usize>) {
        let reactor = self.handle.reactor().clone();
        drop(reactor::context::enter(Some(reactor), shard));
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }

    // ----- the core -----

    #[inline]
    fn with_core<R>(&self, f: impl FnOnce(&Core) -> R) -> Option<R> {
        self.core.borrow().as_ref().map(f)
    }

    pub(crate) fn has_core(&self) -> bool {
        self.core.borrow().is_some()
    }

    fn has_tasks(&self) -> bool {
        self.with_core(Core::has_tasks) == Some(true)
    }
}

/// Counts what a look at the driver brought.
fn count_turn(scribe: &Scribe, turn: Turn) {
    let events = [
        (Counter::IoEvents, turn.io_events),
        (Counter::TimersFired, turn.timers),
        (Counter::Signals, turn.signals),
    ];
    for (counter, number) in events {
        if number > 0 {
            scribe.count(counter, u64::from(number));
        }
    }
}
