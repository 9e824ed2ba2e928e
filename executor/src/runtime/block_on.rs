//! Running one future to its end on the calling thread.
//!
//! On a multi-thread runtime the thread only polls its own future, and sleeps between polls. On a
//! current-thread runtime it also is the worker. When several threads block on a current-thread
//! runtime, one of them is the worker and the others poll their own future; when the worker's
//! future ends, one of the others takes its place.

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use super::config::RuntimeFlavor;
use super::context::{self, Driving};
use super::handle::Handle;
use super::root::{Root, RootSignal};
use super::seat::{self, Role, Seat};
use crate::scheduler::{Core, WorkerThread};

/// Polls `future` on this thread, which does nothing else.
#[track_caller]
pub(crate) fn on_this_thread<F: Future>(
    handle: &Handle,
    future: F,
    site: &'static Location<'static>,
) -> F::Output {
    let _driving = context::start_driving(driving_of(handle));
    let shared = handle.shared();
    let poll_until_ready = |seat: &Seat| {
        let mut root = Root::new::<F>(shared, seat, site);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = root.poll(future.as_mut()) {
                return output;
            }
            while !seat.signal().is_set() {
                thread::park();
            }
        }
    };
    context::within(handle, || {
        seat::with(shared, Role::Onlooker, poll_until_ready)
    })
}

fn driving_of(handle: &Handle) -> Driving {
    match handle.runtime_flavor() {
        RuntimeFlavor::CurrentThread => Driving::BlockOn,
        RuntimeFlavor::MultiThread => Driving::MultiThread,
    }
}

/// Polls `future` on this thread, which is also the worker of a current-thread runtime whenever
/// no other thread is.
#[track_caller]
pub(super) fn as_worker<F: Future>(
    handle: &Handle,
    future: F,
    site: &'static Location<'static>,
) -> F::Output {
    let _driving = context::start_driving(Driving::BlockOn);
    let shared = handle.shared();
    let work_until_ready = |seat: &Seat| {
        let mut root = Root::new::<F>(shared, seat, site);
        let mut future = pin!(future);
        loop {
            let mut poll = || root.poll(future.as_mut());
            let polled = match shared.take_core() {
                Some(core) => CoreOnLoan::new(handle, core).drive(seat.signal(), &mut poll),
                None => poll(),
            };
            if let Poll::Ready(output) = polled {
                return output;
            }
            shared.wait_for_core(|| seat.signal().is_set());
        }
    };
    context::within(handle, || {
        seat::with(shared, Role::Worker, work_until_ready)
    })
}

/// The core of a current-thread runtime while this thread is its worker. It goes back even when
/// the root future panics.
struct CoreOnLoan<'a> {
    handle: &'a Handle,
    core: Option<Core>,
}

impl<'a> CoreOnLoan<'a> {
    fn new(handle: &'a Handle, core: Core) -> CoreOnLoan<'a> {
        CoreOnLoan {
            handle,
            core: Some(core),
        }
    }

    /// Runs tasks and polls the root until that is done.
    fn drive<T>(mut self, signal: &RootSignal, poll: &mut dyn FnMut() -> Poll<T>) -> Poll<T> {
        let Some(core) = self.core.take() else {
            return Poll::Pending;
        };
        let (polled, core) = WorkerThread::enter(self.handle, core, |worker| {
            catch_unwind(AssertUnwindSafe(|| drive(worker, signal, poll)))
        });
        self.core = core;
        drop(self);
        match polled {
            Ok(output) => Poll::Ready(output),
            Err(payload) => resume_unwind(payload),
        }
    }
}

fn drive<T>(worker: &WorkerThread, signal: &RootSignal, poll: &mut dyn FnMut() -> Poll<T>) -> T {
    loop {
        if signal.is_set() {
            worker.found_work();
        }
        if let Poll::Ready(output) = worker.outside_of_tasks(&mut *poll) {
            return output;
        }
        if !worker.run_round() && !signal.is_set() {
            worker.sleep(|| signal.is_set());
        }
    }
}

impl Drop for CoreOnLoan<'_> {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            self.handle.shared().park_core(core);
        }
    }
}
