//! Blocking on the thread that runs a worker, without stopping the worker.

use telemetry_rt_reactor::leaf;

use crate::runtime::context::{self, Driving};
use crate::scheduler::WorkerThread;

/// Runs a function that blocks, on this thread, after having moved the worker that ran here to
/// another thread: the other tasks of the worker go on.
///
/// Within the function `block_on` is allowed and the cooperative budget is off. Outside of a
/// runtime the function is just called.
///
/// Cost: the start of a thread. When the operating system refuses one, the function blocks the
/// worker.
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
            worker.move_away();
        }
    });
    let _not_driving = context::stop_driving();
    leaf::without_budget(function)
}
