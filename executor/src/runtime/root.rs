//! The future of a `block_on`: a process that is no task, on the stack of the thread that blocks.

use std::future::Future;
use std::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use telemetry_rt_reactor::leaf;
use telemetry_rt_telemetry::record::{
    Ending, Lineage, Meta, PollEnd, PollGuard, Process, ProcessType, Recorder, Scribe, Spawning,
    TaskDetail, TaskRecord, TaskScope, TaskView, Viewer, WakeCause, WakeStamp, outcome_of,
};

use crate::registry::Live;
use crate::scheduler::Shared;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::task::{Id, panic_message, waiting_of, waking_reactor};

/// What of a root its wakers and those who look on may touch; it may outlive the root.
#[derive(Debug)]
pub(super) struct RootSignal {
    /// Wakes that no poll has answered yet.
    wakes: AtomicU64,
    /// Whoever keeps a waker keeps this, too.
    ended: AtomicBool,
    ready: WakeStamp,
    record: TaskRecord,
    detail: TaskDetail,
    id: Id,
}

impl RootSignal {
    /// Notes a wake. `true` if it is the first since the last poll.
    pub(super) fn set(&self) -> bool {
        // Relaxed: the addition below decides, this only keeps the first wake's stamp.
        if self.wakes.load(Ordering::Relaxed) == 0 {
            self.ready.woken(|| self.id.number(), waking_reactor);
        }
        // Release: the poller sees what it is woken for.
        self.wakes.fetch_add(1, Ordering::AcqRel) == 0
    }

    pub(super) fn is_set(&self) -> bool {
        self.wakes.load(Ordering::Acquire) > 0
    }

    /// How often it was woken since this was asked last.
    fn take(&self) -> u64 {
        self.wakes.swap(0, Ordering::AcqRel)
    }

    fn end(&self) {
        // Relaxed: told to people only.
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Live for RootSignal {
    fn view(&self, viewer: &Viewer, into: &mut Vec<TaskView>) {
        // Relaxed: as in `end`.
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let is_awake = self.is_set() || viewer.is_running(&self.detail);
        let parts = (&self.record, &self.detail, &self.ready);
        into.push(viewer.view(self.id.number(), is_awake, parts));
    }
}

/// The part of a root that belongs to the thread that polls it.
pub(super) struct Root {
    scope: TaskScope,
    scribe: Scribe,
}

impl Root {
    pub(super) fn new<F: Future>(
        shared: &Shared,
        site: &'static Location<'static>,
    ) -> (Root, Arc<RootSignal>) {
        let recorder = shared.recorder();
        let account = recorder.spawned(Spawning {
            meta: const { &Meta::of::<F, F::Output>(ProcessType::Future) },
            name: None,
            site,
            lineage: Lineage::Inherit,
        });
        let signal = Arc::new(RootSignal {
            wakes: AtomicU64::new(1),
            ended: AtomicBool::new(false),
            ready: account.first_wake(),
            record: account.record,
            detail: account.detail,
            id: Id::next(),
        });
        if Recorder::IS_SEEN {
            let live: Weak<RootSignal> = Arc::downgrade(&signal);
            shared.bystanders().add(live);
        }
        let root = Root {
            scope: account.scope,
            scribe: recorder.block_on(),
        };
        (root, signal)
    }

    /// Polls the future, if it was woken.
    pub(super) fn poll<F: Future>(
        &mut self,
        future: Pin<&mut F>,
        signal: &RootSignal,
        waker: &Waker,
    ) -> Poll<F::Output> {
        let wakes = signal.take();
        if wakes == 0 {
            return Poll::Pending;
        }
        let Root { scope, scribe } = self;
        let process = &mut process(signal, scope);
        let at_work = scribe.at_work(WakeCause::Task);
        let mut poll = PollGuard::default();
        scribe.poll_started(&mut poll, process, &signal.ready);
        let outer = leaf::begin_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.poll(&mut Context::from_waker(waker))
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

fn process<'a>(signal: &'a RootSignal, scope: &'a mut TaskScope) -> Process<'a> {
    Process {
        id: signal.id.number(),
        process_type: ProcessType::Future,
        record: &signal.record,
        detail: &signal.detail,
        scope,
    }
}
