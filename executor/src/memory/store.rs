//! Where do chunks wait that no depot has a use for?
//!
//! Here, a few of them, as they are, for whichever class needs one next: a load that goes up and
//! down is not to ask the operating system for memory each time. What is more than that goes back to
//! the regions at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chunk::{Chunk, Chunks};
use super::class::Class;
use super::region::Regions;

/// How many chunks are kept: 4 MiB.
pub(super) const KEPT: usize = 64;

static STORE: Mutex<Store> = Mutex::new(Store {
    kept: Chunks::EMPTY,
    len: 0,
    regions: Regions::NONE,
});

#[derive(Debug)]
pub(super) struct Store {
    kept: Chunks,
    /// How many are kept.
    len: usize,
    regions: Regions,
}

pub(super) fn lock() -> MutexGuard<'static, Store> {
    // Nothing panics while it holds the lock.
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// A chunk for a class, with no block out and in no list.
    pub(super) fn take(&mut self, class: Class) -> Chunk {
        match self.kept.pop() {
            Some(chunk) => {
                self.len -= 1;
                chunk.reuse(class)
            }
            None => {
                let (region, memory) = self.regions.take();
                // SAFETY: a region gives each of its chunks to one at a time.
                unsafe { Chunk::new(region, memory, class) }
            }
        }
    }

    /// Takes a chunk with no block out, which is in no list.
    pub(super) fn put(&mut self, chunk: Chunk) {
        if self.len < KEPT {
            self.kept.push(chunk);
            self.len += 1;
        } else {
            let (region, memory) = chunk.into_memory();
            self.regions.put(region, memory);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
