//! The queue of one worker: first in, first out; its owner pushes and pops, other workers steal.
//!
//! A ring that grows. The places of all tasks that ever were in the queue are numbered; `head` is
//! the number of the first that is in it, `tail` that of the next to come, and a number, modulo the
//! length of the ring, is a slot:
//!
//! ```text
//!            head                  tail
//!             ▼                     ▼
//!   ┌────┬────┬────┬────┬────┬────┬────┬────┐
//!   │    │    │ 10 │ 11 │ 12 │ 13 │    │    │
//!   └────┴────┴────┴────┴────┴────┴────┴────┘
//!          taken: by whoever      pushed: by
//!          moves `head` past it   the owner
//! ```
//!
//! 1. `tail`, `ring` and the slots are written by the owner alone.
//! 2. `head` is moved by compare-and-swap. Whoever moves it past a number has the task that was in
//!    its slot, and nobody else has.
//! 3. A thief reads the slots *before* it moves `head`. As long as `head` has not moved, what is in
//!    them is what was pushed; when it has, the thief throws away what it read.
//! 4. A full ring is copied into one of twice the length. The old one stays as it is until the
//!    queue is dropped, because a thief may still be reading it. All old ones together are as long
//!    as the one in use, and none is ever made smaller: a queue that was long once will be so again.
//!
//! Where nobody can steal, in a runtime of one worker, the owner moves `head` with a plain store
//! (a compare-and-swap costs as much as the rest of a push and a pop).

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, transmute_copy};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// The length of the first ring. Few under the model checker, so that growth is among what it sees.
const FIRST: usize = if cfg!(loom) { 2 } else { 256 };

/// More rings than memory has room for.
const RINGS: usize = 32;

type Ring = Box<[AtomicPtr<()>]>;

struct Shared {
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
    /// Which of the rings is in use.
    ring: AtomicU64,
    rings: [OnceLock<Ring>; RINGS],
}

/// The owner's end. It may move to another thread, and is used by one at a time.
pub(super) struct Queue<T> {
    shared: Arc<Shared>,
    has_thieves: bool,
    /// Not `Sync`: see rule 1.
    of: PhantomData<std::cell::Cell<T>>,
}

/// How many tasks one theft brings at the most.
const MOST_AT_ONCE: u64 = 64;
/// How often a theft is tried.
const ATTEMPTS: u32 = if cfg!(loom) { 2 } else { 8 };

/// The thieves' end.
pub(super) struct Stealer<T> {
    shared: Arc<Shared>,
    of: PhantomData<fn() -> T>,
}

impl<T: Send> Queue<T> {
    /// `has_thieves` says whether somebody will ever use a [`Stealer`] to steal.
    pub(super) fn new(has_thieves: bool) -> Queue<T> {
        let shared = Shared {
            head: CachePadded::new(AtomicU64::new(0)),
            tail: CachePadded::new(AtomicU64::new(0)),
            ring: AtomicU64::new(0),
            rings: [const { OnceLock::new() }; RINGS],
        };
        shared.make_ring(0);
        Queue {
            shared: Arc::new(shared),
            has_thieves,
            of: PhantomData,
        }
    }

    pub(super) fn stealer(&self) -> Stealer<T> {
        Stealer {
            shared: Arc::clone(&self.shared),
            of: PhantomData,
        }
    }

    #[inline]
    pub(super) fn push(&self, value: T) {
        let tail = self.tail();
        slot(self.ring_with_room_for(1), tail).store(into_word(value), Ordering::Relaxed);
        self.publish(tail + 1);
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let tail = self.tail();
        // Relaxed: what is in the slots was written by this thread.
        let mut head = self.shared.head.load(Ordering::Relaxed);
        while head != tail {
            let word = slot(self.shared.own_ring(), head).load(Ordering::Relaxed);
            match self.move_head(head) {
                // SAFETY: rule 2; the word was read from the slot of this number.
                Ok(()) => return Some(unsafe { from_word(word) }),
                Err(moved) => head = moved,
            }
        }
        None
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: what thieves have taken may be seen later.
        self.shared.head.load(Ordering::Relaxed) == self.tail()
    }

    /// Steals half of what `victim` has, but no more than [`MOST_AT_ONCE`], one task of it to run now.
    /// Says how many there were.
    ///
    /// A theft fails if the owner pops while it goes on. So each further attempt takes half as many,
    /// and after some the thief looks elsewhere: it is not the only one who has to be served.
    pub(super) fn steal_from(&self, victim: &Stealer<T>) -> Option<(T, usize)> {
        let theirs = &victim.shared;
        for attempt in 0..ATTEMPTS {
            let (head, tail) = theirs.ends();
            if head == tail {
                return None;
            }
            let ring = theirs.ring_of_another();
            // No longer than the ring: the head may have moved on since it was read.
            let most = (MOST_AT_ONCE >> attempt).clamp(1, ring.len() as u64);
            let half = (tail - head).div_ceil(2).min(most);
            let first = slot(ring, head).load(Ordering::Relaxed);
            self.copy(ring, head + 1, half as usize - 1);
            // Release: the owner, who sees that the slots are free, writes them after they were
            // read here. If it fails, somebody else got on.
            let moved = theirs.head.compare_exchange(
                head,
                head + half,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if moved.is_ok() {
                self.publish(self.tail() + half - 1);
                // SAFETY: rules 2 and 3: the head was moved past the numbers that were read.
                let first = unsafe { from_word(first) };
                return Some((first, half as usize));
            }
        }
        None
    }

    /// Copies slots behind the tail, where nobody looks before they are published.
    fn copy(&self, theirs: &[AtomicPtr<()>], start: u64, slots: usize) {
        let (ring, tail) = (self.ring_with_room_for(slots), self.tail());
        for step in 0..slots as u64 {
            let word = slot(theirs, start + step).load(Ordering::Relaxed);
            slot(ring, tail + step).store(word, Ordering::Relaxed);
        }
    }

    #[inline]
    fn move_head(&self, head: u64) -> Result<(), u64> {
        let place = &self.shared.head;
        if !self.has_thieves {
            // Release: as below, for those who ask for the length.
            place.store(head + 1, Ordering::Release);
            return Ok(());
        }
        // Release: who sees this head sees a tail that is not before it.
        place
            .compare_exchange(head, head + 1, Ordering::Release, Ordering::Relaxed)
            .map(drop)
    }

    #[inline]
    fn ring_with_room_for(&self, more: usize) -> &[AtomicPtr<()>] {
        let ring = self.shared.own_ring();
        // Acquire: pairs with the Release of whoever took the task whose slot is written next.
        let head = self.shared.head.load(Ordering::Acquire);
        let queued = (self.tail() - head) as usize;
        if queued + more <= ring.len() {
            return ring;
        }
        self.grow(head, queued + more)
    }

    #[cold]
    fn grow(&self, head: u64, needed: usize) -> &[AtomicPtr<()>] {
        let old = self.shared.own_ring();
        let mut number = self.shared.ring.load(Ordering::Relaxed);
        while FIRST << number < needed {
            number += 1;
        }
        let new = self.shared.make_ring(number);
        for place in head..self.tail() {
            let word = slot(old, place).load(Ordering::Relaxed);
            slot(new, place).store(word, Ordering::Relaxed);
        }
        // Release: a thief that sees the ring sees the copies. A swap, which the model checker tells
        // from the store of the tail.
        self.shared.ring.swap(number, Ordering::Release);
        new
    }

    #[inline]
    fn tail(&self) -> u64 {
        // Relaxed: rule 1.
        self.shared.tail.load(Ordering::Relaxed)
    }

    /// Makes what was written before `tail` part of the queue.
    #[inline]
    fn publish(&self, tail: u64) {
        // Release: who sees the tail sees the slots before it, and the ring that they are in.
        self.shared.tail.store(tail, Ordering::Release);
    }
}

impl<T> Stealer<T> {
    pub(super) fn len(&self) -> usize {
        let (head, tail) = self.shared.ends();
        (tail - head) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that rises with each task that is taken; nothing if there is none to be taken.
    pub(super) fn progress(&self) -> Option<u64> {
        let (head, tail) = self.shared.ends();
        (head != tail).then_some(head)
    }
}

impl Shared {
    /// The head, and a tail that is not before it.
    fn ends(&self) -> (u64, u64) {
        // Acquire, in this order: whoever moved the head had seen a tail that is not before it.
        let head = self.head.load(Ordering::Acquire);
        // Acquire: pairs with `publish`.
        (head, self.tail.load(Ordering::Acquire))
    }

    /// For the owner.
    #[inline]
    fn own_ring(&self) -> &[AtomicPtr<()>] {
        // Relaxed: rule 1.
        self.ring_of(self.ring.load(Ordering::Relaxed))
    }

    /// For a thief, who has read the tail: this ring is the one that the last of the tasks was
    /// pushed into, or a later one.
    fn ring_of_another(&self) -> &[AtomicPtr<()>] {
        // Acquire: pairs with `grow`.
        self.ring_of(self.ring.load(Ordering::Acquire))
    }

    #[inline]
    fn ring_of(&self, number: u64) -> &[AtomicPtr<()>] {
        self.rings[number as usize]
            .get()
            .expect("a ring is made before its number is told")
    }

    fn make_ring(&self, number: u64) -> &[AtomicPtr<()>] {
        let new = || AtomicPtr::new(std::ptr::null_mut());
        self.rings[number as usize].get_or_init(|| (0..FIRST << number).map(|_| new()).collect())
    }
}

/// The slot of a number. Rings are as long as a power of two.
#[inline]
fn slot(ring: &[AtomicPtr<()>], number: u64) -> &AtomicPtr<()> {
    &ring[number as usize & (ring.len() - 1)]
}

#[inline]
fn into_word<T>(value: T) -> *mut () {
    const { assert!(size_of::<T>() == size_of::<*mut ()>()) };
    // SAFETY: of the same size (above); the value is not dropped, it is in the word from here on.
    unsafe { transmute_copy(&ManuallyDrop::new(value)) }
}

/// # Safety
///
/// The word comes from [`into_word`] for this type, and is turned back once.
#[inline]
unsafe fn from_word<T>(word: *mut ()) -> T {
    // SAFETY: the caller's promise.
    unsafe { transmute_copy(&word) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    fn drain(queue: &Queue<usize>) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn what_is_pushed_first_is_popped_first_also_when_the_ring_has_grown_in_between() {
        for has_thieves in [false, true] {
            let queue = Queue::new(has_thieves);
            (0..100).for_each(|number| queue.push(number));
            assert_eq!((0..50).map_while(|_| queue.pop()).count(), 50);
            (100..1_000).for_each(|number| queue.push(number));
            assert_eq!(queue.stealer().len(), 950);
            assert_eq!(drain(&queue), (50..1_000).collect::<Vec<_>>());
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn a_thief_takes_the_older_half_and_runs_the_oldest() {
        let (queue, thief) = (Queue::new(true), Queue::new(true));
        (0..7).for_each(|number| queue.push(number));
        assert_eq!(thief.steal_from(&queue.stealer()), Some((0, 4)));
        assert_eq!(drain(&thief), [1, 2, 3]);
        assert_eq!(drain(&queue), [4, 5, 6]);
        assert_eq!(thief.steal_from(&queue.stealer()), None);
    }

    #[test]
    fn a_theft_of_more_than_the_thief_has_room_for_makes_room() {
        let (queue, thief) = (Queue::new(true), Queue::new(true));
        (0..4 * FIRST).for_each(|number| queue.push(number));
        let own = FIRST - 8;
        (0..own).for_each(|_| thief.push(usize::MAX));
        let most = MOST_AT_ONCE as usize;
        assert_eq!(thief.steal_from(&queue.stealer()), Some((0, most)));
        let kept = std::iter::repeat_n(usize::MAX, own).chain(1..most);
        assert_eq!(drain(&thief), kept.collect::<Vec<_>>());
    }

    #[test]
    fn each_task_is_taken_once_while_thieves_and_growth_get_in_each_others_way() {
        const TASKS: usize = 100_000;
        let queue = Queue::new(true);
        let done = AtomicBool::new(false);
        let taken: Vec<Vec<usize>> = thread::scope(|scope| {
            let thieves: Vec<_> = (0..3)
                .map(|_| {
                    let (stealer, done) = (queue.stealer(), &done);
                    scope.spawn(move || {
                        let (own, mut taken) = (Queue::new(true), Vec::new());
                        while !done.load(Ordering::Acquire) || !stealer.is_empty() {
                            if let Some((first, _)) = own.steal_from(&stealer) {
                                taken.push(first);
                                taken.extend(drain(&own));
                            }
                        }
                        taken
                    })
                })
                .collect();
            let mut taken = Vec::new();
            for number in 0..TASKS {
                queue.push(number);
                // In waves, so that the ring is sometimes almost empty and sometimes full.
                if (number / 300) % 2 == 1 {
                    taken.extend(queue.pop());
                    taken.extend(queue.pop());
                }
            }
            done.store(true, Ordering::Release);
            taken.extend(drain(&queue));
            let of_thieves = thieves.into_iter().map(|thief| thief.join().unwrap());
            of_thieves.chain([taken]).collect()
        });
        let all: Vec<usize> = taken.into_iter().flatten().collect();
        assert_eq!(all.len(), TASKS);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), TASKS);
    }
}
