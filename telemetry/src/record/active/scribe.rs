//! The pen of one thread.
//!
//! A worker has a pen of its own, which writes a shard that nobody else writes and keeps the
//! worker's clock: a poll starts where the one before it ended, so that each poll costs one clock
//! read. All other threads read the clock at both ends of a poll, and write the shared shard, but for
//! those in a `block_on`, which are lent one of their own (see `guests`).
//!
//! While a worker polls, its clock is also in a thread-local, so that a task that wakes another
//! need not read the clock again.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use opentelemetry::{Context, ContextGuard, SpanId};
use telemetry_rt_clock::{Ticks, ticks};

use super::account::{Process, SpanKeeping};
use super::birth::{self, Unborn};
use super::lane::Lane;
use super::poll_log::{PollDetail, PollNote};
use super::recorder::Recorder;
use super::ring::{Producer, Pushed};
use super::scopes::{self, Scopes};
use super::shard::{Shard, Writers};
use super::span::SpanRecord;
use super::task::{NO_WORKER, Started, WakeStamp};
use super::thread::{self, AtWork, Polling};
use super::tls;
use crate::record::{Counter, ProcessType, Waiting, WakeCause};

/// Records what a thread does. Moves between threads, but is used by one at a time.
pub struct Scribe {
    pub(super) recorder: Recorder,
    shard: Arc<Shard>,
    worker: u16,
    spans: Option<Producer<SpanRecord>>,
    lane: Option<Arc<Lane>>,
    pub(super) thread: Option<Arc<str>>,
    now: Cell<Ticks>,
}

/// A poll, from its start to its end. It stays where it was made: it is written and read in place,
/// since moving it costs more than all it holds.
#[derive(Default)]
pub struct PollGuard {
    start: Ticks,
    scheduled: u64,
    cause: WakeCause,
    /// Whether it goes on within another poll of this thread.
    is_inner: bool,
    /// Where the scopes of whoever is polled further out begin.
    outer_scopes: scopes::Outer,
    /// While this is there the context of the process is current on the thread.
    context: Option<ContextGuard>,
}

/// What the leaves of a poll left behind.
#[derive(Clone, Copy, Debug)]
pub struct PollEnd {
    /// How often the process was woken since the poll before.
    pub wakes: u32,
    /// What it waits for; `None` if it has ended.
    pub waiting: Option<Waiting>,
    /// Whether it was made to yield, because its budget was used up.
    pub exhausted: bool,
}

impl Scribe {
    pub(super) fn of_worker(
        recorder: Recorder,
        worker: usize,
        spans: Producer<SpanRecord>,
        lane: Arc<Lane>,
    ) -> Scribe {
        Scribe {
            shard: Arc::clone(&recorder.worker_shards()[worker]),
            recorder,
            worker: worker as u16,
            spans: Some(spans),
            lane: Some(lane),
            thread: None,
            now: Cell::new(Ticks(0)),
        }
    }

    pub(super) fn of_others(
        recorder: Recorder,
        thread: Option<Arc<str>>,
        lane: Option<Arc<Lane>>,
    ) -> Scribe {
        Scribe {
            shard: Arc::clone(recorder.other_shard()),
            recorder,
            worker: NO_WORKER,
            spans: None,
            lane,
            thread,
            now: Cell::new(Ticks(0)),
        }
    }

    pub(super) fn of_guest(recorder: Recorder, lane: Arc<Lane>) -> Scribe {
        let lent = recorder.guests().take();
        let mut scribe = Scribe::of_others(recorder, None, Some(lane));
        if let Some(shard) = lent {
            scribe.shard = shard;
        }
        scribe
    }

    /// Whether the shard was lent to it.
    fn is_guest(&self) -> bool {
        self.worker == NO_WORKER && self.shard.writers == Writers::One
    }

    // ----- the thread -----

    /// This thread works with this pen until the guard is dropped: `role` is as what it wakes
    /// others outside of polls.
    pub fn at_work(&self, role: WakeCause) -> AtWork {
        match self.worker {
            NO_WORKER => AtWork::begin(role, self.lane.clone()),
            _ => AtWork::begin_worker(role, self.lane.clone()),
        }
    }

    /// The worker moves to another thread in the middle of a poll of `task`: from here on this
    /// thread writes nothing with this pen.
    pub fn move_away(&self, task: u64) {
        self.paused();
        thread::set_lane(None);
        if let Some(lane) = &self.lane {
            // A set of local tasks has polls of its own within the one that is on the lane.
            let outermost = lane.running().map_or(task, |(_, outermost, _)| outermost);
            lane.poll_ended(ticks(), outermost, Some(Waiting::Blocking));
        }
    }

    /// It has not moved after all.
    pub fn move_back(&self) {
        thread::set_lane(self.lane.clone());
        self.resumed();
    }

    /// The worker goes on after a pause, a look at the driver or a theft: its clock stood still
    /// meanwhile, and what passed belongs to no task.
    #[inline]
    pub fn resumed(&self) {
        if self.worker != NO_WORKER {
            self.set_now(ticks());
        }
    }

    /// The worker's clock means nothing until it resumes.
    #[inline]
    pub fn paused(&self) {
        thread::set_worker_now(Ticks(0));
    }

    /// This thread runs the worker from now on.
    pub fn on_duty(&self) {
        self.resumed();
        self.start_work();
    }

    /// This thread runs the worker no longer.
    pub fn off_duty(&self) {
        self.paused();
        self.stop_work(ticks());
    }

    fn start_work(&self) {
        if self.worker != NO_WORKER {
            let age = self.recorder.age(self.now.get());
            self.shard().health.work.start(age);
        }
    }

    fn stop_work(&self, now: Ticks) {
        if self.worker != NO_WORKER {
            self.shard().health.work.stop(self.recorder.age(now));
        }
    }

    /// The worker is about to sleep.
    pub fn parked(&self) {
        self.paused();
        let now = ticks();
        self.stop_work(now);
        self.count(Counter::Parks, 1);
        if let Some(lane) = &self.lane {
            lane.parked(now);
        }
    }

    /// The worker has slept, and goes on.
    pub fn unparked(&self) {
        self.resumed();
        self.start_work();
        self.count(Counter::Unparks, 1);
        if let Some(lane) = &self.lane {
            lane.unparked(self.now.get());
        }
    }

    /// The worker took tasks from the queue of another one.
    pub fn stole(&self, victim: usize, tasks: usize) {
        self.resumed();
        self.count(Counter::StealOperations, 1);
        self.count(Counter::StolenTasks, tasks as u64);
        if let Some(lane) = &self.lane {
            lane.stole(self.now.get(), victim, tasks);
        }
    }

    /// Something else that is only counted.
    #[inline]
    pub fn count(&self, counter: Counter, number: u64) {
        let shard = self.shard();
        shard.health.add(counter, number, shard.writers);
    }

    // ----- polls -----

    /// The process is about to be polled on this thread. The poll is told to `poll`, which
    /// [`poll_ended`](Self::poll_ended) or [`drop_ended`](Self::drop_ended) is given.
    pub fn poll_started(&self, poll: &mut PollGuard, process: &mut Process<'_>, wake: &WakeStamp) {
        let now = match self.worker {
            NO_WORKER => ticks(),
            _ => self.now.get(),
        };
        let (woken, cause) = wake.get();
        let started = process
            .record
            .start_poll(process.detail, now, woken, self.worker);
        self.count_start(process, started.scheduled, cause);
        if let Some(lane) = &self.lane {
            lane.poll_started(started.start, process.id, process.record.kind(), cause);
        }
        self.begin(poll, process, started, cause);
    }

    /// The process is about to be polled within the poll of another one: it has no waker of its own,
    /// and is ready at this moment. That other poll was counted, and was woken.
    pub fn poll_reached(&self, poll: &mut PollGuard, process: &mut Process<'_>) {
        let now = ticks();
        let started = process
            .record
            .start_poll(process.detail, now, now, self.worker);
        self.begin(poll, process, started, WakeCause::Task);
    }

    #[inline]
    fn begin(
        &self,
        poll: &mut PollGuard,
        process: &mut Process<'_>,
        started: Started,
        cause: WakeCause,
    ) {
        poll.start = started.start;
        poll.scheduled = started.scheduled;
        poll.cause = cause;
        if let Some(unborn) = process.detail.unborn() {
            self.bear_span(process, unborn);
        }
        poll.context = self.attach(process);
        poll.is_inner = thread::begin_poll(&polling(process));
        poll.outer_scopes = enter_scopes(process);
    }

    #[inline]
    fn count_start(&self, process: &Process<'_>, scheduled: u64, cause: WakeCause) {
        let shard = self.shard();
        let health = &shard.health;
        let delays = match process.process_type {
            ProcessType::Blocking => &health.blocking_delays,
            ProcessType::Task | ProcessType::Future => &health.delays,
        };
        delays.record(scheduled, self.recorder.bounds(), shard.writers);
        health.count_wake(cause, shard.writers);
    }

    /// The process is polled for the first time: its span comes to the world.
    pub(super) fn bear_span(&self, process: &mut Process<'_>, unborn: Unborn) {
        let detail = process.detail;
        detail.set_born();
        let ids = (detail.trace_id(), SpanId::from(detail.span_id()));
        let place = &mut process.scope.context;
        *place = place
            .take()
            .map(|spawner| birth::bear(&spawner, unborn, ids, self.recorder.span_limit()));
    }

    /// Makes the context of the process current. On a worker nothing is current between polls, so
    /// that there is nothing to do for a process without context; other threads may be in the
    /// middle of a poll further out, whose context is not that of this process.
    #[inline]
    fn attach(&self, process: &Process<'_>) -> Option<ContextGuard> {
        let context = match (&process.scope.context, self.worker) {
            (Some(context), _) => context.clone(),
            (None, NO_WORKER) => Context::new(),
            (None, _) => return None,
        };
        tls::is_alive().then(|| context.attach())
    }

    /// The poll has ended.
    pub fn poll_ended(&self, poll: &mut PollGuard, process: &mut Process<'_>, end: PollEnd) {
        detach(poll, process);
        let now = self.read_clock();
        let length = process.record.end_poll(poll.start, now, end.wakes);
        if let Some(waiting) = end.waiting {
            process.detail.set_waiting(waiting);
        }
        if let Some(lane) = &self.lane {
            lane.poll_ended(process.record.last(), process.id, end.waiting);
        }
        if process.process_type != ProcessType::Blocking {
            self.count_end(poll, process, end, length);
        }
    }

    #[inline]
    fn count_end(&self, poll: &PollGuard, process: &mut Process<'_>, end: PollEnd, length: u64) {
        let shard = self.shard();
        shard
            .health
            .polls
            .record(length, self.recorder.bounds(), shard.writers);
        if end.exhausted {
            self.count(Counter::ForcedYields, 1);
        }
        let settings = self.recorder.settings();
        let slow = length >= settings.slow_poll();
        if slow || settings.detail() != PollDetail::Off {
            self.note_poll(poll, process, end, slow);
        }
    }

    /// Counts a slow poll; and notes this one, if it is slow or all are to be noted.
    #[cold]
    fn note_poll(&self, poll: &PollGuard, process: &mut Process<'_>, end: PollEnd, slow: bool) {
        if slow {
            self.count(Counter::SlowPolls, 1);
        }
        let keeping = process.detail.span();
        if keeping == SpanKeeping::None {
            return;
        }
        let note = PollNote {
            number: process.record.polls(),
            start: poll.start,
            end: process.record.last(),
            scheduled: poll.scheduled,
            cause: poll.cause,
            waiting: end.waiting,
            worker: (self.worker != NO_WORKER).then_some(self.worker),
            slow,
        };
        // A provider that is not ours cannot be given a span that is over: it gets an event.
        let detail = match (self.recorder.settings().detail(), keeping) {
            (PollDetail::Spans, SpanKeeping::Foreign) => PollDetail::Events,
            (detail, _) => detail,
        };
        if detail == PollDetail::Spans {
            self.hand_over_poll(process, note);
        }
        if slow || detail == PollDetail::Events {
            let limit = self.recorder.span_limit();
            process.scope.extra().polls.push(note, limit);
        }
    }

    /// What was started was no poll: the process was cancelled, and its future dropped.
    pub fn drop_ended(&self, poll: &mut PollGuard, process: &mut Process<'_>) {
        detach(poll, process);
        process.record.end_turn(poll.start, self.read_clock());
        if let Some(lane) = &self.lane {
            lane.poll_ended(process.record.last(), process.id, None);
        }
    }

    /// The end of a turn: the worker's clock moves. A set of local tasks is polled within a turn of
    /// the worker, whose clock it moves as well, so that wakes are stamped with the right time.
    #[inline]
    fn read_clock(&self) -> Ticks {
        let now = ticks();
        if self.worker != NO_WORKER {
            self.set_now(now);
        } else if thread::is_working() {
            thread::set_worker_now(now);
        }
        now
    }

    // ----- what the other moments need, see `ending` -----

    /// The span is made where it goes: it is too large to be moved for nothing.
    #[inline]
    pub(super) fn hand_over(&self, span: impl FnOnce() -> SpanRecord) {
        let refused = match &self.spans {
            Some(spans) => match spans.push_with(span) {
                Pushed::Stored => false,
                Pushed::StoredQuarterFull => {
                    self.recorder.call_drain();
                    false
                }
                Pushed::Refused => true,
            },
            None => !self.recorder.hand_over_shared(span()),
        };
        if refused {
            self.count_dropped();
        }
    }

    pub(super) fn count_dropped(&self) {
        let shard = self.shard();
        shard.writers.add(&shard.dropped_spans, 1);
    }

    #[inline]
    pub(super) fn shard(&self) -> &Shard {
        &self.shard
    }

    #[inline]
    fn set_now(&self, now: Ticks) {
        self.now.set(now);
        thread::set_worker_now(now);
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        if self.is_guest() {
            self.recorder.guests().give_back(Arc::clone(&self.shard));
        }
        // The lane may go to another thread now; what it shows stays.
        if let (Some(lane), NO_WORKER) = (&self.lane, self.worker) {
            lane.release();
        }
    }
}

/// Gives the thread back what it had before the poll.
#[inline]
fn detach(poll: &mut PollGuard, process: &mut Process<'_>) {
    leave_scopes(process, poll.outer_scopes);
    drop(poll.context.take());
    let children = thread::end_poll(poll.is_inner);
    if children != process.detail.children() {
        process.detail.set_children(children);
    }
}

#[inline]
fn polling(process: &Process<'_>) -> Polling {
    Polling {
        task: process.id,
        span_id: process.detail.span_id(),
        spawned: process.record.spawned(),
        children: process.detail.children(),
        cause: match process.process_type {
            ProcessType::Blocking => WakeCause::Blocking,
            ProcessType::Task | ProcessType::Future => WakeCause::Task,
        },
    }
}

/// Makes the spans that the process holds open those of the thread.
#[inline]
fn enter_scopes(process: &mut Process<'_>) -> scopes::Outer {
    match &mut process.scope.extra {
        None => scopes::enter_empty(),
        Some(extra) => extra.open.enter(),
    }
}

/// Takes the spans that are open on the thread back to the process.
#[inline]
fn leave_scopes(process: &mut Process<'_>, outer: scopes::Outer) {
    if Scopes::thread_has_none() {
        scopes::leave_empty(outer);
    } else {
        process.scope.extra().open.leave(outer);
    }
}

/// A counter that nobody writes twice; here so that the recorder can sum it.
pub(super) fn read(counter: &AtomicU64) -> u64 {
    // Relaxed: a statistic.
    counter.load(std::sync::atomic::Ordering::Relaxed)
}
