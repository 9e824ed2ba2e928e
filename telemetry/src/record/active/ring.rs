//! A bounded queue from one thread to one other.
//!
//! ```text
//!   head (next to read, written by the consumer)
//!    v
//!   [ ][x][x][x][ ][ ]      slots head..tail hold a value, all others do not
//!                ^
//!               tail (next to write, written by the producer)
//! ```
//!
//! Rules that the SAFETY comments cite:
//!
//! 1. There is one [`Producer`] and one [`Consumer`]; neither can be cloned nor shared between
//!    threads by reference. Only the producer writes `tail`, only the consumer writes `head`.
//! 2. `head <= tail <= head + capacity` at all times, both counted without wrapping into slots.
//! 3. A slot in `head..tail` holds a value and belongs to the consumer; any other is empty and
//!    belongs to the producer. A slot changes its owner with the Release store of the index by
//!    the old owner, and is seen changed by the Acquire load of the new one.
//!
//! When it is full a value is refused, never waited for: the caller drops and counts it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use super::sync::{Arc, Index, Ordering, UnsafeCell};

struct Shared<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    head: CachePadded<Index>,
    tail: CachePadded<Index>,
}

// SAFETY: values of `T` move from the producer's thread to the consumer's, for which `T: Send`
// is enough; by rule 3 no slot is touched by both at a time.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; whoever drops it last owns all the values that are left.
unsafe impl<T: Send> Send for Shared<T> {}

/// The writing end.
pub(super) struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// `head` as it was last seen: reading the real one costs a cache miss when it has moved.
    seen_head: Cell<usize>,
    not_sync: PhantomData<Cell<()>>,
}

/// The reading end.
pub(super) struct Consumer<T> {
    shared: Arc<Shared<T>>,
    not_sync: PhantomData<Cell<()>>,
}

/// What became of a value that was to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in the ring, which has room for many more.
    Stored,
    /// It is in the ring, which has just become a quarter full: time to wake the consumer.
    StoredQuarterFull,
    /// The ring is full: the value was not made.
    Refused,
}

/// Makes a ring with room for `capacity` values, rounded up to a power of two.
pub(super) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.next_power_of_two();
    let shared = Arc::new(Shared {
        slots: (0..capacity)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect(),
        head: CachePadded::new(Index::new(0)),
        tail: CachePadded::new(Index::new(0)),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        seen_head: Cell::new(0),
        not_sync: PhantomData,
    };
    let consumer = Consumer {
        shared,
        not_sync: PhantomData,
    };
    (producer, consumer)
}

impl<T> Producer<T> {
    /// Stores the value that `make` returns, which is not called when there is no room.
    #[inline]
    pub(super) fn push_with(&self, make: impl FnOnce() -> T) -> Pushed {
        let shared = &*self.shared;
        let tail = shared.tail.own();
        let capacity = shared.slots.len();
        if tail.wrapping_sub(self.seen_head.get()) >= capacity / 4 {
            // Acquire: pairs with the Release in `pop_into`; the slots before `head` are ours again.
            self.seen_head.set(shared.head.load(Ordering::Acquire));
            if tail.wrapping_sub(self.seen_head.get()) == capacity {
                return Pushed::Refused;
            }
        }
        shared.slots[tail & (capacity - 1)].with_mut(|slot| {
            // Made at the last moment: then the compiler can make it in the slot.
            let value = MaybeUninit::new(make());
            // SAFETY: rules 1 and 3: the slot at `tail` is empty and ours, as there are fewer than
            // `capacity` values; nobody else writes it, and nobody reads it before the store
            // below.
            unsafe { slot.write(value) };
        });
        // Release: hands the slot over, with the value written above, to the Acquire in `pop_into`.
        shared.tail.store(tail.wrapping_add(1), Ordering::Release);
        if tail.wrapping_sub(self.seen_head.get()) == capacity / 4 {
            Pushed::StoredQuarterFull
        } else {
            Pushed::Stored
        }
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value.
    #[cfg(test)]
    fn pop(&mut self) -> Option<T> {
        let mut taken = Vec::new();
        self.pop_into(&mut taken, 1);
        taken.pop()
    }

    /// Takes up to `most` values, the oldest first, and returns how many there were. Both indices
    /// are touched once for all of them.
    pub(super) fn pop_into(&mut self, into: &mut Vec<T>, most: usize) -> usize {
        let shared = &*self.shared;
        let head = shared.head.own();
        // Acquire: pairs with the Release in `push_with`; the values of all slots up to it are seen
        // written.
        let tail = shared.tail.load(Ordering::Acquire);
        let taken = tail.wrapping_sub(head).min(most);
        into.reserve(taken);
        let room = into.spare_capacity_mut()[..taken].iter_mut();
        for (index, room) in room.enumerate() {
            let slot = head.wrapping_add(index) & (shared.slots.len() - 1);
            shared.slots[slot].with(|slot| {
                // SAFETY: rules 1 and 3: the slot lies in `head..tail`, so it is ours and the
                // producer has ended with it.
                *room = unsafe { slot.read() };
            });
        }
        // SAFETY: by rule 3 each slot in `head..tail` held a value, and that is in the vector now;
        // it is moved out once, because the store below makes the slot empty.
        unsafe { into.set_len(into.len() + taken) };
        // Release: gives the emptied slots back to the Acquire in `push_with`.
        shared
            .head
            .store(head.wrapping_add(taken), Ordering::Release);
        taken
    }

    /// How many values wait to be taken.
    pub(super) fn len(&self) -> usize {
        // Relaxed, both: a figure for people, out of date when it is read.
        let head = self.shared.head.load(Ordering::Relaxed);
        self.shared.tail.load(Ordering::Relaxed).wrapping_sub(head)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Whoever drops the ring has it, and its indices, alone.
        let (mut index, tail) = (self.head.own(), self.tail.own());
        while index != tail {
            self.slots[index & (self.slots.len() - 1)].with_mut(|slot| {
                // SAFETY: nobody else has the slot, as both ends are gone.
                let slot = unsafe { &mut *slot };
                // SAFETY: rule 3: slots in `head..tail` hold a value.
                unsafe { slot.assume_init_drop() };
            });
            index = index.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_in_the_order_they_went_in() {
        let (producer, mut consumer) = ring(4);
        for round in 0..10 {
            for value in 0..3 {
                assert_ne!(producer.push_with(|| round * 10 + value), Pushed::Refused);
            }
            for value in 0..3 {
                assert_eq!(consumer.pop(), Some(round * 10 + value));
            }
            assert_eq!(consumer.pop(), None);
        }
    }

    #[test]
    fn a_full_ring_gives_the_value_back_and_takes_more_once_read() {
        let (producer, mut consumer) = ring(4);
        for value in 0..4 {
            assert_ne!(producer.push_with(|| value), Pushed::Refused);
        }
        let unmade = || panic!("there is no room for it");
        assert_eq!(producer.push_with(unmade), Pushed::Refused);
        assert_eq!(consumer.len(), 4);
        assert_eq!(consumer.pop(), Some(0));
        assert_ne!(producer.push_with(|| 5), Pushed::Refused);
        assert_eq!(producer.push_with(|| 6), Pushed::Refused);
    }

    #[test]
    fn the_consumer_is_called_when_a_quarter_is_full() {
        let (producer, mut consumer) = ring(16);
        let calls = |producer: &Producer<u8>| {
            (0..8)
                .filter(|_| producer.push_with(|| 0) == Pushed::StoredQuarterFull)
                .count()
        };
        assert_eq!(calls(&producer), 1);
        while consumer.pop().is_some() {}
        assert_eq!(calls(&producer), 1);
    }

    #[test]
    fn what_is_left_is_dropped_with_the_ring() {
        let value = Arc::new(());
        let (producer, mut consumer) = ring(8);
        for _ in 0..5 {
            producer.push_with(|| Arc::clone(&value));
        }
        drop(consumer.pop());
        drop(producer);
        assert_eq!(Arc::strong_count(&value), 5);
        drop(consumer);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn two_threads_lose_and_double_nothing() {
        let (producer, mut consumer) = ring(64);
        let thread = std::thread::spawn(move || {
            let mut refused = 0_u64;
            for value in 0..200_000_u64 {
                if producer.push_with(|| value) == Pushed::Refused {
                    refused += 1;
                }
            }
            refused
        });
        let mut seen: Vec<u64> = Vec::new();
        while !thread.is_finished() {
            seen.extend(std::iter::from_fn(|| consumer.pop()));
        }
        seen.extend(std::iter::from_fn(|| consumer.pop()));
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert_eq!(seen.len() as u64 + thread.join().unwrap(), 200_000);
    }
}

/// The two ends under every order of events, run by
/// `RUSTFLAGS="--cfg loom" cargo test --release -p telemetry_rt-telemetry --features active --lib loom`.
/// Loom itself reports whoever touches a slot that belongs to the other end.
#[cfg(all(test, loom))]
mod loom_models {
    use super::super::sync::model::{Seed, explore};
    use super::*;
    use loom::thread;

    const CAPACITY: usize = 2;
    const VALUES: usize = 4;

    /// More values than fit are pushed, while the other end takes some.
    fn the_ends_meet() {
        let (producer, consumer) = ring(CAPACITY);
        let (producer, mut consumer) = (Held::new(producer), Held::new(consumer));
        let pushing = thread::spawn(move || stored(&producer));
        let mut taken = take_some(&mut consumer);
        let stored = pushing.join().expect("a thread that panics ends the model");
        taken.extend(std::iter::from_fn(|| consumer.pop()).map(|value| *value));
        assert_eq!(taken, stored, "what came out is not what went in");
    }

    /// Both ends go while values are in the ring. As many as fit are never refused.
    fn an_end_goes_with_values_in_the_ring() {
        let value = std::sync::Arc::new(());
        let (producer, consumer) = ring(CAPACITY);
        let (producer, mut consumer) = (Held::new(producer), Held::new(consumer));
        let theirs = std::sync::Arc::clone(&value);
        let pushing = thread::spawn(move || {
            for _ in 0..CAPACITY {
                let pushed = producer.push_with(|| std::sync::Arc::clone(&theirs));
                assert_ne!(pushed, Pushed::Refused);
            }
        });
        drop(consumer.pop());
        drop(consumer);
        pushing.join().expect("a thread that panics ends the model");
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    /// An end that a model which has failed leaves where it is: its drop would fail again.
    struct Held<T>(std::mem::ManuallyDrop<T>);

    impl<T> Held<T> {
        fn new(end: T) -> Held<T> {
            Held(std::mem::ManuallyDrop::new(end))
        }
    }

    impl<T> std::ops::Deref for Held<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> std::ops::DerefMut for Held<T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }

    impl<T> Drop for Held<T> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                // SAFETY: not used after this drop.
                unsafe { std::mem::ManuallyDrop::drop(&mut self.0) };
            }
        }
    }

    /// Pushes all values, and returns those for which there was room. Refused is only what finds
    /// the ring full.
    fn stored(producer: &Producer<Box<usize>>) -> Vec<usize> {
        let mut stored = Vec::new();
        for value in 0..VALUES {
            match producer.push_with(|| Box::new(value)) {
                Pushed::Refused => assert!(stored.len() >= CAPACITY),
                Pushed::Stored | Pushed::StoredQuarterFull => stored.push(value),
            }
        }
        stored
    }

    fn take_some(consumer: &mut Consumer<Box<usize>>) -> Vec<usize> {
        (0..VALUES / 2)
            .filter_map(|_| consumer.pop())
            .map(|value| *value)
            .collect()
    }

    #[test]
    fn values_are_neither_lost_nor_torn_nor_doubled() {
        explore(None, the_ends_meet);
    }

    #[test]
    fn what_is_left_is_dropped_once() {
        explore(None, an_end_goes_with_values_in_the_ring);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn the_model_notices_loads_that_acquire_nothing() {
        explore(Some(Seed::RelaxedLoads), the_ends_meet);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn the_model_notices_stores_that_release_nothing() {
        explore(Some(Seed::RelaxedStores), the_ends_meet);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn the_model_notices_what_is_left_without_order() {
        explore(
            Some(Seed::RelaxedStores),
            an_end_goes_with_values_in_the_ring,
        );
    }
}
