//! The shards of threads that come and go, and count a lot while they are there: those in a `block_on`.
//!
//! A guest is given a shard that nobody else writes, so that its numbers cost no atomic additions. When
//! it goes the shard stays, with all that was counted, and is given to the next guest, which goes on
//! from there: what is summed up over all shards never goes back, and nothing has to be moved. There are
//! as many as there were guests at once, up to [`MOST`]; whoever comes then writes the shared one.

use std::sync::Arc;

use super::shard::{Shard, Writers};
use super::sync::Mutex;

/// So many shards there are at most: some 10 kB each.
pub(super) const MOST: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Guests<S = Shard> {
    shards: Mutex<Shards<S>>,
}

#[derive(Debug)]
struct Shards<S> {
    all: Vec<Arc<S>>,
    /// Those that nobody writes now.
    free: Vec<Arc<S>>,
}

impl<S> Default for Guests<S> {
    fn default() -> Guests<S> {
        Guests {
            shards: Mutex::default(),
        }
    }
}

impl<S> Default for Shards<S> {
    fn default() -> Shards<S> {
        Shards {
            all: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl Guests {
    /// A shard for one writer, who has to give it back.
    pub(super) fn take(&self) -> Option<Arc<Shard>> {
        self.take_or_make(|| Shard::new(Writers::One))
    }
}

impl<S> Guests<S> {
    /// The lock shows the taker what the one before wrote.
    fn take_or_make(&self, make: impl FnOnce() -> S) -> Option<Arc<S>> {
        let mut shards = self.shards.lock();
        if let Some(free) = shards.free.pop() {
            return Some(free);
        }
        if shards.all.len() == MOST {
            return None;
        }
        let shard = Arc::new(make());
        shards.all.push(Arc::clone(&shard));
        Some(shard)
    }

    /// The caller, who took it here, writes it no longer.
    pub(super) fn give_back(&self, shard: Arc<S>) {
        self.shards.lock().free.push(shard);
    }

    pub(super) fn all(&self) -> Vec<Arc<S>> {
        self.shards.lock().all.clone()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_two_guests_write_the_same_shard_and_the_next_one_goes_on_with_it() {
        let guests = Guests::default();
        let (first, second) = (guests.take().unwrap(), guests.take().unwrap());
        assert!(!Arc::ptr_eq(&first, &second));
        Writers::One.add(&first.dropped_spans, 2);
        guests.give_back(Arc::clone(&first));
        let third = guests.take().unwrap();
        assert!(Arc::ptr_eq(&first, &third));
        Writers::One.add(&third.dropped_spans, 3);
        assert_eq!(guests.all().len(), 2);
        assert_eq!(super::super::scribe::read(&first.dropped_spans), 5);
    }

    #[test]
    fn who_comes_when_there_are_enough_gets_none() {
        let guests = Guests::default();
        let taken: Vec<_> = (0..MOST).map(|_| guests.take().unwrap()).collect();
        assert!(guests.take().is_none());
        taken.into_iter().for_each(|shard| guests.give_back(shard));
        assert!(guests.take().is_some());
        assert_eq!(guests.all().len(), MOST);
    }
}

/// Guests come and go, one after the other or at once, under every order of events: nothing that they
/// count is lost, and no sum goes back. A shard is a word here, which its writer loads and stores.
#[cfg(all(test, loom))]
mod loom_models {
    use super::super::sync::model::explore;
    use super::super::sync::{Arc, Ordering, Word};
    use super::Guests;

    /// A step that is done at the wrong time, to show that the model notices.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Late {
        Nothing,
        /// A guest counts something after it has given its shard back.
        Counting,
    }

    fn count(guests: &Guests<Word>, late: Late) {
        let shard = guests.take_or_make(|| Word::new(0));
        let shard = shard.expect("there are enough");
        let one_more = || shard.store(shard.own() + 1, Ordering::Relaxed);
        if late == Late::Counting {
            guests.give_back(std::sync::Arc::clone(&shard));
            return one_more();
        }
        one_more();
        guests.give_back(std::sync::Arc::clone(&shard));
    }

    fn sum(guests: &Guests<Word>) -> u64 {
        let all = guests.all();
        all.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }

    fn three_guests_come_and_go(late: Late) {
        let guests = Arc::new(Guests::default());
        let others = [(); 2].map(|()| {
            let theirs = Arc::clone(&guests);
            loom::thread::spawn(move || count(&theirs, late))
        });
        let before = sum(&guests);
        count(&guests, late);
        assert!(sum(&guests) > before, "a sum that goes back");
        for other in others {
            other.join().expect("a thread that panics ends the model");
        }
        assert_eq!(sum(&guests), 3, "what was counted");
    }

    #[test]
    fn all_that_guests_count_is_there() {
        explore(None, || three_guests_come_and_go(Late::Nothing));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn the_model_notices_a_guest_that_counts_when_it_has_gone() {
        explore(None, || three_guests_come_and_go(Late::Counting));
    }
}
