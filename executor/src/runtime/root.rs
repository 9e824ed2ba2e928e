//! The future of a `block_on`: a process that is no task, on the stack of the thread that blocks.

use std::future::Future;
use std::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use telemetry_rt_reactor::leaf;
use telemetry_rt_telemetry::record::{
    Ending, Lineage, Meta, ProcessType, Recorder, Scribe, Spawning, TaskRecord, WakeStamp,
    outcome_of,
};

use crate::sync::{AtomicBool, Ordering};
use crate::task::{Id, panic_message};

/// Whether the root was woken. Shared with its wakers, which may outlive it.
#[derive(Debug)]
pub(super) struct RootSignal {
    woken: AtomicBool,
    ready: WakeStamp,
}

impl RootSignal {
    /// Notes a wake. `true` if it is the first since the last poll.
    pub(super) fn set(&self) -> bool {
        // Relaxed: the swap below decides, this only keeps the first wake's stamp.
        if !self.woken.load(Ordering::Relaxed) {
            self.ready.woken();
        }
        // Release: the poller sees what it is woken for.
        !self.woken.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_set(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

/// The account of a root future.
pub(super) struct Root {
    record: TaskRecord,
    scribe: Scribe,
    id: Id,
}

impl Root {
    pub(super) fn new<F: Future>(
        recorder: &Recorder,
        site: &'static Location<'static>,
    ) -> (Root, RootSignal) {
        let record = recorder.spawned(Spawning {
            meta: const { &Meta::of::<F, F::Output>(ProcessType::Future) },
            name: None,
            site,
            lineage: Lineage::Inherit,
        });
        let signal = RootSignal {
            woken: AtomicBool::new(true),
            ready: record.first_wake(),
        };
        let root = Root {
            record,
            scribe: recorder.other(None),
            id: Id::next(),
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
        if !signal.take() {
            return Poll::Pending;
        }
        let poll = self.scribe.poll_started(&mut self.record, &signal.ready);
        let outer = leaf::begin_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.poll(&mut Context::from_waker(waker))
        }));
        leaf::end_poll(outer);
        self.scribe.poll_ended(poll, &mut self.record, 1);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                self.end(Ending::Returned(outcome_of(&output)));
                Poll::Ready(output)
            }
            Err(payload) => {
                let message = panic_message(&*payload).unwrap_or("Box<dyn Any>");
                self.end(Ending::Panicked(message));
                resume_unwind(payload)
            }
        }
    }

    fn end(&mut self, ending: Ending<'_>) {
        let left = self
            .scribe
            .ended(&mut self.record, self.id.number(), ending);
        drop(left);
    }
}
