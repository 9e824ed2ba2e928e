//! The loop of a worker, on the thread that runs it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt_reactor::{self as reactor, Turn};
use telemetry_rt_telemetry::record::{Counter, Scribe, WakeCause};

use super::core::{Core, Found};
use super::current;
use super::errand::Errand;
use super::idle::{Last, Up};
use super::park::Place;
use super::shared::Shared;
use crate::runtime::Handle;
use crate::sync::{Ordering, fence};
use crate::task::{Id, Notified, Pen, try_id};

/// How long the driver may be left alone while a worker sleeps: it is between one and two times so
/// long until that one takes it.
const WATCH: Duration = Duration::from_millis(1);

/// A thread that runs a worker. The core is borrowed for moments only, never while a task is
/// polled, because the task may give it to another thread (see `block_in_place`).
pub(crate) struct WorkerThread {
    handle: Handle,
    core: RefCell<Option<Core>>,
    waking_joiner: Cell<bool>,
    /// Whether it was woken and has run no task since.
    woken_in_vain: Cell<bool>,
    /// Whether it looks for events: see `at_the_driver`.
    at_driver: Cell<bool>,
}

impl WorkerThread {
    /// The worker that the calling thread runs, if any.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&WorkerThread>) -> R) -> R {
        current::with(f)
    }

    /// Makes the calling thread run `core` for the time of `f`, and gives the core back unless it
    /// was given away meanwhile.
    pub(crate) fn enter<R>(
        handle: &Handle,
        core: Core,
        f: impl FnOnce(&WorkerThread) -> R,
    ) -> (R, Option<Core>) {
        let index = core.index();
        handle.shared().parkers[index].move_in();
        let worker = WorkerThread {
            handle: handle.clone(),
            core: RefCell::new(Some(core)),
            waking_joiner: Cell::new(false),
            woken_in_vain: Cell::new(false),
            at_driver: Cell::new(false),
        };
        let result = current::enter(&worker, || worker.be_on_duty(index, f));
        (result, worker.core.take())
    }

    fn be_on_duty<R>(&self, index: usize, f: impl FnOnce(&WorkerThread) -> R) -> R {
        let outer = reactor::context::enter(Some(self.handle.reactor().clone()), Some(index));
        let at_work = self.with_scribe(|scribe| scribe.at_work(WakeCause::Task));
        self.with_scribe(Scribe::on_duty);
        let result = f(self);
        self.with_scribe(Scribe::off_duty);
        if self.has_core() {
            self.shared().parkers[index].move_out();
        }
        drop(at_work);
        reactor::context::restore(outer);
        result
    }

    /// Runs tasks until the scheduler closes or the core is given away.
    pub(crate) fn run(&self) {
        while !self.shared().is_closing() {
            match self.next_task() {
                Some(task) => self.run_task(task),
                None if self.has_core() => self.sleep(|| self.shared().is_closing()),
                None => return,
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

    #[inline]
    fn next_task(&self) -> Option<Notified> {
        match self.with_core(Core::next)? {
            Found::Task(task) => Some(task),
            Found::Errand(errand) => self.run_errand(errand),
            Found::Nothing => {
                let task = self.search()?;
                self.stop_searching();
                Some(task)
            }
        }
    }

    /// Looks elsewhere than into the own queue, because it is time to.
    #[cold]
    fn run_errand(&self, errand: Errand) -> Option<Notified> {
        if errand.driver {
            self.look_at_driver();
        }
        if errand.neighbour {
            self.look_at_neighbour();
        }
        let task = self.with_core(|core| {
            let injected = errand
                .injector
                .then(|| core.take_one_injected(&self.shared().injector));
            injected.flatten().or_else(|| core.pop())
        })?;
        let task = task.or_else(|| self.search())?;
        self.stop_searching();
        Some(task)
    }

    /// Looks for a task in the injector and with the other workers.
    #[cold]
    fn search(&self) -> Option<Notified> {
        let shared = self.shared();
        self.with_core(|core| {
            if !core.is_searching() {
                core.set_searching(shared.idle.start_search());
            }
            core.take_injected(&shared.injector).or_else(|| {
                core.is_searching()
                    .then(|| core.steal(&shared.stealers))
                    .flatten()
            })
        })?
    }

    /// Having found a task, the last searcher passes the search on if there is more to be found.
    fn stop_searching(&self) {
        let searching = self.with_core(Core::end_search);
        if searching == Some(true) && self.shared().idle.stop_search() == Last::Searcher {
            // Pairs with the fence of those who push: a push that relied on this search
            // is seen here.
            fence(Ordering::SeqCst);
            if self.shared().has_work() {
                self.shared().share_work();
            }
        }
    }

    /// Sees to tasks of another worker that does not get on. Somebody who searched may have looked here
    /// before they came, and there after they went; so others are told, as of a push.
    fn look_at_neighbour(&self) {
        let shared = self.shared();
        let taken = self.with_core(|core| core.relieve_neighbour(&shared.stealers));
        if taken == Some(true) {
            shared.tell_others();
        }
    }

    fn look_at_driver(&self) {
        let mut turn = self.at_the_driver(|| self.shared().driver.look());
        // Another worker may have gone to sleep without the driver, because it was being looked at.
        self.shared().see_to_the_driver();
        // If another worker is in the driver, it is there for the sockets; timers of this thread
        // may be due before it comes out.
        turn.timers += self.at_the_driver(|| self.shared().reactor().fire_due());
        self.with_scribe(|scribe| {
            scribe.resumed();
            count_turn(scribe, turn);
        });
        self.share_backlog();
    }

    /// Looks for events. What they make ready comes in a batch, of which others are told at its end by
    /// the caller: told at once, another worker would get up for the first and be asleep again before
    /// the next.
    fn at_the_driver<R>(&self, look: impl FnOnce() -> R) -> R {
        let outer = self.at_driver.replace(true);
        let result = look();
        self.at_driver.set(outer);
        result
    }

    // ----- running tasks -----

    #[inline]
    fn run_task(&self, task: Notified) {
        self.found_work();
        task.run(&Pen::Worker(self));
        self.share_backlog();
    }

    /// Wakes a sleeper, if there is one, for what waits in the own queue.
    #[inline]
    fn share_backlog(&self) {
        let shared = self.shared();
        if shared.idle.someone_is_idle() && self.with_core(Core::has_queued) == Some(true) {
            shared.tell_others();
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
        if self.shared().has_work_nobody_looks_for() {
            self.get_up(index);
            return;
        }
        if self.woken_in_vain.replace(true) {
            self.with_scribe(|scribe| scribe.count(Counter::EmptyWakeUps, 1));
        }
        self.with_scribe(Scribe::parked);
        let mut place = Place::Thread;
        let goes_on = || interrupted() || !self.shared().idle.is_asleep(index) || self.has_tasks();
        while !goes_on() && !self.finds_stuck_work(index) {
            place = self.park(index);
        }
        self.with_scribe(Scribe::unparked);
        self.get_up(index);
        if place == Place::Driver {
            self.shared().see_to_the_driver();
        }
        self.share_backlog();
    }

    fn park(&self, index: usize) -> Place {
        let shared = self.shared();
        if shared.idle.is_watcher(index) {
            return self.watch(index);
        }
        let (place, turn) = self.at_the_driver(|| shared.parkers[index].park(&shared.driver));
        self.with_scribe(|scribe| count_turn(scribe, turn));
        place
    }

    /// Leaves the driver to whoever has left it to run a task, as long as that one comes back to it
    /// soon. If not, or if somebody waits in it and nothing happens, the watch is over: the next
    /// park is in the driver, if it is free. While there is work, this worker watches that, too.
    fn watch(&self, index: usize) -> Place {
        let shared = self.shared();
        let turns = shared.driver.turns();
        let parker = &shared.parkers[index];
        let turn = self.at_the_driver(|| parker.park_on_thread(shared.reactor(), Some(WATCH)));
        self.with_scribe(|scribe| count_turn(scribe, turn));
        if shared.driver.turns() != turns {
            return Place::Thread;
        }
        if shared.has_work() {
            let turn = self.at_the_driver(|| shared.driver.look());
            self.with_scribe(|scribe| count_turn(scribe, turn));
            // Others may have gone to sleep without the driver, because it was being looked at.
            return Place::Driver;
        }
        shared.idle.stop_watching(index);
        if shared.has_work() {
            // It was pushed just now, by somebody who relied on this watch.
            shared.share_work();
        }
        Place::Thread
    }

    /// Whether this worker watches, and somebody has work for others and does not get on.
    fn finds_stuck_work(&self, index: usize) -> bool {
        let shared = self.shared();
        shared.idle.is_watcher(index)
            && self.with_core(|core| core.sees_stuck_work(shared.progress())) == Some(true)
    }

    /// Takes the worker off the list of sleepers. If somebody else did, it was woken to search.
    fn get_up(&self, index: usize) {
        let up = self.shared().idle.get_up(index);
        self.with_core(|core| core.set_searching(up == Up::Woken));
        if up == Up::ByItselfAsWatcher {
            self.shared().relieve_watcher();
        }
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
        if queued == Some(true) && !self.at_driver.get() {
            self.shared().tell_others();
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
    ///
    /// Outside of a poll nothing moves: a waker that blocks is called by a worker which may be listed
    /// as a sleeper, in the driver, and could not be run elsewhere meanwhile.
    pub(crate) fn move_away(&self) {
        if try_id().is_none() {
            return;
        }
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
