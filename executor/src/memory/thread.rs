//! What does a thread have at hand?
//!
//! For each class a shelf with two magazines: one that is loaded, which blocks are popped from and
//! pushed to, and a spare one. The depot is asked when the loaded one is empty, or full, and the
//! spare one is no help:
//!
//! ```text
//!                 loaded   spare      becomes loaded   spare
//!   allocate      empty    full               full     none       no lock
//!                 empty    none               full     none       a full one from the depot
//!   free          full     none               empty    full       no lock
//!                 full     full               empty    full       a full one to the depot
//! ```
//!
//! Shelves have no destructor, so that reaching them needs no check; a second thread-local has. It
//! brings the blocks back to the depots when the thread ends, and from then on, as before a class
//! was first used, the shelf has neither a block nor room for one. Both lead to the slow paths, and
//! those know whether the thread may still have blocks at hand.

use std::cell::UnsafeCell;

use super::blocks::{Block, Blocks, Magazine};
use super::class::{CLASSES, Class};
use super::{depot, fork};

struct Shelf {
    loaded: Blocks,
    /// How many blocks `loaded` may get until it is a full magazine.
    room: usize,
    spare: Option<Magazine>,
}

thread_local! {
    static SHELVES: [UnsafeCell<Shelf>; CLASSES] =
        const { [const { UnsafeCell::new(Shelf::CLOSED) }; CLASSES] };

    static LEAVING: Leaving = const { Leaving };
}

#[inline]
pub(super) fn allocate(class: Class) -> Block {
    with_shelf(class, |shelf| match shelf.loaded.pop() {
        Some(block) => {
            shelf.room += 1;
            block
        }
        None => shelf.allocate_slowly(class),
    })
}

/// The block is of the class, from whichever thread.
#[inline]
pub(super) fn free(class: Class, block: Block) {
    with_shelf(class, |shelf| {
        if shelf.room == 0 {
            shelf.free_slowly(class, block);
        } else {
            shelf.room -= 1;
            shelf.loaded.push(block);
        }
    });
}

#[inline]
fn with_shelf<R>(class: Class, act: impl FnOnce(&mut Shelf) -> R) -> R {
    SHELVES.with(|shelves| {
        let shelf = shelves[class.index()].get();
        // SAFETY: rule 1, and `act` knows this one shelf only.
        act(unsafe { &mut *shelf })
    })
}

impl Shelf {
    const CLOSED: Shelf = Shelf {
        loaded: Blocks::EMPTY,
        room: 0,
        spare: None,
    };

    /// The loaded magazine is empty.
    #[cold]
    #[inline(never)]
    fn allocate_slowly(&mut self, class: Class) -> Block {
        let full = match self.spare.take() {
            Some(spare) => spare,
            None if has_shelves() => depot::lock(class).take(class),
            None => return depot::lock(class).take_one(class),
        };
        self.loaded = full.into_blocks();
        self.room = 1;
        self.loaded.pop().expect("a full magazine has blocks")
    }

    /// The loaded magazine is full, or the shelf is closed.
    #[cold]
    #[inline(never)]
    fn free_slowly(&mut self, class: Class, block: Block) {
        if !self.loaded.is_empty() {
            let full = Magazine::from_full(self.loaded.take());
            if let Some(spare) = self.spare.replace(full) {
                depot::lock(class).put(class, spare);
            }
        } else if !has_shelves() {
            return depot::lock(class).put_one(class, block);
        }
        self.room = class.magazine() - 1;
        self.loaded.push(block);
    }

    /// Brings all to the depot.
    fn close(&mut self, class: Class) {
        let mut shelf = std::mem::replace(self, Shelf::CLOSED);
        if shelf.loaded.is_empty() && shelf.spare.is_none() {
            return;
        }
        let mut depot = depot::lock(class);
        while let Some(block) = shelf.loaded.pop() {
            depot.put_one(class, block);
        }
        if let Some(spare) = shelf.spare {
            depot.put(class, spare);
        }
    }
}

/// Whether the thread may have blocks at hand: that is, whether it will hear of its own end.
fn has_shelves() -> bool {
    fork::watch();
    LEAVING.try_with(|_| ()).is_ok()
}

/// Its destructor runs when the thread ends.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        for class in Class::all() {
            with_shelf(class, |shelf| shelf.close(class));
        }
    }
}
