//! What a thread knows of itself while it works for a runtime: what time it is, whose poll is in
//! progress, and which lane of the flight recorder is its own.
//!
//! All of it is thread-local and cheap to read, because it is asked at each wake and each spawn.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use opentelemetry::{Context, ContextGuard};
use telemetry_rt_clock::{Ticks, ticks};

use super::lane::Lane;
use super::tls;
use crate::record::WakeCause;

/// The poll in progress on a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polling {
    /// The process, as in `task::Id`; zero when there is no poll.
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

/// A [`Polling`] in cells of their own: they are written and read one by one, which lets a reader
/// have each number straight from the store before. As one value of 40 bytes they would be copied
/// with wide moves, which have to wait for the narrow stores: 8 ns for each poll.
struct PollingCells {
    task: Cell<u64>,
    span_id: Cell<u64>,
    spawned: Cell<Ticks>,
    children: Cell<u32>,
    cause: Cell<WakeCause>,
}

impl PollingCells {
    const fn nothing() -> PollingCells {
        PollingCells {
            task: Cell::new(0),
            span_id: Cell::new(0),
            spawned: Cell::new(Ticks(0)),
            children: Cell::new(0),
            cause: Cell::new(WakeCause::Foreign),
        }
    }

    #[inline]
    fn get(&self) -> Polling {
        Polling {
            task: self.task.get(),
            span_id: self.span_id.get(),
            spawned: self.spawned.get(),
            children: self.children.get(),
            cause: self.cause.get(),
        }
    }

    #[inline]
    fn replace(&self, polling: Polling) -> Polling {
        let before = self.get();
        self.task.set(polling.task);
        self.span_id.set(polling.span_id);
        self.spawned.set(polling.spawned);
        self.children.set(polling.children);
        self.cause.set(polling.cause);
        before
    }
}

thread_local! {
    /// The clock of the worker that this thread is; zero on all other threads, and on a worker
    /// while it is idle.
    static WORKER_NOW: Cell<Ticks> = const { Cell::new(Ticks(0)) };
    static POLLING: PollingCells = const { PollingCells::nothing() };
    /// As what the thread wakes others outside of polls.
    static ROLE: Cell<WakeCause> = const { Cell::new(WakeCause::Foreign) };
    static LANE: RefCell<Option<Arc<Lane>>> = const { RefCell::new(None) };
}

/// What time it is for a wake on this thread.
#[inline]
pub(super) fn now() -> Ticks {
    match WORKER_NOW.get() {
        Ticks(0) => ticks(),
        now => now,
    }
}

#[inline]
pub(super) fn set_worker_now(now: Ticks) {
    WORKER_NOW.set(now);
}

/// Whether the thread is a worker, in the middle of its work.
#[inline]
pub(super) fn is_working() -> bool {
    WORKER_NOW.get() != Ticks(0)
}

#[inline]
pub(super) fn polling() -> Polling {
    POLLING.with(PollingCells::get)
}

/// Makes a poll the one in progress, and returns the one further out.
#[inline]
pub(super) fn begin_poll(polling: Polling) -> Polling {
    POLLING.with(|cells| cells.replace(polling))
}

/// Counts a process that is spawned below the span of the poll in progress.
pub(super) fn count_child() {
    POLLING.with(|cells| cells.children.set(cells.children.get().saturating_add(1)));
}

/// As what this thread wakes others now.
#[inline]
pub(super) fn cause() -> WakeCause {
    POLLING.with(|cells| match cells.task.get() {
        0 => ROLE.get(),
        _ => cells.cause.get(),
    })
}

/// Notes on the lane of this thread, if it has one, that it has woken a process.
#[inline]
pub(super) fn note_wake(at: Ticks, task: impl FnOnce() -> u64) {
    // The key may be gone when a destructor of another thread-local wakes a task.
    let _ = LANE.try_with(|lane| {
        if let Ok(lane) = lane.try_borrow()
            && let Some(lane) = &*lane
        {
            lane.woke(at, task());
        }
    });
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
            role: ROLE.replace(role),
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
        ROLE.set(self.role);
        set_lane(self.lane.take());
        self.no_context = None;
    }
}

/// Changes the lane of this thread, which has one writer at a time: when a worker moves to another
/// thread, its lane goes with it.
pub(super) fn set_lane(lane: Option<Arc<Lane>>) -> Option<Arc<Lane>> {
    LANE.try_with(|place| place.replace(lane)).ok().flatten()
}
