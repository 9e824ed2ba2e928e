//! The shards of threads that come and go, and count a lot while they are there: those in a `block_on`.
//!
//! A guest is given a shard that nobody else writes, so that its numbers cost no atomic additions. When
//! it goes the shard stays, with all that was counted, and is given to the next guest, which goes on
//! from there: what is summed up over all shards never goes back, and nothing has to be moved. There are
//! as many as there were guests at once, up to [`MOST`]; whoever comes then writes the shared one.

use std::sync::Arc;

use parking_lot::Mutex;

use super::shard::{Shard, Writers};

/// So many shards there are at most: some 10 kB each.
pub(super) const MOST: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Guests {
    shards: Mutex<Shards>,
}

#[derive(Debug, Default)]
struct Shards {
    all: Vec<Arc<Shard>>,
    /// Those that nobody writes now.
    free: Vec<Arc<Shard>>,
}

impl Guests {
    /// A shard for one writer, who has to give it back. The lock shows it what the one before wrote.
    pub(super) fn take(&self) -> Option<Arc<Shard>> {
        let mut shards = self.shards.lock();
        if let Some(free) = shards.free.pop() {
            return Some(free);
        }
        if shards.all.len() == MOST {
            return None;
        }
        let shard = Arc::new(Shard::new(Writers::One));
        shards.all.push(Arc::clone(&shard));
        Some(shard)
    }

    /// The caller, who took it here, writes it no longer.
    pub(super) fn give_back(&self, shard: Arc<Shard>) {
        self.shards.lock().free.push(shard);
    }

    pub(super) fn all(&self) -> Vec<Arc<Shard>> {
        self.shards.lock().all.clone()
    }
}

#[cfg(test)]
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
