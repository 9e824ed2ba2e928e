//! Blocking on the thread that runs a worker, without stopping the worker.

use crate::runtime::context::{self, Driving};
use crate::runtime::{Handle, RuntimeFlavor};
use crate::scheduler::WorkerThread;
use telemetry_rt_reactor::leaf;

/// Runs a function that blocks, on this thread, after having moved the worker that ran here to
/// another thread: the other tasks of the worker go on.
///
/// Within the function `block_on` is allowed and the cooperative budget is off. Outside of a
/// runtime the function is just called.
///
/// Cost: a wake-up of a thread of the blocking pool, or the start of one.
///
/// # Panics
///
/// On a current-thread runtime, which has no other thread to go on with; and if `function` panics.
#[track_caller]
pub fn block_in_place<R>(function: impl FnOnce() -> R) -> R {
    match context::driving() {
        Driving::Nothing => return function(),
        Driving::MultiThread => {}
        Driving::BlockOn => panic!(
            "can call blocking only when running on the multi-threaded runtime: \
             `block_in_place` was called on a current-thread runtime"
        ),
    }
    WorkerThread::with_current(|worker| {
        if let Some(worker) = worker {
            hand_over(worker);
        }
    });
    let _not_driving = context::stop_driving();
    leaf::without_budget(function)
}

/// Gives the worker to another thread. If there is no other, the function blocks this one.
fn hand_over(worker: &WorkerThread) {
    let Ok(handle) = Handle::try_current() else {
        return;
    };
    debug_assert_eq!(handle.runtime_flavor(), RuntimeFlavor::MultiThread);
    let Some(core) = worker.give_core_away() else {
        return;
    };
    if let Err(core) = handle.blocking().run_worker(&handle, core) {
        worker.take_core_back(core);
    }
}
