//! The queue between the threads that end spans and the thread that exports them, and the books
//! about both.
//!
//! One mutex guards everything, so that at any moment each span that was taken in is in exactly
//! one place: waiting, in the exporter's hand, exported, or dropped for a cause.
//!
//! ```text
//!   offer ──► waiting ──next──► in hand ──settle──► exported | export_failed
//!     │          │                 │
//!     ▼          └── abandon ──────┴──► shutdown_deadline
//!   queue_full
//! ```
//!
//! Flushing is a relay. The caller draws a ticket (`ask_flush`); the drain, having emptied the
//! rings, passes it on (`drained`); the exporting thread, having exported all that waited then,
//! is told by [`Turn::Flush`] to export metrics and ends it (`flushed`). One flush is served at a
//! time, and only with the spans that waited when its turn came: under load it ends, too. Stopping
//! is the same relay with no way back: `stop`, `drain_ended`, [`Turn::Stop`], `sender_ended`.
//!
//! What waits is in [`waiting`]: it comes and goes in chunks, so that the lock is taken a few times
//! for thousands of spans.
//!
//! Whoever waits, waits on one condition variable; all are woken by each change that any of them
//! may wait for, which happens a few times a second.

mod waiting;

use std::fmt;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;
use parking_lot::{Condvar, Mutex, MutexGuard};
use telemetry_rt_clock::instant;

use super::account::Dropped;
use super::calendar::Calendar;
use super::deadline::deadline_after;
use crate::record::SpanRecord;
use waiting::Waiting;

pub(super) use waiting::{Chunk, Taken};

/// What the exporting thread is to do next.
pub(super) enum Turn {
    /// Export these spans, then [`settle`](Queue::settle).
    Spans(Taken),
    /// Export metrics: it is time.
    Metrics,
    /// Export metrics, flush, then say so with this ticket.
    Flush(u64),
    /// Export metrics and end.
    Stop,
}

/// What the drain is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Drain as usual.
    GoOn,
    /// Empty the rings, then pass the ticket on.
    Flush(u64),
    /// Empty the rings, waiting for room in the queue until the deadline, and end.
    Stop(Instant),
}

/// When spans and metrics are exported. `next_spans` and `next_metrics` move on.
#[derive(Debug)]
pub(super) struct Schedule {
    spans_every: Duration,
    metrics_every: Duration,
    next_spans: Instant,
    next_metrics: Instant,
    /// Whether metrics had the last turn: spans and flushes that wait come before the next ones.
    metrics_were_last: bool,
}

/// An interval of zero would keep the exporting thread from sleeping.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

impl Schedule {
    pub(super) fn new(spans_every: Duration, metrics_every: Duration) -> Schedule {
        let spans_every = spans_every.max(SHORTEST_INTERVAL);
        let metrics_every = metrics_every.max(SHORTEST_INTERVAL);
        Schedule {
            spans_every,
            metrics_every,
            next_spans: deadline_after(spans_every),
            next_metrics: deadline_after(metrics_every),
            metrics_were_last: false,
        }
    }

    /// The last turn is over. The pause between metrics begins only now: an export that takes
    /// longer than the interval would else be followed by the next one at once.
    fn turn_is_over(&mut self) {
        if self.metrics_were_last {
            self.next_metrics = deadline_after(self.metrics_every);
        }
    }

    fn spans_are_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next_spans;
        if due {
            self.next_spans = deadline_after(self.spans_every);
        }
        due
    }

    fn metrics_are_due(&self, now: Instant) -> bool {
        now >= self.next_metrics
    }
}

/// The queue and the books.
pub(super) struct Queue {
    capacity: usize,
    batch: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// The books about spans that were taken in; rings have books of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    pub(super) taken: u64,
    pub(super) exported: u64,
    /// `ring_full` stays zero here.
    pub(super) dropped: Dropped,
}

/// How things stand at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) books: Books,
    /// Spans that wait or are in hand.
    pub(super) in_flight: u64,
    /// Whether what is in the rings may still be exported.
    pub(super) rings_are_read: bool,
}

/// How a thread of the pipeline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was stopped, and did what there was to do.
    Well,
    /// It panicked.
    Died,
}

impl End {
    /// How this thread ends, asked while its values are dropped.
    pub(super) fn of_this_thread() -> End {
        match std::thread::panicking() {
            true => End::Died,
            false => End::Well,
        }
    }
}

struct State {
    waiting: Waiting,
    in_hand: u64,
    books: Books,
    tickets: Tickets,
    stop: Option<Instant>,
    drain_ended: bool,
    /// No span is exported any more.
    closed: bool,
    sender_ended: bool,
    /// The exporting thread was not waited for.
    abandoned: bool,
    /// One of the two threads panicked.
    died: bool,
}

/// How far flushes have come: `asked >= drained >= served >= flushed`.
#[derive(Debug, Default)]
struct Tickets {
    asked: u64,
    drained: u64,
    /// The urgent spans are those of this one.
    served: u64,
    flushed: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize, batch: usize) -> Queue {
        let batch = batch.clamp(1, capacity);
        Queue {
            capacity,
            batch,
            state: Mutex::new(State::new(batch)),
            changed: Condvar::new(),
        }
    }

    /// A user's span ended. Never waits.
    pub(super) fn offer_user(&self, span: SpanData) {
        let mut state = self.state.lock();
        state.books.taken += 1;
        if state.closed || state.drain_ended {
            state.books.dropped.shutdown_deadline += 1;
        } else if state.waiting.len() >= self.capacity {
            state.books.dropped.queue_full += 1;
        } else {
            state.waiting.push_user(span);
            self.wake_if_full(&state);
        }
    }

    /// How many records the drain is best to bring next.
    pub(super) fn room_of_chunk(&self) -> usize {
        self.state.lock().waiting.room_of_chunk()
    }

    /// Takes the drained spans that there is room for, and drops the others.
    pub(super) fn offer(&self, spans: &mut Vec<SpanRecord>, calendar: Calendar) {
        let mut state = self.state.lock();
        self.take_in(&mut state, spans, calendar);
        state.books.taken += spans.len() as u64;
        state.books.dropped.queue_full += spans.len() as u64;
        drop(state);
        spans.clear();
    }

    /// Takes all the drained spans, waiting for room until the deadline, then drops the others.
    pub(super) fn offer_until(
        &self,
        spans: &mut Vec<SpanRecord>,
        calendar: Calendar,
        deadline: Instant,
    ) {
        let mut state = self.state.lock();
        loop {
            self.take_in(&mut state, spans, calendar);
            if spans.is_empty() || state.closed || instant() >= deadline {
                break;
            }
            self.changed.wait_until(&mut state, deadline);
        }
        state.books.taken += spans.len() as u64;
        state.books.dropped.shutdown_deadline += spans.len() as u64;
        drop(state);
        spans.clear();
    }

    /// Leaves those that there is no room for.
    fn take_in(&self, state: &mut State, spans: &mut Vec<SpanRecord>, calendar: Calendar) {
        let room = match state.closed {
            true => 0,
            false => self.capacity - state.waiting.len(),
        };
        if room >= spans.len() {
            state.books.taken += spans.len() as u64;
            state.waiting.push_records(spans, calendar);
        } else if room > 0 {
            let mut fit: Vec<SpanRecord> = spans.drain(..room).collect();
            state.books.taken += room as u64;
            state.waiting.push_records(&mut fit, calendar);
        }
        self.wake_if_full(state);
    }

    fn wake_if_full(&self, state: &State) {
        if state.waiting.len() >= self.batch {
            self.changed.notify_all();
        }
    }

    /// Waits for something to do. Only the exporting thread calls this.
    pub(super) fn next(&self, schedule: &mut Schedule) -> Turn {
        schedule.turn_is_over();
        let mut state = self.state.lock();
        loop {
            if let Some(turn) = self.turn(&mut state, schedule) {
                schedule.metrics_were_last = matches!(turn, Turn::Metrics);
                return turn;
            }
            let until = match state.stop {
                None => schedule.next_spans.min(schedule.next_metrics),
                // Metrics have their turn at the end, whenever they were due.
                Some(_) => schedule.next_spans,
            };
            self.changed.wait_until(&mut state, until);
        }
    }

    fn turn(&self, state: &mut State, schedule: &mut Schedule) -> Option<Turn> {
        let now = instant();
        if state.closed {
            return Some(Turn::Stop);
        }
        let metrics_are_due = state.stop.is_none() && schedule.metrics_are_due(now);
        if metrics_are_due && !schedule.metrics_were_last {
            return Some(Turn::Metrics);
        }
        if schedule.spans_are_due(now) && !state.is_flushing() {
            state.waiting.hurry();
        }
        self.turn_of_spans(state)
            .or_else(|| metrics_are_due.then_some(Turn::Metrics))
    }

    /// Urgent spans, the flush they were urgent for, the end; only then spans that are many.
    fn turn_of_spans(&self, state: &mut State) -> Option<Turn> {
        if state.waiting.is_urgent() {
            return Some(Turn::Spans(self.hand_out(state)));
        }
        if state.is_flushing() {
            return Some(Turn::Flush(state.tickets.served));
        }
        if state.drain_ended {
            state.closed = true;
            return Some(Turn::Stop);
        }
        let many = state.waiting.len() >= self.batch;
        many.then(|| Turn::Spans(self.hand_out(state)))
    }

    fn hand_out(&self, state: &mut State) -> Taken {
        let batch = state.waiting.take(self.batch);
        state.in_hand = batch.len() as u64;
        self.changed.notify_all();
        batch
    }

    /// The batch in hand was exported, but for `lost` of its spans. Its memory comes back empty.
    pub(super) fn settle(&self, lost: u64, mut emptied: Taken) {
        let mut state = self.state.lock();
        let in_hand = std::mem::take(&mut state.in_hand);
        let lost = lost.min(in_hand);
        state.books.exported += in_hand - lost;
        state.books.dropped.export_failed += lost;
        state.waiting.bring_back(&mut emptied);
        // What is not kept is freed without the lock.
        drop(state);
    }

    /// What the drain is to do.
    pub(super) fn order(&self) -> Order {
        let state = self.state.lock();
        match state.stop {
            Some(deadline) => Order::Stop(deadline),
            None if state.tickets.asked > state.tickets.drained => {
                Order::Flush(state.tickets.asked)
            }
            None => Order::GoOn,
        }
    }

    /// Draws a ticket for a flush.
    pub(super) fn ask_flush(&self) -> u64 {
        let mut state = self.state.lock();
        state.tickets.asked += 1;
        state.tickets.asked
    }

    /// All spans that had ended when this ticket was drawn are in the queue.
    pub(super) fn drained(&self, ticket: u64) {
        let mut state = self.state.lock();
        state.tickets.drained = ticket;
        state.serve_next_flush();
        self.changed.notify_all();
    }

    /// All that was asked for up to this ticket is exported.
    pub(super) fn flushed(&self, ticket: u64) {
        let mut state = self.state.lock();
        state.tickets.flushed = ticket;
        state.serve_next_flush();
        self.changed.notify_all();
    }

    /// Waits until all that was asked for up to this ticket is exported, and says whether it is.
    pub(super) fn wait_flushed(&self, ticket: u64, deadline: Instant) -> bool {
        let state = self.wait(deadline, |state| {
            state.tickets.flushed >= ticket || state.sender_ended || state.abandoned
        });
        state.tickets.flushed >= ticket || state.has_ended_well()
    }

    /// No more is to be drained or exported than what there is.
    pub(super) fn stop(&self, deadline: Instant) {
        self.state.lock().stop.get_or_insert(deadline);
        self.changed.notify_all();
    }

    /// The drain takes nothing more out of the rings: what waits now is all that is exported.
    pub(super) fn drain_ended(&self, end: End) {
        let mut state = self.state.lock();
        state.drain_ended = true;
        state.waiting.hurry();
        state.died |= end == End::Died;
        self.changed.notify_all();
    }

    /// The exporting thread ends. What it has left behind, if it died, is lost.
    pub(super) fn sender_ended(&self, end: End) {
        let mut state = self.state.lock();
        state.close();
        state.sender_ended = true;
        state.died |= end == End::Died;
        self.changed.notify_all();
    }

    /// Waits for the exporting thread to end, and says whether it has, in time.
    pub(super) fn wait_ended(&self, deadline: Instant) -> bool {
        self.wait(deadline, |state| state.sender_ended)
            .has_ended_well()
    }

    /// Whether spans are still taken in.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state.lock();
        state.stop.is_none() && !state.closed
    }

    /// Whether the exporting thread has ended, in whatever way.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().sender_ended
    }

    /// There is no more time: what waits and what is in hand is lost.
    pub(super) fn abandon(&self) {
        self.state.lock().abandon();
        self.changed.notify_all();
    }

    /// In a forked child, whose copy of the lock may have been taken by a thread of the parent
    /// and is then never released.
    pub(super) fn abandon_if_free(&self) {
        if let Some(mut state) = self.state.try_lock() {
            state.abandon();
        }
    }

    /// How things stand.
    pub(super) fn standing(&self) -> Standing {
        let state = self.state.lock();
        Standing {
            books: state.books,
            in_flight: state.waiting.len() as u64 + state.in_hand,
            rings_are_read: !state.drain_ended,
        }
    }

    #[cfg(test)]
    pub(super) fn lock_for_test(&self) -> impl Sized + '_ {
        self.state.lock()
    }

    fn wait(&self, deadline: Instant, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        while !done(&state) && instant() < deadline {
            self.changed.wait_until(&mut state, deadline);
        }
        state
    }
}

impl State {
    fn new(batch: usize) -> State {
        State {
            waiting: Waiting::new(batch),
            in_hand: 0,
            books: Books::default(),
            tickets: Tickets::default(),
            stop: None,
            drain_ended: false,
            closed: false,
            sender_ended: false,
            abandoned: false,
            died: false,
        }
    }

    fn has_ended_well(&self) -> bool {
        self.sender_ended && !self.abandoned && !self.died
    }

    fn is_flushing(&self) -> bool {
        self.tickets.served > self.tickets.flushed
    }

    /// Spans that come after this moment are not waited for by the flush.
    fn serve_next_flush(&mut self) {
        if !self.is_flushing() && self.tickets.drained > self.tickets.served {
            self.tickets.served = self.tickets.drained;
            self.waiting.hurry();
        }
    }

    fn abandon(&mut self) {
        self.close();
        self.abandoned = true;
    }

    fn close(&mut self) {
        self.closed = true;
        let left = self.waiting.len() as u64 + self.in_hand;
        self.books.dropped.shutdown_deadline += left;
        self.waiting.clear();
        self.in_hand = 0;
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
