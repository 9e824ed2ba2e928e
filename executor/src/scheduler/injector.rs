//! The queue of tasks that come from outside, for any worker.
//!
//! A locked queue, because what comes from outside comes and is taken in batches: to take a
//! hundred tasks under one lock costs less than to take each of them by itself from a queue
//! without locks. Its length is beside the lock, for those who only want to know if there is any.

use std::collections::VecDeque;

use super::queue::Queue;
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(super) struct Injector<T> {
    /// As long as the queue; written with the lock held.
    len: AtomicU64,
    /// How often something was taken; written with the lock held.
    takes: AtomicU64,
    queue: Mutex<VecDeque<T>>,
}

impl<T: Send> Injector<T> {
    pub(super) fn new() -> Injector<T> {
        Injector {
            len: AtomicU64::new(0),
            takes: AtomicU64::new(0),
            queue: Mutex::new(VecDeque::new()),
        }
    }

    #[inline]
    pub(super) fn push(&self, value: T) {
        let mut queue = self.queue.lock();
        queue.push_back(value);
        self.tell_len(&queue);
    }

    pub(super) fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue.lock();
        let value = queue.pop_front();
        self.tell_take(&queue);
        value
    }

    /// Takes the share of one of so many workers: one task to run, the others into its queue.
    pub(super) fn take_share(&self, workers: usize, into: &Queue<T>) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue.lock();
        let share = queue.len().div_ceil(workers);
        let mut share = queue.drain(..share);
        let first = share.next();
        share.for_each(|value| into.push(value));
        self.tell_take(&queue);
        first
    }

    pub(super) fn len(&self) -> usize {
        // Acquire: who sees that tasks are gone sees them in the queue of the worker that took them.
        // Whoever must not miss a push has fenced, see `idle.md`.
        self.len.load(Ordering::Acquire) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that rises whenever something is taken; nothing if there is nothing to be taken.
    pub(super) fn progress(&self) -> Option<u64> {
        // Relaxed: out of date when it is read.
        (!self.is_empty()).then(|| self.takes.load(Ordering::Relaxed))
    }

    fn tell_take(&self, queue: &VecDeque<T>) {
        self.tell_len(queue);
        // Relaxed: for `progress` only. A store, because the lock is held.
        let takes = self.takes.load(Ordering::Relaxed);
        self.takes.store(takes + 1, Ordering::Relaxed);
    }

    /// To be called with the lock held, by whoever has changed the queue.
    fn tell_len(&self, queue: &VecDeque<T>) {
        // Release: as in `len`. To who takes them the tasks are passed on by the lock.
        self.len.store(queue.len() as u64, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_share_and_leaves_the_others_theirs() {
        let (injector, queue) = (Injector::new(), Queue::new(true));
        (0..10_usize).for_each(|number| injector.push(number));
        assert_eq!(injector.take_share(4, &queue), Some(0));
        assert_eq!(injector.len(), 7);
        let own: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(own, [1, 2]);
        assert_eq!(injector.pop(), Some(3));
        assert_eq!(injector.take_share(1, &queue), Some(4));
        assert!(injector.is_empty());
        assert_eq!(queue.stealer().len(), 5);
        assert_eq!(injector.take_share(1, &queue), None);
    }
}
