//! Who has the blocks of a class that no thread has at hand, and how many of them are kept?
//!
//! There is one depot for each class, behind a lock. It has whole magazines in stock, which cost
//! nothing to give out and take in, and it has chunks, which blocks are taken from and returned to
//! one by one. The stock makes it fast; that blocks return to their chunks lets memory go:
//!
//! * The stock is bounded. A magazine that is too many is returned to the chunks.
//! * Blocks in stock hold on to their chunks. When the class has more than a few chunks, of which
//!   less than half is out, then it is past a peak, and what is in stock may well lie scattered over
//!   chunks that are free otherwise. All of it is returned, until the chunks have become fewer.
//! * A chunk that has all its blocks again leaves for the store.
//!
//! Blocks are taken from the chunk that was opened last, which is the one with the fewest: the others
//! get the time to become whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use super::blocks::{Block, Magazine, Stock};
use super::chunk::{self, Chunk, Chunks, Returned};
use super::class::{CLASSES, Class};
use super::store;

/// What a stock may weigh, in bytes.
pub(super) const STOCK: usize = 1024 * 1024;

/// As many chunks as this a class may have, however little of them is in use, and still have a
/// stock: 2 MiB.
pub(super) const FEW: usize = 32;

static DEPOTS: [CachePadded<Mutex<Depot>>; CLASSES] =
    [const { CachePadded::new(Mutex::new(Depot::new())) }; CLASSES];

/// The depot of a class, locked.
pub(super) fn lock(class: Class) -> MutexGuard<'static, Depot> {
    // Nothing panics while it holds the lock.
    DEPOTS[class.index()]
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// See the module. The class that each function is told is the same in every call.
#[derive(Debug)]
pub(super) struct Depot {
    stock: Stock,
    /// The chunks that have a block; one that has none is known to its blocks only.
    open: Chunks,
    /// How many chunks there are, open and exhausted.
    chunks: usize,
    /// How many blocks are not in a chunk, but in use, on a shelf, or in stock.
    out: usize,
}

impl Depot {
    pub(super) const fn new() -> Depot {
        Depot {
            stock: Stock::EMPTY,
            open: Chunks::EMPTY,
            chunks: 0,
            out: 0,
        }
    }

    /// Gives out a magazine.
    pub(super) fn take(&mut self, class: Class) -> Magazine {
        match self.stock.pop() {
            Some(magazine) => magazine,
            None => Magazine::fill(class, || self.take_one(class)),
        }
    }

    /// Takes in a magazine.
    pub(super) fn put(&mut self, class: Class, magazine: Magazine) {
        if self.is_sparse(class) {
            self.unstock(class);
            self.put_each(class, magazine);
        } else if self.stock.len() == stock_limit(class) {
            self.put_each(class, magazine);
        } else {
            self.stock.push(magazine);
        }
    }

    /// Whether the chunks are many, and mostly free.
    fn is_sparse(&self, class: Class) -> bool {
        self.chunks > FEW && self.out * 2 < self.chunks * chunk::capacity(class)
    }

    pub(super) fn unstock(&mut self, class: Class) {
        while let Some(magazine) = self.stock.pop() {
            self.put_each(class, magazine);
        }
    }

    fn put_each(&mut self, class: Class, magazine: Magazine) {
        let mut blocks = magazine.into_blocks();
        while let Some(block) = blocks.pop() {
            self.put_one(class, block);
        }
    }

    /// Gives out a block of a chunk.
    pub(super) fn take_one(&mut self, class: Class) -> Block {
        let mut chunk = self.open.first().unwrap_or_else(|| self.open_one(class));
        let block = chunk.take().expect("a chunk in the list has a block");
        if chunk.is_exhausted() {
            self.open.remove(chunk);
        }
        self.out += 1;
        block
    }

    #[cold]
    fn open_one(&mut self, class: Class) -> Chunk {
        let chunk = store::lock().take(class);
        self.open.push(chunk);
        self.chunks += 1;
        chunk
    }

    /// Takes in a block, which returns to its chunk.
    pub(super) fn put_one(&mut self, class: Class, block: Block) {
        let mut chunk = Chunk::of(&block);
        self.out -= 1;
        match chunk.put(class, block) {
            Returned::Fuller => {}
            Returned::Opened => self.open.push(chunk),
            Returned::Whole => {
                self.open.remove(chunk);
                self.chunks -= 1;
                store::lock().put(chunk);
            }
        }
    }
}

/// How many magazines may be in stock.
const fn stock_limit(class: Class) -> usize {
    STOCK / (class.magazine() * class.size())
}

#[cfg(test)]
impl Depot {
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    pub(super) fn out(&self) -> usize {
        self.out
    }

    pub(super) fn in_stock(&self, class: Class) -> usize {
        self.stock.len() * class.magazine()
    }
}
