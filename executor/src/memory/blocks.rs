//! How are free blocks kept, with no memory for it but their own?
//!
//! In lists, linked through the first word of each block. The second word of a magazine's first
//! block links magazines to a stock:
//!
//! ```text
//!   Stock ─► ┌──────┬──────┬───┐    ┌──────┬───┐
//!            │ next │ down │   │ ─► │ next │   │ ─► …        a magazine, `Class::magazine` blocks
//!            └──────┴──┬───┴───┘    └──────┴───┘
//!                      ▼
//!                   ┌──────┬──────┬───┐
//!                   │ next │ down │   │ ─► …               the one below it
//! ```

use std::ptr::NonNull;

use super::class::Class;

/// A block that is free, and nobody else's. Its class is known to whoever has it.
#[derive(Debug)]
pub(super) struct Block(NonNull<u8>);

// SAFETY: rule 2: whoever has it may do with it as they please.
unsafe impl Send for Block {}

impl Block {
    /// # Safety
    ///
    /// Of the block, as long as its class says and aligned to a cache line, nobody makes use any
    /// more, and the pointer is good for all of it. It is given to its own class only.
    #[inline]
    pub(super) unsafe fn from_raw(block: NonNull<u8>) -> Block {
        Block(block)
    }

    #[inline]
    pub(super) fn into_raw(self) -> NonNull<u8> {
        self.0
    }

    pub(super) fn as_raw(&self) -> NonNull<u8> {
        self.0
    }
}

/// What stands at the beginning of a free block. `down` is of use in the first of a magazine only.
#[repr(C)]
struct Link {
    next: Option<NonNull<Link>>,
    down: Option<NonNull<Link>>,
}

/// Free blocks of one class, the one that was freed last in front.
#[derive(Debug)]
pub(super) struct Blocks(Option<NonNull<Link>>);

// SAFETY: rule 2: the blocks belong to the list, and whoever has the list has them.
unsafe impl Send for Blocks {}

impl Blocks {
    pub(super) const EMPTY: Blocks = Blocks(None);

    #[inline]
    pub(super) fn push(&mut self, block: Block) {
        let link = block.0.cast::<Link>();
        let links = Link {
            next: self.0,
            down: None,
        };
        // SAFETY: the block is nobody else's, and no block is shorter than a cache line.
        unsafe { link.write(links) };
        self.0 = Some(link);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Block> {
        let link = self.0?;
        // SAFETY: rule 2: the block belongs to this list; its link was written by `push`.
        let Link { next, .. } = unsafe { link.read() };
        self.0 = next;
        Some(Block(link.cast()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn take(&mut self) -> Blocks {
        std::mem::replace(self, Blocks::EMPTY)
    }
}

/// A list that has exactly as many blocks as make a magazine.
#[derive(Debug)]
pub(super) struct Magazine(NonNull<Link>);

// SAFETY: as for a list.
unsafe impl Send for Magazine {}

impl Magazine {
    /// Makes a magazine of blocks that came one by one.
    pub(super) fn fill(class: Class, mut block: impl FnMut() -> Block) -> Magazine {
        let mut blocks = Blocks::EMPTY;
        for _ in 0..class.magazine() {
            blocks.push(block());
        }
        Magazine::from_full(blocks)
    }

    /// The caller has counted the blocks.
    pub(super) fn from_full(blocks: Blocks) -> Magazine {
        Magazine(blocks.0.expect("a full magazine has blocks"))
    }

    pub(super) fn into_blocks(self) -> Blocks {
        Blocks(Some(self.0))
    }
}

/// Magazines that wait for a thread to need them.
#[derive(Debug)]
pub(super) struct Stock {
    top: Option<NonNull<Link>>,
    len: usize,
}

// SAFETY: as for a list.
unsafe impl Send for Stock {}

impl Stock {
    pub(super) const EMPTY: Stock = Stock { top: None, len: 0 };

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, magazine: Magazine) {
        let mut link = magazine.0;
        // SAFETY: rule 2: the first block of the magazine, which is free.
        unsafe { link.as_mut() }.down = self.top;
        self.top = Some(link);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Magazine> {
        let link = self.top?;
        // SAFETY: rule 2: the magazine belongs to this stock; `push` wrote what is below it.
        let Link { down, .. } = unsafe { link.read() };
        self.top = down;
        self.len -= 1;
        Some(Magazine(link))
    }
}
