//! A function as a task: a future that is ready at its first poll, on a thread of the pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use telemetry_rt_reactor::leaf;
use telemetry_rt_telemetry::record::ProcessType;

use crate::registry::Registry;
use crate::task::{Notified, Schedule, Slot};

/// Calls its function when polled.
pub(crate) struct BlockingFunction<F> {
    function: Option<F>,
}

impl<F> BlockingFunction<F> {
    pub(crate) fn new(function: F) -> BlockingFunction<F> {
        BlockingFunction {
            function: Some(function),
        }
    }
}

// The function is moved out before it is called; it is never pinned.
impl<F> Unpin for BlockingFunction<F> {}

impl<F: FnOnce() -> R, R> Future for BlockingFunction<F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<R> {
        let function = self.function.take();
        let function = function.expect("a function on the blocking pool is called once");
        // A thread of the pool has nobody to make room for.
        Poll::Ready(leaf::without_budget(function))
    }
}

/// The scheduler of tasks that need none: they are woken once, when they are spawned, and are
/// done after one poll. It knows the registry in which they are listed while they live.
#[derive(Clone, Debug)]
pub(crate) struct Detached {
    registry: Arc<Registry>,
}

impl Detached {
    pub(crate) fn new(registry: Arc<Registry>) -> Detached {
        Detached { registry }
    }
}

impl Schedule for Detached {
    const PROCESS_TYPE: ProcessType = ProcessType::Blocking;

    fn schedule(&self, _task: Notified) {
        unreachable!("a task that is awake from its spawn to its end is never idle");
    }

    fn schedule_again(&self, _task: Notified) {
        unreachable!("a blocking function is never pending");
    }

    fn release(&self, slot: Slot) {
        self.registry.remove(slot);
    }
}
