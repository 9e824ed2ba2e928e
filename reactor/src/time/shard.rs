//! One worker's wheel, its lock, and the word that lets others pass by without taking it.
//!
//! 1. The wheel is touched under the lock only. Everybody may: a sleep may be polled, reset and
//!    dropped on any thread.
//! 2. `next` is stored under the lock and read without it. It is never later than the earliest
//!    timer, and may be earlier when that one was removed.
//! 3. `fired` is stored under the lock and read without it. No timer of that tick or an earlier one
//!    is in the wheel: who waits for one need not look.
//! 4. Under the lock no waker is cloned, dropped or woken: it may run anybody's code.

use super::sync::{AtomicU64, Mutex, Ordering};
use super::wheel::{Key, Moved, NEVER, Wheel};
use crate::leaf::Waiting;
use crate::waking::wake_all;
use std::task::Waker;

/// How many wakers are taken out under one lock.
const BATCH: usize = 32;

pub(super) struct Shard {
    next: AtomicU64,
    fired: AtomicU64,
    locked: Mutex<Locked>,
}

struct Locked {
    wheel: Wheel<Waker>,
    /// Set by the shutdown: nothing is added from then on.
    closed: bool,
}

/// What became of a timer that was to be added. A waker that was not needed is given back, to be
/// dropped outside of the lock.
pub(super) enum Insert {
    Pending(Key),
    Due(Waker),
    Closed(Waker),
}

/// How a pending timer stands when its owner looks at it.
pub(super) enum Look {
    /// Pending, and the waker it has is as good as the one of this poll.
    Pending,
    /// Pending, with another waker.
    OtherWaker,
    /// Fired.
    Gone,
    /// Fired, or given up by the shutdown.
    Closed,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard {
            next: AtomicU64::new(NEVER),
            fired: AtomicU64::new(0),
            locked: Mutex::new(Locked {
                wheel: Wheel::new(),
                closed: false,
            }),
        }
    }

    /// A tick not later than that of the earliest timer.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        // Relaxed: who must not miss a store of another thread has put a fence before this
        // (see `wait`); to all others it is a hint.
        self.next.load(Ordering::Relaxed)
    }

    /// Whether all timers of `tick` have fired.
    #[inline]
    pub(super) fn has_fired(&self, tick: u64) -> bool {
        // Relaxed: that the tick has come stays true, and the caller touches nothing of the wheel.
        tick <= self.fired.load(Ordering::Relaxed)
    }

    /// Exactly the tick of the earliest timer. Cost: see [`Wheel::earliest_exactly`].
    pub(super) fn refresh_next(&self) -> u64 {
        let locked = self.locked.lock();
        self.set_next(locked.wheel.earliest_exactly())
    }

    pub(super) fn len(&self) -> u64 {
        self.locked.lock().wheel.len() as u64
    }

    pub(super) fn insert(&self, tick: u64, waker: Waker) -> Insert {
        let mut locked = self.locked.lock();
        if locked.closed {
            return Insert::Closed(waker);
        }
        match locked.wheel.insert(tick, waker) {
            Ok(key) => {
                self.lower_next(tick);
                Insert::Pending(key)
            }
            Err(waker) => Insert::Due(waker),
        }
    }

    pub(super) fn look(&self, key: Key, waker: &Waker) -> Look {
        let mut locked = self.locked.lock();
        let closed = locked.closed;
        match locked.wheel.get_mut(key) {
            Some(known) if known.will_wake(waker) => Look::Pending,
            Some(_) => Look::OtherWaker,
            None if closed => Look::Closed,
            None => Look::Gone,
        }
    }

    /// Puts `waker` in the place of the one that a pending timer has, and gives out the one that
    /// is not needed any more. `Err` says that the timer is not pending.
    pub(super) fn replace_waker(&self, key: Key, waker: Waker) -> Result<Waker, Waker> {
        let mut locked = self.locked.lock();
        match locked.wheel.get_mut(key) {
            Some(known) => Ok(std::mem::replace(known, waker)),
            None => Err(waker),
        }
    }

    pub(super) fn move_to(&self, key: Key, tick: u64) -> Moved<Waker> {
        let mut locked = self.locked.lock();
        let moved = locked.wheel.move_to(key, tick);
        if matches!(moved, Moved::Pending) {
            self.lower_next(tick);
        }
        moved
    }

    /// Removes a timer; its waker is for the caller to drop.
    pub(super) fn remove(&self, key: Key) -> Option<Waker> {
        let mut locked = self.locked.lock();
        let waker = locked.wheel.remove(key);
        if locked.wheel.is_empty() {
            self.set_next(NEVER);
        }
        waker
    }

    /// Wakes all that are due at `now`, and says how many they were.
    pub(super) fn fire(&self, now: u64) -> u32 {
        let mut batch = [const { None }; BATCH];
        let mut fired = 0;
        loop {
            let count = self.take_due(now, &mut batch);
            let wakers = batch[..count].iter_mut().filter_map(Option::take);
            fired += wake_all(Waiting::Timer, wakers);
            if count < BATCH {
                return fired;
            }
        }
    }

    /// Refuses timers from now on; adds to `wakers` those of all that are pending.
    pub(super) fn close(&self, wakers: &mut Vec<Waker>) {
        let mut locked = self.locked.lock();
        locked.closed = true;
        self.set_next(NEVER);
        wakers.extend(locked.wheel.take_all());
    }

    /// Fills `batch` from the front; says with how many.
    fn take_due(&self, now: u64, batch: &mut [Option<Waker>; BATCH]) -> usize {
        let mut locked = self.locked.lock();
        let mut count = 0;
        for place in batch {
            *place = locked.wheel.pop_due(now);
            if place.is_none() {
                self.raise_fired(now);
                break;
            }
            count += 1;
        }
        self.set_next(locked.wheel.earliest());
        count
    }

    /// Only under the lock.
    fn raise_fired(&self, now: u64) {
        // Relaxed, both: the lock orders the stores; why it suffices for readers: see `has_fired`.
        if self.fired.load(Ordering::Relaxed) < now {
            self.fired.store(now, Ordering::Relaxed);
        }
    }

    /// Only under the lock.
    fn lower_next(&self, tick: u64) {
        if tick < self.next() {
            self.set_next(tick);
        }
    }

    /// Only under the lock, which orders the stores; why Relaxed suffices: see [`next`](Self::next).
    fn set_next(&self, tick: u64) -> u64 {
        self.next.store(tick, Ordering::Relaxed);
        tick
    }
}

/// What the model checker sows.
#[cfg(all(test, loom))]
impl Shard {
    pub(super) fn tell_fired(&self, now: u64) {
        let _locked = self.locked.lock();
        self.raise_fired(now);
    }

    pub(super) fn announce(&self, tick: u64) {
        self.lower_next(tick);
    }

    pub(super) fn insert_unannounced(&self, tick: u64, waker: Waker) {
        drop(self.locked.lock().wheel.insert(tick, waker));
    }

    pub(super) fn take_all(&self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.locked.lock().wheel.take_all());
    }
}
