//! What the header of a process carries for the recorder.
//!
//! | part | who writes | who reads |
//! |---|---|---|
//! | [`WakeStamp`] | the first waker since the last poll, that poll, the first waker during it | whoever polls; dumps |
//! | [`TaskRecord`], [`TaskDetail`] | the thread that has the right to poll | that one; dumps |
//! | [`TaskScope`] | the thread that has the right to poll | that one |
//!
//! The first three are relaxed atomics, so that a dump can read them while the process goes on;
//! for the one thread that writes them they cost what plain numbers cost.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use opentelemetry::{Context, SpanId, TraceId};
use telemetry_rt_clock::Ticks;

use super::account::SpanKeeping;
use super::birth::Unborn;
use super::poll_log::PollLog;
use super::scopes::Scopes;
use super::thread;
use crate::record::{Waiting, WakeCause};

// Relaxed throughout: each field but the stamp is written by one thread at a time; the queue through
// which the right to poll travels publishes it, and dumps take what they get. What races for the
// stamp is said at `woken_again`.

/// When a process became ready, and who made it so: the first wake since its last poll.
///
/// It is written by the thread whose wake was the first, after the state word has told it so and
/// before it queues the task, which publishes it; and by the first who wakes the process during the
/// poll that answers. The cause lies in the lowest bits, at the price of a few ticks.
#[derive(Debug)]
pub struct WakeStamp(AtomicU64);

const CAUSE_BITS: u64 = 7;

/// No wake since the poll began. A waker that is just about to say more finds this replaced, or is
/// taken for a task.
const UNKNOWN: u64 = WakeCause::Task as u64;

impl WakeStamp {
    #[inline]
    pub(super) fn new(at: Ticks, cause: WakeCause) -> WakeStamp {
        WakeStamp(AtomicU64::new(at.0 & !CAUSE_BITS | cause as u64))
    }

    /// The process is about to be made ready by this thread. `task` is its number; `from` says who
    /// wakes it, if that is not the poll in progress or the thread as such.
    ///
    /// On a worker the time is that of the poll in progress, which costs nothing; on any other
    /// thread the clock is read.
    #[inline]
    pub fn woken(&self, task: impl FnOnce() -> u64, from: impl FnOnce() -> Option<WakeCause>) {
        let now = thread::now();
        let cause = from().unwrap_or_else(thread::cause);
        self.0.store(now.0 & !CAUSE_BITS | cause as u64, Relaxed);
        thread::note_wake(now, task);
    }

    /// The poll that the wake led to has begun: what wakes the process from here on leads to the
    /// next one, which is stamped by [`woken_again`](Self::woken_again) as long as this poll goes on.
    #[inline]
    pub fn answered(&self) {
        self.0.store(UNKNOWN, Relaxed);
    }

    /// The process was woken by this thread while somebody else had the right to poll it: if it is
    /// being polled, and this is the first wake of that poll, it is the one that counts.
    ///
    /// One that was answered just now may be taken for a new one; it is overwritten by the next
    /// [`woken`](Self::woken), and lies before the end of the poll, from which the process is ready.
    #[inline]
    pub fn woken_again(
        &self,
        task: impl FnOnce() -> u64,
        from: impl FnOnce() -> Option<WakeCause>,
    ) {
        if self.0.load(Relaxed) != UNKNOWN {
            return;
        }
        let now = thread::now();
        let cause = from().unwrap_or_else(thread::cause);
        let stamp = now.0 & !CAUSE_BITS | cause as u64;
        let first = self.0.compare_exchange(UNKNOWN, stamp, Relaxed, Relaxed);
        if first.is_ok() {
            thread::note_wake(now, task);
        }
    }

    /// Makes it the stamp of another process.
    #[inline]
    pub(super) fn renew(&self, new: &WakeStamp) {
        self.0.store(new.0.load(Relaxed), Relaxed);
    }

    #[inline]
    pub(super) fn get(&self) -> (Ticks, WakeCause) {
        let word = self.0.load(Relaxed);
        let cause = WakeCause::ALL.get((word & CAUSE_BITS) as usize);
        (
            Ticks(word & !CAUSE_BITS),
            cause.copied().unwrap_or_default(),
        )
    }
}

/// A number that one thread at a time writes.
#[derive(Debug)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    #[inline]
    const fn new(value: u64) -> Tally {
        Tally(AtomicU64::new(value))
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    #[inline]
    fn add(&self, value: u64) {
        self.set(self.get() + value);
    }
}

/// What each poll writes of a process. The first four words lie in the cache line that wakers and
/// pollers touch anyway, the rest in the next one.
#[derive(Debug)]
#[repr(C)]
pub struct TaskRecord {
    /// When it last began or ended a poll, or was spawned.
    last: Tally,
    busy: Tally,
    scheduled: Tally,
    polls: AtomicU32,
    wakes: AtomicU32,
    spawned: Tally,
    kind: AtomicU32,
    last_worker: AtomicU16,
    migrations: AtomicU16,
}

/// What few polls write of a process.
#[derive(Debug)]
pub struct TaskDetail {
    /// Ticks of idleness by what it waited for; those for [`Waiting::Other`] are what is left.
    idle: [Tally; Waiting::COUNT - 1],
    trace_id: [Tally; 2],
    span_id: Tally,
    parent: Tally,
    children: AtomicU32,
    waiting: AtomicU8,
    flags: AtomicU8,
}

/// What of a process belongs to whoever polls it.
#[derive(Debug)]
pub struct TaskScope {
    /// Attached during each poll, unless there is nothing in it. Before the first poll of a process
    /// whose span is [`UNBORN_SPAN`] it is that of the spawner.
    pub(super) context: Option<Context>,
    /// What few processes have.
    pub(super) extra: Option<Box<TaskExtra>>,
}

/// What few processes have: spans that are open across polls, and notes about polls.
#[derive(Debug, Default)]
pub(super) struct TaskExtra {
    pub(super) open: Scopes,
    pub(super) polls: PollLog,
}

/// The worker number of threads that are no workers, and of processes that were never polled.
pub(super) const NO_WORKER: u16 = u16::MAX;

/// In the place of what a process waits for: it is being polled.
const RUNNING: u8 = u8::MAX;

/// The kind of processes that no recorder knows.
pub(super) const NO_KIND: u32 = u32::MAX;

/// It is counted when it ends.
pub(super) const COUNTED: u8 = 1;
/// Its context holds a span of its own that is recorded.
pub(super) const HAS_SPAN: u8 = 2;
/// That span is one of a provider that is not ours.
pub(super) const FOREIGN_SPAN: u8 = 4;
/// It is yet to be born: the context is that of the spawner.
pub(super) const UNBORN_SPAN: u8 = 8;
/// It will be a root.
pub(super) const ROOT_SPAN: u8 = 16;

impl TaskRecord {
    #[inline]
    pub(super) fn new(spawned: Ticks, kind: u32) -> TaskRecord {
        TaskRecord {
            last: Tally::new(spawned.0),
            busy: Tally::new(0),
            scheduled: Tally::new(0),
            polls: AtomicU32::new(0),
            wakes: AtomicU32::new(0),
            spawned: Tally::new(spawned.0),
            kind: AtomicU32::new(kind),
            last_worker: AtomicU16::new(NO_WORKER),
            migrations: AtomicU16::new(0),
        }
    }

    /// Makes it the record of another process.
    #[inline]
    pub(super) fn renew(&self, new: &TaskRecord) {
        let TaskRecord {
            last,
            busy,
            scheduled,
            polls,
            wakes,
            spawned,
            kind,
            last_worker,
            migrations,
        } = new;
        self.last.set(last.get());
        self.busy.set(busy.get());
        self.scheduled.set(scheduled.get());
        self.polls.store(polls.load(Relaxed), Relaxed);
        self.wakes.store(wakes.load(Relaxed), Relaxed);
        self.spawned.set(spawned.get());
        self.kind.store(kind.load(Relaxed), Relaxed);
        self.last_worker.store(last_worker.load(Relaxed), Relaxed);
        self.migrations.store(migrations.load(Relaxed), Relaxed);
    }

    #[inline]
    pub(super) fn set_kind(&self, kind: u32) {
        self.kind.store(kind, Relaxed);
    }

    /// Whether there is no recorder yet that knows of the process.
    #[inline]
    pub fn is_unrecorded(&self) -> bool {
        self.kind() == NO_KIND
    }

    #[inline]
    pub(super) fn kind(&self) -> u32 {
        self.kind.load(Relaxed)
    }

    #[inline]
    pub(super) fn polls(&self) -> u32 {
        self.polls.load(Relaxed)
    }

    #[inline]
    pub(super) fn wakes(&self) -> u32 {
        self.wakes.load(Relaxed)
    }

    #[inline]
    pub(super) fn migrations(&self) -> u16 {
        self.migrations.load(Relaxed)
    }

    #[inline]
    pub(super) fn worker(&self) -> Option<u16> {
        let worker = self.last_worker.load(Relaxed);
        (worker != NO_WORKER).then_some(worker)
    }

    #[inline]
    pub(super) fn spawned(&self) -> Ticks {
        Ticks(self.spawned.get())
    }

    /// When it last began or ended a poll.
    #[inline]
    pub(super) fn last(&self) -> Ticks {
        Ticks(self.last.get())
    }

    #[inline]
    pub(super) fn busy(&self) -> u64 {
        self.busy.get()
    }

    #[inline]
    pub(super) fn scheduled(&self) -> u64 {
        self.scheduled.get()
    }

    /// A poll starts. The time since it became ready is accounted as scheduled, and the time
    /// between the last poll and then as idle, of the reason that `detail` knows.
    #[inline]
    pub(super) fn start_poll(
        &self,
        detail: &TaskDetail,
        now: Ticks,
        wake: Ticks,
        worker: u16,
    ) -> Started {
        // The worker's clock stands still between polls and may be behind a wake that another
        // thread stamped, or behind the last poll on another worker.
        let last = self.last();
        let ready = Ticks(wake.0.max(last.0));
        let start = Ticks(now.0.max(ready.0));
        let scheduled = start.since(ready);
        self.scheduled.add(scheduled);
        detail.add_idle(ready.since(last));
        detail.set_running();
        self.last.set(start.0);
        let last_worker = self.last_worker.load(Relaxed);
        if worker != last_worker && worker != NO_WORKER {
            let moved = last_worker != NO_WORKER;
            let migrations = self.migrations.load(Relaxed);
            self.migrations
                .store(migrations.saturating_add(u16::from(moved)), Relaxed);
            self.last_worker.store(worker, Relaxed);
        }
        Started { start, scheduled }
    }

    /// A poll ends, in which the task found itself woken `wakes` times.
    #[inline]
    pub(super) fn end_poll(&self, start: Ticks, now: Ticks, wakes: u32) -> u64 {
        self.polls.store(self.polls().saturating_add(1), Relaxed);
        self.wakes
            .store(self.wakes().saturating_add(wakes), Relaxed);
        self.end_turn(start, now)
    }

    /// A turn ends in which the future was polled, or dropped. Returns its length.
    #[inline]
    pub(super) fn end_turn(&self, start: Ticks, now: Ticks) -> u64 {
        let end = Ticks(now.0.max(start.0));
        let length = end.since(start);
        self.busy.add(length);
        self.last.set(end.0);
        length
    }

    /// The length of the process in ticks, once it has been polled for the last time.
    #[inline]
    pub(super) fn length(&self) -> u64 {
        self.last().since(self.spawned())
    }
}

/// A poll that has started.
pub(super) struct Started {
    pub(super) start: Ticks,
    /// How long it was ready and waited.
    pub(super) scheduled: u64,
}

impl TaskDetail {
    #[inline]
    pub(super) fn new(trace_id: TraceId, span_id: SpanId, parent: u64, flags: u8) -> TaskDetail {
        let detail = TaskDetail {
            idle: [const { Tally::new(0) }; Waiting::COUNT - 1],
            trace_id: [const { Tally::new(0) }; 2],
            span_id: Tally::new(0),
            parent: Tally::new(parent),
            children: AtomicU32::new(0),
            waiting: AtomicU8::new(Waiting::Other as u8),
            flags: AtomicU8::new(0),
        };
        detail.identify(trace_id, span_id, flags);
        detail
    }

    /// Makes it the detail of another process.
    #[inline]
    pub(super) fn renew(&self, new: &TaskDetail) {
        let TaskDetail {
            idle,
            trace_id,
            span_id,
            parent,
            children,
            waiting,
            flags,
        } = new;
        for (mine, new) in self.idle.iter().zip(idle) {
            mine.set(new.get());
        }
        for (mine, new) in self.trace_id.iter().zip(trace_id) {
            mine.set(new.get());
        }
        self.span_id.set(span_id.get());
        self.parent.set(parent.get());
        self.children.store(children.load(Relaxed), Relaxed);
        self.waiting.store(waiting.load(Relaxed), Relaxed);
        self.flags.store(flags.load(Relaxed), Relaxed);
    }

    /// Says which span it has, and what becomes of it.
    #[inline]
    pub(super) fn identify(&self, trace_id: TraceId, span_id: SpanId, flags: u8) {
        let trace_id = u128::from_be_bytes(trace_id.to_bytes());
        self.trace_id[0].set((trace_id >> 64) as u64);
        self.trace_id[1].set(trace_id as u64);
        self.span_id.set(u64::from_be_bytes(span_id.to_bytes()));
        self.flags.store(flags, Relaxed);
    }

    #[inline]
    pub(super) fn flags(&self) -> u8 {
        self.flags.load(Relaxed)
    }

    #[inline]
    fn add_idle(&self, ticks: u64) {
        let waiting = self.waiting.load(Relaxed) as usize;
        if ticks > 0
            && let Some(sum) = self.idle.get(waiting.wrapping_sub(1))
        {
            sum.add(ticks);
        }
    }

    #[inline]
    pub(super) fn set_waiting(&self, waiting: Waiting) {
        self.waiting.store(waiting as u8, Relaxed);
    }

    #[inline]
    fn set_running(&self) {
        self.waiting.store(RUNNING, Relaxed);
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.waiting.load(Relaxed) == RUNNING
    }

    #[inline]
    pub(super) fn waiting(&self) -> Waiting {
        let waiting = self.waiting.load(Relaxed) as usize;
        Waiting::ALL.get(waiting).copied().unwrap_or_default()
    }

    /// Ticks of idleness by reason; that for [`Waiting::Other`] is not kept, and is zero here.
    #[inline]
    pub(super) fn idle(&self) -> [u64; Waiting::COUNT] {
        let mut idle = [0; Waiting::COUNT];
        for (sum, kept) in idle[1..].iter_mut().zip(&self.idle) {
            *sum = kept.get();
        }
        idle
    }

    #[inline]
    pub(super) fn span_id(&self) -> u64 {
        self.span_id.get()
    }

    #[inline]
    pub(super) fn trace_id(&self) -> TraceId {
        let [high, low] = [self.trace_id[0].get(), self.trace_id[1].get()];
        TraceId::from(u128::from(high) << 64 | u128::from(low))
    }

    #[inline]
    pub(super) fn parent(&self) -> u64 {
        self.parent.get()
    }

    #[inline]
    pub(super) fn children(&self) -> u32 {
        self.children.load(Relaxed)
    }

    #[inline]
    pub(super) fn set_children(&self, children: u32) {
        self.children.store(children, Relaxed);
    }

    #[inline]
    pub(super) fn is_counted(&self) -> bool {
        self.flags() & COUNTED != 0
    }

    /// The span that is yet to be born, if it is.
    #[inline]
    pub(super) fn unborn(&self) -> Option<Unborn> {
        let flags = self.flags();
        (flags & UNBORN_SPAN != 0).then_some(match flags & ROOT_SPAN {
            0 => Unborn::Child,
            _ => Unborn::Root,
        })
    }

    pub(super) fn set_born(&self) {
        self.flags
            .store(self.flags() & !(UNBORN_SPAN | ROOT_SPAN), Relaxed);
    }

    #[inline]
    pub(super) fn span(&self) -> SpanKeeping {
        match self.flags() & (HAS_SPAN | FOREIGN_SPAN) {
            0 => SpanKeeping::None,
            HAS_SPAN => SpanKeeping::Ours,
            _ => SpanKeeping::Foreign,
        }
    }
}

impl TaskScope {
    pub(super) fn extra(&mut self) -> &mut TaskExtra {
        self.extra.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Account {
        record: TaskRecord,
        detail: TaskDetail,
    }

    fn account(spawned: u64) -> Account {
        Account {
            record: TaskRecord::new(Ticks(spawned), 0),
            detail: TaskDetail::new(TraceId::INVALID, SpanId::INVALID, 0, 0),
        }
    }

    impl Account {
        fn start(&self, now: u64, wake: u64, worker: u16) -> Ticks {
            let (now, wake) = (Ticks(now), Ticks(wake));
            self.record
                .start_poll(&self.detail, now, wake, worker)
                .start
        }
    }

    #[test]
    fn every_tick_is_scheduled_busy_or_idle() {
        let account = account(100);
        let record = &account.record;
        let start = account.start(130, 100, 0);
        record.end_poll(start, Ticks(150), 1);
        // Idle until it is woken at 200, polled at 220.
        let start = account.start(220, 200, 1);
        record.end_poll(start, Ticks(225), 1);
        let parts = (record.scheduled(), record.busy(), record.length());
        assert_eq!(parts, (50, 25, 125));
        assert_eq!(record.migrations(), 1);
    }

    #[test]
    fn a_wake_during_the_poll_makes_it_ready_when_the_poll_ends() {
        let account = account(0);
        let start = account.start(10, 0, 0);
        account.record.end_poll(start, Ticks(50), 1);
        // Woken at 20, while it was being polled.
        let start = account.start(60, 20, 0);
        assert_eq!(account.record.scheduled(), 10 + 10);
        account.record.end_poll(start, Ticks(70), 1);
        assert_eq!(account.record.length(), 70);
    }

    #[test]
    fn clocks_that_are_behind_make_no_negative_times() {
        let account = account(1_000);
        let start = account.start(900, 1_000, 0);
        assert_eq!(start, Ticks(1_000));
        account.record.end_poll(start, Ticks(950), 1);
        assert_eq!(account.record.length(), 0);
        assert_eq!((account.record.busy(), account.record.scheduled()), (0, 0));
    }

    #[test]
    fn idleness_is_booked_on_what_was_waited_for() {
        let account = account(0);
        let mut now = 0;
        for waiting in [Waiting::Io, Waiting::Timer, Waiting::Io, Waiting::Other] {
            let start = account.start(now, now, 0);
            account.record.end_poll(start, Ticks(now), 1);
            account.detail.set_waiting(waiting);
            now += 10;
        }
        let start = account.start(now, now, 0);
        account.record.end_turn(start, Ticks(now));
        let idle = account.detail.idle();
        assert_eq!(idle[Waiting::Io as usize], 20);
        assert_eq!(idle[Waiting::Timer as usize], 10);
        assert_eq!(idle.iter().sum::<u64>(), 30);
        assert_eq!(account.record.length(), 40);
    }

    #[test]
    fn a_stamp_keeps_the_cause_and_the_time_but_for_a_few_ticks() {
        for cause in WakeCause::ALL {
            let stamp = WakeStamp::new(Ticks(12_345), cause);
            let (at, read) = stamp.get();
            assert_eq!(read, cause);
            assert!(12_345 - at.0 < 8);
        }
    }

    #[test]
    fn of_the_wakes_during_a_poll_the_first_is_kept_and_of_those_before_it_none() {
        let stamp = WakeStamp::new(Ticks(800), WakeCause::Spawn);
        stamp.woken_again(|| 1, || Some(WakeCause::Foreign));
        assert_eq!(stamp.get(), (Ticks(800), WakeCause::Spawn));
        stamp.answered();
        stamp.woken_again(|| 1, || Some(WakeCause::Timer));
        stamp.woken_again(|| 1, || Some(WakeCause::Foreign));
        assert_eq!(stamp.get().1, WakeCause::Timer);
        stamp.woken(|| 1, || Some(WakeCause::Driver));
        assert_eq!(stamp.get().1, WakeCause::Driver);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_parts_are_as_small_as_the_header_says() {
        assert_eq!(size_of::<TaskRecord>(), 48);
        assert_eq!(size_of::<TaskScope>(), 32);
        assert_eq!(size_of::<TaskDetail>(), 72);
    }
}
