//! What a thread knows of itself while it works for a runtime: what time it is, whose poll is in
//! progress, and which lane of the flight recorder is its own.
//!
//! All of it is thread-local and cheap to read, because it is asked at each wake and each spawn.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use opentelemetry::{Context, ContextGuard};
use telemetry_rt_clock::{Ticks, ticks};

use super::lane::Lane;
use super::tls;
use crate::record::WakeCause;

/// A poll in progress on a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polling {
    /// The process, as in `task::Id`.
    pub(super) task: u64,
    /// The id of its own span; zero when it has none.
    pub(super) span_id: u64,
    /// When it was spawned.
    pub(super) spawned: Ticks,
    /// How many have been spawned below its span.
    pub(super) children: u32,
    /// As what it wakes others.
    pub(super) cause: WakeCause,
}

impl Polling {
    const NOTHING: Polling = Polling {
        task: 0,
        span_id: 0,
        spawned: Ticks(0),
        children: 0,
        cause: WakeCause::Foreign,
    };
}

/// What a thread knows, in cells that are read and written one by one. There is one value of it for
/// each thread, without a destructor: a thread-local that has one is asked for its state at each use.
struct ThisThread {
    /// The clock of the worker that this thread is; zero on all other threads, and on a worker
    /// while it is idle.
    clock: Cell<Ticks>,
    /// The process that is polled, zero when there is none. The next four mean nothing then.
    task: Cell<u64>,
    span_id: Cell<u64>,
    spawned: Cell<Ticks>,
    children: Cell<u32>,
    cause: Cell<WakeCause>,
    /// As what the thread wakes others outside of polls.
    role: Cell<WakeCause>,
    /// Where its wakes are noted, null if nowhere. Owns a reference, see [`set_lane`].
    lane: Cell<*const Lane>,
}

thread_local! {
    static THREAD: ThisThread = const {
        ThisThread {
            clock: Cell::new(Ticks(0)),
            task: Cell::new(0),
            span_id: Cell::new(0),
            spawned: Cell::new(Ticks(0)),
            children: Cell::new(0),
            cause: Cell::new(WakeCause::Foreign),
            role: Cell::new(WakeCause::Foreign),
            lane: Cell::new(ptr::null()),
        }
    };
}

thread_local! {
    /// The polls further out than the one in progress. Apart from [`THREAD`], because polls seldom
    /// nest: the guard of a poll is smaller without the one further out.
    static FURTHER_OUT: RefCell<Vec<Polling>> = const { RefCell::new(Vec::new()) };
}

impl ThisThread {
    #[inline]
    fn polling(&self) -> Polling {
        Polling {
            task: self.task.get(),
            span_id: self.span_id.get(),
            spawned: self.spawned.get(),
            children: self.children.get(),
            cause: self.cause.get(),
        }
    }

    #[inline]
    fn set_polling(&self, polling: &Polling) {
        self.task.set(polling.task);
        self.span_id.set(polling.span_id);
        self.spawned.set(polling.spawned);
        self.children.set(polling.children);
        self.cause.set(polling.cause);
    }

    /// As what this thread wakes others now.
    #[inline]
    fn waker(&self) -> WakeCause {
        match self.task.get() {
            0 => self.role.get(),
            _ => self.cause.get(),
        }
    }

    #[inline]
    fn note_wake(&self, at: Ticks, task: impl FnOnce() -> u64) {
        // SAFETY: the cell owns a reference to the lane, and neither `woke` nor
        // `task` changes the cell.
        if let Some(lane) = unsafe { self.lane.get().as_ref() } {
            lane.woke(at, task());
        }
    }
}

/// What time it is for a wake on this thread.
#[inline]
pub(super) fn now() -> Ticks {
    match THREAD.with(|thread| thread.clock.get()) {
        Ticks(0) => ticks(),
        now => now,
    }
}

#[inline]
pub(super) fn set_worker_now(now: Ticks) {
    THREAD.with(|thread| thread.clock.set(now));
}

/// Whether the thread is a worker, in the middle of its work.
#[inline]
pub(super) fn is_working() -> bool {
    THREAD.with(|thread| thread.clock.get()) != Ticks(0)
}

/// The poll in progress.
#[inline]
pub(super) fn polling() -> Option<Polling> {
    THREAD.with(|thread| (thread.task.get() != 0).then(|| thread.polling()))
}

/// The process that is polled, or zero.
#[inline]
pub(super) fn polled_task() -> u64 {
    THREAD.with(|thread| thread.task.get())
}

/// Makes a poll the one in progress. Returns whether it is within another one.
#[inline]
pub(super) fn begin_poll(polling: &Polling) -> bool {
    THREAD.with(|thread| {
        let is_inner = thread.task.get() != 0;
        if is_inner {
            go_in(thread.polling());
        }
        thread.set_polling(polling);
        is_inner
    })
}

/// The poll in progress has ended. Returns how many have been spawned below its span.
#[inline]
pub(super) fn end_poll(is_inner: bool) -> u32 {
    THREAD.with(|thread| {
        let children = thread.children.get();
        match is_inner {
            false => thread.task.set(0),
            true => thread.set_polling(&come_out()),
        }
        children
    })
}

#[cold]
fn go_in(outer: Polling) {
    // Gone when the thread ends: what is polled in a destructor is the outermost to the recorder.
    let _ = FURTHER_OUT.try_with(|polls| polls.borrow_mut().push(outer));
}

#[cold]
fn come_out() -> Polling {
    let outer = FURTHER_OUT.try_with(|polls| polls.borrow_mut().pop());
    outer.ok().flatten().unwrap_or(Polling::NOTHING)
}

/// Counts a process that is spawned below the span of the poll in progress.
#[inline]
pub(super) fn count_child() {
    THREAD.with(|thread| thread.children.set(thread.children.get().saturating_add(1)));
}

/// As what this thread wakes others now.
#[inline]
pub(super) fn cause() -> WakeCause {
    THREAD.with(ThisThread::waker)
}

/// Notes on the lane of this thread, if it has one, that it has woken a process.
#[inline]
pub(super) fn note_wake(at: Ticks, task: impl FnOnce() -> u64) {
    THREAD.with(|thread| thread.note_wake(at, task));
}

/// A thread that works for a runtime: until this is dropped, it wakes others in that role, and its
/// wakes are noted on its lane.
#[must_use = "the thread is at work only as long as the guard lives"]
pub struct AtWork {
    role: WakeCause,
    lane: Option<Arc<Lane>>,
    /// Hides what is current outside of the runtime.
    no_context: Option<ContextGuard>,
}

impl AtWork {
    /// The thread is no worker: each poll attaches a context of its own.
    pub(super) fn begin(role: WakeCause, lane: Option<Arc<Lane>>) -> AtWork {
        AtWork {
            role: set_role(role),
            lane: set_lane(lane),
            no_context: None,
        }
    }

    /// The thread is a worker now, whose polls rely on that nothing is current between them. On one
    /// that is inside of a `block_on` the caller may have attached something.
    pub(super) fn begin_worker(role: WakeCause, lane: Option<Arc<Lane>>) -> AtWork {
        let mut at_work = AtWork::begin(role, lane);
        at_work.no_context = tls::is_alive().then(|| Context::new().attach());
        at_work
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        set_role(self.role);
        set_lane(self.lane.take());
        self.no_context = None;
    }
}

fn set_role(role: WakeCause) -> WakeCause {
    THREAD.with(|thread| thread.role.replace(role))
}

/// Changes the lane of this thread, which has one writer at a time: when a worker moves to another
/// thread, its lane goes with it.
pub(super) fn set_lane(lane: Option<Arc<Lane>>) -> Option<Arc<Lane>> {
    let lane = lane.map_or(ptr::null(), Arc::into_raw);
    let before = THREAD.with(|thread| thread.lane.replace(lane));
    // SAFETY: what is in the cell came out of `into_raw` above, and is taken out of it once.
    (!before.is_null()).then(|| unsafe { Arc::from_raw(before) })
}
