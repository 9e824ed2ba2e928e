//! The pen of one thread.
//!
//! A worker has a pen of its own, which writes a shard that nobody else writes and keeps the
//! worker's clock: a poll starts where the one before it ended, so that each poll costs one clock
//! read. All other threads write the shared shard, and read the clock at both ends of a poll.
//!
//! While a worker polls, its clock is also in a thread-local, so that a task that wakes another
//! need not read the clock again.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use opentelemetry::trace::{Event, TraceContextExt};
use opentelemetry::{Context, ContextGuard, KeyValue, SpanId, TraceId};
use telemetry_rt_clock::{Ticks, ticks, wall};

use super::panics;
use super::recorder::{Recorder, SHARED};
use super::ring::{Producer, Pushed};
use super::shard::{Shard, Writers};
use super::span::{self, Ended, SpanExtras, SpanRecord};
use super::task::{NO_WORKER, TaskRecord, WakeStamp};
use super::tls;
use crate::record::{Ending, Outcome};

thread_local! {
    /// The clock of the worker that this thread is; zero on all other threads, and on a worker
    /// while it is idle.
    static WORKER_NOW: Cell<Ticks> = const { Cell::new(Ticks(0)) };
}

/// What time it is for a wake on this thread.
#[inline]
pub(super) fn thread_now() -> Ticks {
    match WORKER_NOW.get() {
        Ticks(0) => ticks(),
        now => now,
    }
}

/// Records what a thread does. Moves between threads, but is used by one at a time.
pub struct Scribe {
    recorder: Recorder,
    shard: usize,
    worker: u16,
    spans: Option<Producer<SpanRecord>>,
    thread: Option<Arc<str>>,
    now: Cell<Ticks>,
}

/// A poll in progress: while this lives, the context of the process is current on the thread.
#[must_use = "the context is current only as long as the guard lives"]
pub struct PollGuard {
    start: Ticks,
    context: Option<ContextGuard>,
}

/// What is left of a process that has ended: its context, with whatever users put into it.
#[must_use = "it is dropped where user code may run"]
pub struct Leftover(#[expect(dead_code, reason = "held to be dropped")] Option<Context>);

impl Scribe {
    pub(super) fn of_worker(
        recorder: Recorder,
        worker: usize,
        spans: Producer<SpanRecord>,
    ) -> Scribe {
        Scribe {
            recorder,
            shard: worker,
            worker: worker as u16,
            spans: Some(spans),
            thread: None,
            now: Cell::new(Ticks(0)),
        }
    }

    pub(super) fn of_others(recorder: Recorder, thread: Option<Arc<str>>) -> Scribe {
        Scribe {
            recorder,
            shard: SHARED,
            worker: NO_WORKER,
            spans: None,
            thread,
            now: Cell::new(Ticks(0)),
        }
    }

    /// The worker goes on after a pause, a look at the driver or a theft: its clock stood still
    /// meanwhile, and what passed belongs to no task.
    #[inline]
    pub fn resumed(&self) {
        if self.worker != NO_WORKER {
            self.set_now(ticks());
        }
    }

    /// The worker is about to sleep: its clock means nothing until it resumes.
    #[inline]
    pub fn paused(&self) {
        WORKER_NOW.set(Ticks(0));
    }

    /// The process is about to be polled on this thread.
    #[inline]
    pub fn poll_started(&self, record: &mut TaskRecord, wake: &WakeStamp) -> PollGuard {
        let now = if self.worker == NO_WORKER {
            ticks()
        } else {
            self.now.get()
        };
        PollGuard {
            start: record.start_poll(now, wake.get(), self.worker),
            context: self.attach(record),
        }
    }

    /// Makes the context of the process current. On a worker nothing is current between polls, so
    /// that there is nothing to do for a process without context; other threads may be in the
    /// middle of a poll further out, whose context is not that of this process.
    #[inline]
    fn attach(&self, record: &TaskRecord) -> Option<ContextGuard> {
        let context = match (&record.context, self.worker) {
            (Some(context), _) => context.clone(),
            (None, NO_WORKER) => Context::new(),
            (None, _) => return None,
        };
        tls::is_alive().then(|| context.attach())
    }

    /// The poll has ended; the process was woken `wakes` times since the one before.
    #[inline]
    pub fn poll_ended(&self, poll: PollGuard, record: &mut TaskRecord, wakes: u32) {
        drop(poll.context);
        record.end_poll(poll.start, self.read_clock(), wakes);
    }

    /// What was started was no poll: the process was cancelled, and its future dropped.
    pub fn drop_ended(&self, poll: PollGuard, record: &mut TaskRecord) {
        drop(poll.context);
        record.end_turn(poll.start, self.read_clock());
    }

    /// The end of a turn: the worker's clock moves. A set of local tasks is polled within a turn of
    /// the worker, whose clock it moves as well, so that wakes are stamped with the right time.
    #[inline]
    fn read_clock(&self) -> Ticks {
        let now = ticks();
        if self.worker != NO_WORKER {
            self.set_now(now);
        } else if WORKER_NOW.get() != Ticks(0) {
            WORKER_NOW.set(now);
        }
        now
    }

    /// The process has ended, with the turn that was ended last. What is left of it holds values
    /// of users, and is to be dropped where their code may run.
    pub fn ended(&self, record: &mut TaskRecord, task_id: u64, ending: Ending<'_>) -> Leftover {
        if record.is_unrecorded() {
            return Leftover(None);
        }
        let outcome = ending.outcome();
        let shard = self.shard();
        shard.durations.of(record.kind, outcome).record(
            record.length(),
            self.recorder.bounds(),
            shard.writers,
        );
        let context = record.context.take();
        if let (true, Some(context)) = (record.has_span, &context) {
            self.end_span(record, context, task_id, ending);
        }
        Leftover(context)
    }

    fn end_span(&self, record: &TaskRecord, context: &Context, task_id: u64, ending: Ending<'_>) {
        let of_span = context.span().span_context().clone();
        if !of_span.is_sampled() {
            return;
        }
        let Some(ended) = span::end(context) else {
            // A user's code panicked within the span, which the API keeps behind a lock that such
            // a panic closes for good.
            self.count_dropped();
            return;
        };
        let span = SpanRecord {
            trace_id: of_span.trace_id(),
            span_id: of_span.span_id(),
            thread: self.thread.clone(),
            ..closed_account(record, task_id, ending.outcome(), ended)
        };
        self.hand_over(with_panic(span, ending));
    }

    fn hand_over(&self, span: SpanRecord) {
        let refused = match &self.spans {
            Some(spans) => match spans.push(span) {
                Pushed::Stored => false,
                Pushed::StoredQuarterFull => {
                    self.recorder.call_drain();
                    false
                }
                Pushed::Refused(_) => true,
            },
            None => self.recorder.hand_over_shared(span).is_err(),
        };
        if refused {
            self.count_dropped();
        }
    }

    fn count_dropped(&self) {
        let shard = self.shard();
        shard.writers.add(&shard.dropped_spans, 1);
    }

    fn shard(&self) -> &Shard {
        self.recorder.shard(self.shard)
    }

    #[inline]
    fn set_now(&self, now: Ticks) {
        self.now.set(now);
        WORKER_NOW.set(now);
    }
}

fn closed_account(record: &TaskRecord, task_id: u64, outcome: Outcome, ended: Ended) -> SpanRecord {
    SpanRecord {
        trace_id: TraceId::INVALID,
        span_id: SpanId::INVALID,
        parent_span_id: ended.parent_span_id,
        parent_is_remote: ended.parent_is_remote,
        start: record.spawned,
        end: record.last_end,
        busy: record.busy,
        scheduled: record.scheduled,
        task_id,
        kind: record.kind,
        polls: record.polls,
        wakes: record.wakes,
        migrations: record.migrations,
        outcome,
        thread: None,
        extras: ended.extras,
    }
}

/// Adds the exception event of the semantic conventions when the process panicked.
fn with_panic(mut span: SpanRecord, ending: Ending<'_>) -> SpanRecord {
    if let Ending::Panicked(message) = ending {
        let mut attributes = vec![
            KeyValue::new("exception.type", "panic"),
            KeyValue::new("exception.message", message.to_owned()),
        ];
        attributes.extend(panics::place_of(message));
        let extras: &mut SpanExtras = span.extras.get_or_insert_default();
        let event = Event::new("exception", wall(), attributes, 0);
        extras.events.push(event);
    }
    span
}

impl std::fmt::Debug for Scribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scribe")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// Writers of the two kinds of shards, by their place.
pub(super) fn writers_of(shard: usize) -> Writers {
    if shard == SHARED {
        Writers::Many
    } else {
        Writers::One
    }
}

/// A counter that nobody writes twice; here so that the recorder can sum it.
pub(super) fn read(counter: &AtomicU64) -> u64 {
    // Relaxed: a statistic.
    counter.load(std::sync::atomic::Ordering::Relaxed)
}
