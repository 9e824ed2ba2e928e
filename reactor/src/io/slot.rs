//! One descriptor's readiness, and the wakers of those who wait for it.
//!
//! Who waits is of two kinds. `poll_*` methods have one place per direction, the last one who
//! asks is woken; futures such as `readable()` have a place each, as many as there are.
//!
//! No edge is lost between looking and waiting: whoever is about to wait looks once more under
//! the lock before leaving a waker, and the driver changes the word *before* it takes the lock
//! to collect wakers. Either the look sees the change, or the driver finds the waker.
//!
//! Wakers are cloned before the lock is taken, and woken or dropped after it was released: they
//! run code of others.

use super::interest::{Interest, Ready};
use super::kind::Kind;
use super::readiness::{Readiness, ReadyEvent, Shut};
use parking_lot::Mutex;
use slab::Slab;
use std::mem;
use std::task::{Context, Poll, Waker};

/// Which of the two places a `poll_*` method waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    #[inline]
    fn answers(self) -> Ready {
        match self {
            Direction::Read => const { Interest::READABLE.answers() },
            Direction::Write => const { Interest::WRITABLE.answers() },
        }
    }
}

/// One descriptor.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    kind: Kind,
    readiness: Readiness,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    reader: Option<Waker>,
    writer: Option<Waker>,
    futures: Slab<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    answers: Ready,
    /// `None` once it was woken, until its future is polled again.
    waker: Option<Waker>,
}

impl Slot {
    pub(crate) fn new(kind: Kind) -> Slot {
        Slot {
            kind,
            ..Slot::default()
        }
    }

    /// What is known now of what answers `interest`; it may be nothing.
    pub(crate) fn look(&self, interest: Interest) -> Result<ReadyEvent, Shut> {
        self.readiness.look(interest.answers())
    }

    /// See [`Readiness::forget`].
    pub(crate) fn forget(&self, event: ReadyEvent) {
        self.readiness.forget(event, self.kind.is_final());
    }

    /// Waits in the one place of `direction`.
    #[inline]
    pub(crate) fn poll_direction(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<Result<ReadyEvent, Shut>> {
        match self.answer(direction.answers()) {
            Some(answer) => Poll::Ready(answer),
            None => self.wait_in_direction(cx, direction),
        }
    }

    fn wait_in_direction(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<Result<ReadyEvent, Shut>> {
        self.look_or_wait(cx, direction.answers(), |waiters, waker| {
            waiters.place(direction).replace(waker)
        })
    }

    /// Waits in the place `key` of a future, which it gets with the first wait.
    pub(crate) fn poll_future(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        key: &mut Option<usize>,
    ) -> Poll<Result<ReadyEvent, Shut>> {
        let answers = interest.answers();
        if let Some(answer) = self.answer(answers) {
            return Poll::Ready(answer);
        }
        self.look_or_wait(cx, answers, |waiters, waker| match *key {
            Some(key) => waiters.futures[key].waker.replace(waker),
            None => {
                *key = Some(waiters.futures.insert(Waiter {
                    answers,
                    waker: Some(waker),
                }));
                None
            }
        })
    }

    /// The future that waited in place `key` is gone.
    pub(crate) fn leave(&self, key: usize) {
        let waiter = self.waiters.lock().futures.remove(key);
        drop(waiter);
    }

    /// Nobody will use the `poll_*` methods any more.
    pub(crate) fn drop_wakers(&self) {
        let mut waiters = self.waiters.lock();
        let wakers = (waiters.reader.take(), waiters.writer.take());
        drop(waiters);
        drop(wakers);
    }

    /// The operating system reported `ready`: adds to `wakers` those to be woken.
    pub(crate) fn arrived(&self, ready: Ready, wakers: &mut Vec<Waker>) {
        let ready = self.kind.meaning_of(ready);
        self.readiness.add(ready);
        self.waiters.lock().collect(ready, wakers);
    }

    /// The reactor is being shut down: adds to `wakers` those to be woken.
    pub(crate) fn shut(&self, wakers: &mut Vec<Waker>) {
        self.readiness.shut();
        self.waiters.lock().collect(Ready::ALL, wakers);
    }

    /// Waits, unless a last look under the lock finds that there is no need to.
    fn look_or_wait(
        &self,
        cx: &mut Context<'_>,
        answers: Ready,
        wait: impl FnOnce(&mut Waiters, Waker) -> Option<Waker>,
    ) -> Poll<Result<ReadyEvent, Shut>> {
        let waker = cx.waker().clone();
        let mut waiters = self.waiters.lock();
        if let Some(answer) = self.answer(answers) {
            drop(waiters);
            return Poll::Ready(answer);
        }
        let replaced = wait(&mut waiters, waker);
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }

    #[inline]
    fn answer(&self, answers: Ready) -> Option<Result<ReadyEvent, Shut>> {
        match self.readiness.look(answers) {
            Ok(event) if event.ready.is_empty() => None,
            answer => Some(answer),
        }
    }
}

impl Waiters {
    fn place(&mut self, direction: Direction) -> &mut Option<Waker> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    fn collect(&mut self, ready: Ready, wakers: &mut Vec<Waker>) {
        for direction in [Direction::Read, Direction::Write] {
            if !(direction.answers() & ready).is_empty() {
                wakers.extend(self.place(direction).take());
            }
        }
        for (_, waiter) in &mut self.futures {
            if !(waiter.answers & ready).is_empty() {
                wakers.extend(mem::take(&mut waiter.waker));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wake_all(slot: &Slot, ready: Ready) {
        let mut wakers = Vec::new();
        slot.arrived(ready, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn every_waiter_of_an_interest_is_woken_and_no_other() {
        let (slot, readers, writers): (_, Arc<Counts>, Arc<Counts>) =
            (Slot::default(), Arc::default(), Arc::default());
        let (read_waker, write_waker): (Waker, Waker) =
            (Arc::clone(&readers).into(), Arc::clone(&writers).into());
        let mut keys = [None; 4];
        for key in &mut keys[..3] {
            let mut cx = Context::from_waker(&read_waker);
            assert!(
                slot.poll_future(&mut cx, Interest::READABLE, key)
                    .is_pending()
            );
        }
        let mut cx = Context::from_waker(&write_waker);
        assert!(
            slot.poll_future(&mut cx, Interest::WRITABLE, &mut keys[3])
                .is_pending()
        );
        wake_all(&slot, Ready::READABLE);
        let counted = |counts: &Arc<Counts>| counts.0.load(Ordering::Relaxed);
        assert_eq!((counted(&readers), counted(&writers)), (3, 0));
    }

    #[test]
    fn the_last_one_who_polls_a_direction_is_woken_and_the_other_waker_is_dropped() {
        let (slot, first, last): (_, Arc<Counts>, Arc<Counts>) =
            (Slot::default(), Arc::default(), Arc::default());
        for counts in [&first, &last] {
            let waker: Waker = Arc::clone(counts).into();
            let mut cx = Context::from_waker(&waker);
            assert!(slot.poll_direction(&mut cx, Direction::Read).is_pending());
        }
        assert_eq!(Arc::strong_count(&first), 1);
        wake_all(&slot, Ready::READABLE);
        assert_eq!(last.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn wakers_of_a_resource_that_is_gone_are_dropped() {
        let (slot, counts): (_, Arc<Counts>) = (Slot::default(), Arc::default());
        let waker: Waker = Arc::clone(&counts).into();
        let mut key = None;
        let mut cx = Context::from_waker(&waker);
        assert!(slot.poll_direction(&mut cx, Direction::Write).is_pending());
        assert!(
            slot.poll_future(&mut cx, Interest::READABLE, &mut key)
                .is_pending()
        );
        drop(waker);
        assert_eq!(Arc::strong_count(&counts), 3);
        slot.drop_wakers();
        slot.leave(key.expect("it waited"));
        assert_eq!(Arc::strong_count(&counts), 1);
    }
}
