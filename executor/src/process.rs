//! A process within another one: a future that is polled by whoever awaits it, and has an account
//! and a span of its own all the same.
//!
//! ```text
//!   task's poll:   ──busy──┬───────────────┬──busy──
//!   process:               └─ poll (busy) ─┘
//! ```
//!
//! It has no waker: what wakes it wakes its task. So it is never *scheduled*: from the end of one
//! poll to the start of the next it is idle, for the reason that its own leaves gave. The cells of
//! those leaves stay those of the task's poll: its budget is spent, its reason is said.
//!
//! It begins with its first poll, so that its span hangs below that of the task that polls it, and
//! not of the one that made the future and gave it to `spawn`.

use std::future::Future;
use std::panic::{
    AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind,
};
use std::task::Poll;

use telemetry_rt_reactor::leaf::{self, Left};
use telemetry_rt_telemetry::record::{
    Account, Ending, Lineage, Meta, Outcome, PollEnd, PollGuard, ProcessType, Recorder, Scribe,
    Spawning, Waiting,
};

use crate::runtime::context;
use crate::task::{Id, panic_message, waiting_of};

/// The account of a future that is a process of its own, or nothing if it is none.
///
/// Whoever owns the future owns this beside it, hands each poll to [`poll`](Self::poll), and the
/// drop of the future to [`cancel`](Self::cancel).
#[derive(Debug)]
pub struct FutureProcess(Option<Box<Traced>>);

#[derive(Debug)]
struct Traced {
    recorder: Recorder,
    meta: &'static Meta,
    site: &'static Location<'static>,
    id: Id,
    /// From the first poll on.
    account: Option<Account>,
}

// Users' code that panics does so within `catch_unwind`, and what it was doing is then over.
impl UnwindSafe for FutureProcess {}
impl RefUnwindSafe for FutureProcess {}

impl FutureProcess {
    /// What `F` is in the current runtime: a process of its own, if that traces such futures now.
    /// `site` is the line that makes it one.
    ///
    /// Cost: one load beside the look at the current runtime; an allocation if it is traced.
    #[inline]
    pub fn of<F: Future>(site: &'static Location<'static>) -> FutureProcess {
        let meta = const { &Meta::of::<F, F::Output>(ProcessType::Future) };
        let traced = context::with_current(|handle| {
            let recorder = handle.recorder();
            let is_traced = recorder.traces_futures();
            is_traced.then(|| Traced::new(recorder, meta, site))
        });
        FutureProcess(traced.flatten().flatten())
    }

    /// Polls the future by `poll`, in its own context; `outcome` tells how it ended.
    #[inline]
    pub fn poll<T>(
        &mut self,
        poll: impl FnOnce() -> Poll<T>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Poll<T> {
        match self.0.take() {
            None => poll(),
            Some(traced) => self.poll_traced(traced, poll, outcome),
        }
    }

    #[cold]
    fn poll_traced<T>(
        &mut self,
        mut traced: Box<Traced>,
        poll: impl FnOnce() -> Poll<T>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Poll<T> {
        let turn = traced.start();
        match catch_unwind(AssertUnwindSafe(|| leaf::within_poll(poll))) {
            Ok((Poll::Pending, waiting)) => {
                turn.pend(&mut traced, waiting);
                self.0 = Some(traced);
                Poll::Pending
            }
            Ok((Poll::Ready(output), _)) => {
                let ending = Ending::Returned(outcome(&output));
                turn.end(*traced, ending);
                Poll::Ready(output)
            }
            Err(payload) => {
                let message = panic_message(&*payload).unwrap_or("Box<dyn Any>");
                turn.end(*traced, Ending::Panicked(message));
                resume_unwind(payload)
            }
        }
    }

    /// Drops the future by `drop_future`, in its own context. It is cancelled, if it has not ended.
    #[inline]
    pub fn cancel(&mut self, drop_future: impl FnOnce()) {
        match self.0.take() {
            None => drop_future(),
            Some(traced) => cancel_traced(*traced, drop_future),
        }
    }
}

#[cold]
fn cancel_traced(mut traced: Traced, drop_future: impl FnOnce()) {
    let turn = traced.start();
    let dropped = catch_unwind(AssertUnwindSafe(drop_future));
    turn.end_cancelled(traced);
    if let Err(payload) = dropped {
        resume_unwind(payload);
    }
}

impl Traced {
    #[cold]
    fn new(
        recorder: &Recorder,
        meta: &'static Meta,
        site: &'static Location<'static>,
    ) -> Option<Box<Traced>> {
        let traced = || Traced {
            recorder: recorder.clone(),
            meta,
            site,
            id: Id::next(),
            account: None,
        };
        recorder.is_recording().then(|| Box::new(traced()))
    }

    fn account(&mut self) -> &mut Account {
        self.account.get_or_insert_with(|| {
            self.recorder.spawned(Spawning {
                meta: self.meta,
                name: None,
                site: self.site,
                lineage: Lineage::Inherit,
            })
        })
    }

    /// Makes the context of the process current.
    fn start(&mut self) -> Turn {
        let scribe = self.recorder.other();
        let id = self.id.number();
        let process = &mut self.account().process(id, ProcessType::Future);
        let mut poll = PollGuard::default();
        scribe.poll_reached(&mut poll, process);
        Turn { scribe, poll }
    }
}

/// A poll of the process, or its drop, from start to end on one thread.
struct Turn {
    scribe: Scribe,
    poll: PollGuard,
}

impl Turn {
    fn pend(self, traced: &mut Traced, waiting: leaf::Waiting) {
        let left = Left {
            waiting,
            ..Left::default()
        };
        let _scribe = self.close(traced, Some(waiting_of(left)));
    }

    fn end(self, mut traced: Traced, ending: Ending<'_>) {
        let scribe = self.close(&mut traced, None);
        let id = traced.id.number();
        let process = &mut traced.account().process(id, ProcessType::Future);
        drop(scribe.ended(process, ending));
    }

    fn end_cancelled(mut self, mut traced: Traced) {
        let id = traced.id.number();
        let process = &mut traced.account().process(id, ProcessType::Future);
        self.scribe.drop_ended(&mut self.poll, process);
        drop(self.scribe.ended(process, Ending::Cancelled));
    }

    /// Ends the poll, and gives the pen back. That the task was made to yield is told of the task.
    fn close(mut self, traced: &mut Traced, waiting: Option<Waiting>) -> Scribe {
        let end = PollEnd {
            wakes: 1,
            waiting,
            exhausted: false,
        };
        let id = traced.id.number();
        let process = &mut traced.account().process(id, ProcessType::Future);
        self.scribe.poll_ended(&mut self.poll, process, end);
        self.scribe
    }
}
