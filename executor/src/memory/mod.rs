//! Where does the memory of a task come from, and where does it go?
//!
//! A cell is aligned to cache lines, lives shortly, and is often freed by another thread than the
//! one that spawned it. General allocators are slow at all three. So cells are recycled here:
//!
//! ```text
//!  allocate    ┌ shelf of the thread ┐             ┌ depot of the class ┐           ┌ store ┐
//!  free        │ loaded   ▒▒▒▒▒▒░░░░ │  a magazine │ stock  ▒▒▒ ▒▒▒ ▒▒▒ │  a chunk  │ kept  │
//! ◄──────────► │ spare    ▒▒▒▒▒▒▒▒▒▒ │ ◄─────────► │ open   ▒▒░ ▒░░ ░░░ │ ◄───────► │ ░ ░ ░ │
//!   a block    └─────────────────────┘             └────────────────────┘           └───┬───┘
//!                      no lock                            a lock                 regions│a lock
//!                                                                            global allocator
//! ```
//!
//! * [`class`]: blocks come in 32 sizes; a class is all blocks of one size.
//! * [`blocks`]: a list of free blocks, linked through the blocks themselves; a full one of a
//!   class's measure is a *magazine*.
//! * [`thread`](self::thread): what each thread has at hand, two magazines of each class (Bonwick's,
//!   so that a thread that goes back and forth over a boundary need not ask the depot each time).
//! * [`depot`]: what the threads exchange magazines with, and who decides what is kept.
//! * [`chunk`]: 64 KiB that blocks of one class are carved from.
//! * [`store`]: chunks that nobody uses, for a while.
//! * [`region`]: what chunks are parts of, to and from the global allocator.
//! * [`fork`]: sees to it that a child can allocate, and can be told from its parent.
//!
//! Rules that the SAFETY comments cite:
//!
//! 1. A shelf is touched by its thread alone, in `thread`, and what runs meanwhile never comes back
//!    here: it is this module, the global allocator, and registering a thread's destructor. (A
//!    global allocator that spawns tasks is the one thing that is ruled out.)
//! 2. A free block belongs to one list; whoever takes it off the list owns it.
//! 3. The header of a chunk, and its place in a list, are touched under the lock of the depot or
//!    store that has the chunk. A depot keeps a chunk for as long as one of its blocks is out.
//! 4. Locks are taken in this order: depot, store, then those of the global allocator.
//!
//! **What is kept.** Each thread keeps at most two magazines of a class (at most 16 KiB each, 32 KiB
//! above blocks of 2 KiB), until it ends; each depot 1 MiB in stock, and nothing in stock once its
//! chunks are mostly free; the store 4 MiB. All else goes back, in chunks, so that a task that lives
//! long keeps the 64 KiB around it resident, and the 1 MiB around those from the global allocator.
//!
//! **Fork.** A child may allocate and free whatever the other threads of its parent were doing when
//! it was forked off: the locks are held across the fork, as malloc does. Blocks on the shelves of
//! those threads are lost to the child.
//!
//! **Checkers.** Where blocks are recycled, an address sanitizer, valgrind or Miri sees neither a use
//! after free nor a leak: to it the memory is in use all along. Debug builds fill freed blocks with
//! `0xDE`, which makes a use after free loud. Under Miri and loom, and with
//! `RUSTFLAGS="--cfg telemetry_rt_system_alloc"`, everything goes to the global allocator instead.

mod blocks;
mod chunk;
mod class;
mod depot;
mod fork;
mod region;
mod store;
mod thread;

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use blocks::Block;
use class::Class;

/// Whether blocks are recycled; if not, each comes from the global allocator and goes back there.
const RECYCLES: bool = !cfg!(any(loom, miri, telemetry_rt_system_alloc));

/// Memory of this layout, uninitialised. Layouts beyond the largest class come from the global
/// allocator, as do those aligned to more than a cache line.
///
/// Where the layout is known at compile time, so is the class: what remains is to take a block off
/// a list of the thread, a handful of instructions. One time in 8 to 64 a lock is taken.
#[inline]
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    match class(layout) {
        Some(class) => thread::allocate(class).into_raw(),
        None => allocate_globally(layout),
    }
}

/// Gives memory back, from whichever thread.
///
/// # Safety
///
/// The block is from [`allocate`] with the same layout, and is given back once. It is the pointer
/// that was returned, or a copy of it: not one that went through a reference to what was in it,
/// which would not be good for all of the block.
#[inline]
pub(crate) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    if cfg!(debug_assertions) {
        // SAFETY: the caller owns the block, which is at least as long as its layout.
        unsafe { block.write_bytes(0xDE, layout.size()) };
    }
    match class(layout) {
        Some(class) => {
            // SAFETY: the caller is done with it, and its layout has the class that it had then.
            let block = unsafe { Block::from_raw(block) };
            thread::free(class, block);
        }
        // SAFETY: without a class, the block is from the global allocator.
        None => unsafe { alloc::dealloc(block.as_ptr(), layout) },
    }
}

/// As [`forks`]; forks from now on are counted.
pub(crate) fn watch_forks() -> u32 {
    // Miri knows no forks.
    if !cfg!(miri) {
        fork::watch();
    }
    forks()
}

/// A number that differs in a child that is forked off after [`watch_forks`]. Costs one load.
#[inline]
pub(crate) fn forks() -> u32 {
    fork::count()
}

#[inline]
fn class(layout: Layout) -> Option<Class> {
    if RECYCLES { Class::of(layout) } else { None }
}

/// `layout.size()` is not zero: there is a class for that, and without recycling a block is a cell.
fn allocate_globally(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0, "a block of no bytes was asked for");
    // SAFETY: the size was checked.
    let block = unsafe { alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

#[cfg(fuzzing)]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
