//! The future of a `block_on`: a process that is no task, on the stack of the thread that blocks.

use std::future::Future;
use std::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;

use telemetry_rt_reactor::leaf;
use telemetry_rt_telemetry::record::{
    Account, Ending, Lineage, Meta, PollEnd, PollGuard, Process, ProcessType, Recorder, Spawning,
    TaskDetail, TaskRecord, TaskScope, TaskView, Viewer, WakeCause, WakeStamp, outcome_of,
};

use super::pens::LentPen;
use super::seat::Seat;
use super::shown::Shown;
use super::wakes::Wakes;
use crate::registry::Live;
use crate::scheduler::Shared;
use crate::sync::{AtomicU64, Ordering};
use crate::task::{Id, panic_message, waiting_of, waking_reactor};

/// What of a root its wakers and those who look on may touch. It may outlive the root, and be that of
/// the next one on the same thread: see `seat`.
pub(super) struct RootSignal {
    wakes: Wakes,
    /// Whose `ready`, `record` and `detail` are to be seen. There may be wakers though nobody is.
    shown: Shown,
    ready: WakeStamp,
    record: TaskRecord,
    detail: TaskDetail,
    /// The number of the root, also when it has ended.
    id: AtomicU64,
    sleeper: Sleeper,
}

/// Who sleeps until the root is woken.
pub(super) enum Sleeper {
    /// A thread that has nothing else to do.
    Thread(Thread),
    /// The worker of a current-thread runtime.
    Worker(Weak<Shared>),
}

impl Sleeper {
    fn wake(&self) {
        match self {
            Sleeper::Thread(thread) => thread.unpark(),
            Sleeper::Worker(shared) => {
                // A runtime that is gone polls no root.
                if let Some(shared) = shared.upgrade() {
                    shared.wake_root();
                }
            }
        }
    }
}

impl Wake for RootSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.set() {
            self.sleeper.wake();
        }
    }
}

impl RootSignal {
    /// A signal that is that of no root yet.
    pub(super) fn new(sleeper: Sleeper) -> RootSignal {
        let account = Account::unrecorded();
        RootSignal {
            wakes: Wakes::new(),
            shown: Shown::nobody(),
            ready: account.first_wake(),
            record: account.record,
            detail: account.detail,
            id: AtomicU64::new(0),
            sleeper,
        }
    }

    /// Lists it among what is to be seen of the runtime.
    pub(super) fn list(self: &Arc<Self>, shared: &Shared) {
        if Recorder::IS_SEEN {
            let live: Weak<RootSignal> = Arc::downgrade(self);
            shared.bystanders().add(live);
        }
    }

    /// It is that of this root from now on, which is to be polled. Nobody has a waker of the one before.
    fn begin(&self, id: Id, account: &Account) {
        self.shown.begin(id.number(), || {
            self.wakes.begin();
            // Relaxed: whoever wakes the root gets the waker from this thread.
            self.id.store(id.number(), Ordering::Relaxed);
            account.renew(&self.ready, &self.record, &self.detail);
        });
    }

    /// Notes a wake. `true` if it is the first since the last poll.
    fn set(&self) -> bool {
        // Only keeps the first wake's stamp.
        if self.wakes.seem_to_be_none() {
            // Relaxed: whoever has a waker got it after the number was written.
            let id = || self.id.load(Ordering::Relaxed);
            self.ready.woken(id, waking_reactor);
        }
        self.wakes.add()
    }

    pub(super) fn is_set(&self) -> bool {
        self.wakes.are_any()
    }

    pub(super) fn end(&self) {
        self.shown.end();
    }
}

impl Live for RootSignal {
    fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        into.extend(self.shown.look(|id| {
            let is_awake = self.is_set() || viewer.is_running(&self.detail);
            viewer.view(id, is_awake, (&self.record, &self.detail, &self.ready))
        }));
    }
}

/// The part of a root that belongs to the thread that polls it.
pub(super) struct Root<'a> {
    seat: &'a Seat,
    id: u64,
    scope: TaskScope,
    scribe: LentPen<'a>,
    was_polled: bool,
}

impl<'a> Root<'a> {
    pub(super) fn new<F: Future>(
        shared: &'a Shared,
        seat: &'a Seat,
        site: &'static Location<'static>,
    ) -> Root<'a> {
        let recorder = shared.recorder();
        let account = recorder.spawned(Spawning {
            meta: const { &Meta::of::<F, F::Output>(ProcessType::Future) },
            name: None,
            site,
            lineage: Lineage::Inherit,
        });
        let id = Id::next();
        seat.signal().begin(id, &account);
        Root {
            seat,
            id: id.number(),
            scope: account.scope,
            scribe: shared.pens().lend(recorder, seat.pen()),
            was_polled: false,
        }
    }

    /// Polls the future, if it was woken.
    pub(super) fn poll<F: Future>(&mut self, future: Pin<&mut F>) -> Poll<F::Output> {
        let signal = self.seat.signal();
        let wakes = match std::mem::replace(&mut self.was_polled, true) {
            true => signal.wakes.take(),
            false => signal.wakes.take_first(),
        };
        if wakes == 0 {
            return Poll::Pending;
        }
        let scribe = &self.scribe;
        let process = &mut process(self.id, signal, &mut self.scope);
        let at_work = scribe.at_work(WakeCause::Task);
        let mut poll = PollGuard::default();
        scribe.poll_started(&mut poll, process, &signal.ready);
        let outer = leaf::begin_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.poll(&mut Context::from_waker(self.seat.waker()))
        }));
        let left = leaf::end_poll(outer);
        let end = PollEnd {
            wakes: u32::try_from(wakes).unwrap_or(u32::MAX),
            waiting: matches!(polled, Ok(Poll::Pending)).then(|| waiting_of(left)),
            exhausted: left.exhausted,
        };
        scribe.poll_ended(&mut poll, process, end);
        drop(at_work);
        if !matches!(polled, Ok(Poll::Pending)) {
            signal.end();
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                drop(scribe.ended(process, Ending::Returned(outcome_of(&output))));
                Poll::Ready(output)
            }
            Err(payload) => {
                let message = panic_message(&*payload).unwrap_or("Box<dyn Any>");
                drop(scribe.ended(process, Ending::Panicked(message)));
                resume_unwind(payload)
            }
        }
    }
}

fn process<'a>(id: u64, signal: &'a RootSignal, scope: &'a mut TaskScope) -> Process<'a> {
    Process {
        id,
        process_type: ProcessType::Future,
        record: &signal.record,
        detail: &signal.detail,
        scope,
    }
}
