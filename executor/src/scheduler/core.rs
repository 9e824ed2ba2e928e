//! What belongs to one worker, wherever it runs.

use std::cell::{Cell, RefCell};
use std::num::NonZero;
use std::sync::OnceLock;

use telemetry_rt_telemetry::record::Scribe;

use super::errand::{Errand, Errands, Intervals};
use super::injector::Injector;
use super::queue::{Queue, Stealer};
use crate::task::Notified;

/// How often in a row the LIFO slot is served before the queue has its turn.
const LIFO_STREAK: u32 = 3;

/// About how many tasks a worker takes over at once from one that does not get on.
const MOST_TAKEN_OVER: usize = 64;

/// The own queue and pen of a worker. It moves between threads (when a task blocks in place) and
/// is used by one at a time; all its methods take `&self`, so that a task that is being polled can
/// be told of others.
pub(crate) struct Core {
    index: usize,
    workers: usize,
    /// Among how many workers what comes from outside is shared out.
    sharers: usize,
    queue: Queue<Notified>,
    lifo: Cell<Option<Notified>>,
    streak: Cell<u32>,
    turn: Cell<u64>,
    errands: Errands,
    searching: Cell<bool>,
    random: Cell<u64>,
    scribe: Scribe,
    /// What the queues looked like when this worker, watching, saw them last.
    seen: RefCell<Vec<Option<u64>>>,
    /// Another worker, and how far its queue had come when this one saw it last.
    neighbour: Cell<(usize, Option<u64>)>,
}

/// How many threads can run at once.
pub(super) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS
        .get_or_init(|| std::thread::available_parallelism().map_or(usize::MAX, NonZero::get))
}

/// What a worker finds at the beginning of a turn.
pub(super) enum Found {
    Task(Notified),
    /// It has to look elsewhere first, or to put an end to its search.
    Errand(Errand),
    Nothing,
}

impl Core {
    /// `workers` is how many there are of them.
    pub(super) fn new(index: usize, workers: usize, intervals: Intervals, scribe: Scribe) -> Core {
        Core {
            index,
            queue: Queue::new(workers > 1),
            workers,
            sharers: workers.min(processors()),
            lifo: Cell::new(None),
            streak: Cell::new(0),
            turn: Cell::new(0),
            errands: Errands::new(intervals),
            searching: Cell::new(false),
            random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1)),
            scribe,
            seen: RefCell::default(),
            neighbour: Cell::new((index, None)),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn stealer(&self) -> Stealer<Notified> {
        self.queue.stealer()
    }

    pub(super) fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    pub(super) fn is_searching(&self) -> bool {
        self.searching.get()
    }

    /// Whether it was searching.
    pub(super) fn end_search(&self) -> bool {
        self.searching.replace(false)
    }

    pub(super) fn set_searching(&self, searching: bool) {
        self.searching.set(searching);
    }

    /// Begins a turn.
    #[inline]
    pub(super) fn next(&self) -> Found {
        let turn = self.turn.get() + 1;
        self.turn.set(turn);
        if self.errands.are_due(turn) || self.searching.get() {
            return Found::Errand(self.errands.at(turn));
        }
        self.pop().map_or(Found::Nothing, Found::Task)
    }

    /// Makes `task` the next to run. Returns whether that moved another to the queue.
    #[inline]
    pub(super) fn push_next(&self, task: Notified) -> bool {
        match self.lifo.replace(Some(task)) {
            Some(displaced) => {
                self.queue.push(displaced);
                true
            }
            None => false,
        }
    }

    /// Puts `task` behind all others.
    #[inline]
    pub(super) fn push_last(&self, task: Notified) {
        self.queue.push(task);
    }

    /// The next task of the worker's own.
    #[inline]
    pub(super) fn pop(&self) -> Option<Notified> {
        if let Some(task) = self.lifo.take() {
            let streak = self.streak.get();
            if streak < LIFO_STREAK {
                self.streak.set(streak + 1);
                return Some(task);
            }
            self.queue.push(task);
        }
        self.streak.set(0);
        self.queue.pop()
    }

    /// Whether others could take a task off this worker.
    #[inline]
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn has_tasks(&self) -> bool {
        let next = self.lifo.take();
        let has_next = next.is_some();
        self.lifo.set(next);
        has_next || self.has_queued()
    }

    /// Takes a batch from the injector: one task to run, some for the queue.
    pub(super) fn take_injected(&self, injector: &Injector<Notified>) -> Option<Notified> {
        injector.take_share(self.sharers, &self.queue)
    }

    /// Takes one task from the injector, in a turn for that.
    pub(super) fn take_one_injected(&self, injector: &Injector<Notified>) -> Option<Notified> {
        let task = injector.pop();
        match task {
            Some(_) => self.errands.was_injected(self.turn.get()),
            None => self.errands.nothing_was_injected(),
        }
        task
    }

    /// Takes half of the queue of another worker, beginning with a random one.
    pub(super) fn steal(&self, stealers: &[Stealer<Notified>]) -> Option<Notified> {
        let start = self.random_below(stealers.len());
        (0..stealers.len())
            .map(|step| (start + step) % stealers.len())
            .filter(|&victim| victim != self.index)
            .find_map(|victim| {
                let (task, number) = self.queue.steal_from(&stealers[victim])?;
                self.scribe.stole(victim, number);
                Some(task)
            })
    }

    /// Takes over what waits with another worker, if nothing was taken from there since this was called
    /// last: its thread is blocked, or others run in its place. Each time it is the next worker's turn
    /// to be seen. Says whether there was anything.
    pub(super) fn relieve_neighbour(&self, stealers: &[Stealer<Notified>]) -> bool {
        if self.workers == 1 {
            return false;
        }
        let (neighbour, seen) = self.neighbour.get();
        let is_stuck = seen.is_some() && stealers[neighbour].progress() == seen;
        let taken = is_stuck && self.take_over(neighbour, stealers);
        let after = |worker| (worker + 1) % self.workers;
        let next = match after(neighbour) {
            own if own == self.index => after(own),
            other => other,
        };
        self.neighbour.set((next, stealers[next].progress()));
        taken
    }

    /// Takes what waits there now, but not more than [`MOST_TAKEN_OVER`]. It goes behind the worker's own
    /// tasks, from where its owner may take it back when it has nothing else to do.
    fn take_over(&self, victim: usize, stealers: &[Stealer<Notified>]) -> bool {
        let most = stealers[victim].len().min(MOST_TAKEN_OVER);
        let mut taken = 0;
        while taken < most {
            let Some((task, number)) = self.queue.steal_from(&stealers[victim]) else {
                break;
            };
            self.scribe.stole(victim, number);
            self.queue.push(task);
            taken += number;
        }
        taken > 0
    }

    /// Whether some queue is not empty, and nothing was taken from it since this was asked last.
    pub(super) fn sees_stuck_work(&self, progress: impl Iterator<Item = Option<u64>>) -> bool {
        let mut seen = self.seen.borrow_mut();
        seen.resize(self.workers + 1, None);
        let mut stuck = false;
        for (seen, now) in seen.iter_mut().zip(progress) {
            stuck |= now.is_some() && now == *seen;
            *seen = now;
        }
        stuck
    }

    /// Gives all tasks to the injector, where the thread that shuts the runtime down finds them.
    pub(super) fn leave_tasks(&self, injector: &Injector<Notified>) {
        while let Some(task) = self.pop() {
            injector.push(task);
        }
    }

    /// A number for choosing a victim (xorshift): any spread will do.
    fn random_below(&self, bound: usize) -> usize {
        let mut number = self.random.get();
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        self.random.set(number);
        ((u128::from(number) * bound as u128) >> 64) as usize
    }
}
