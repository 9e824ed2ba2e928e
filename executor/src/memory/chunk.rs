//! What are blocks carved from?
//!
//! A chunk is 64 KiB, aligned to as much, so that a block finds its chunk by rounding its address
//! down. All its blocks are of one class, and lie one after the other behind its header. They are
//! carved from front to back when first needed: what was never needed was never touched, and is
//! not resident.
//!
//! ```text
//!   64 KiB      64 B                                         64 KiB
//!   boundary  ┌────────┬───────┬───────┬───────┬─── ─ ─ ─ ─ ─┐
//!             │ header │ block │ block │ block │ never carved│
//!             └────────┴───────┴───────┴───────┴─── ─ ─ ─ ─ ─┘
//! ```

use std::ptr::NonNull;

use super::blocks::{Block, Blocks};
use super::class::{Class, LINE};
use super::region::{CHUNK, Region};

/// How many blocks of a class a chunk holds.
pub(super) const fn capacity(class: Class) -> usize {
    (CHUNK - LINE) / class.size()
}

/// Where blocks come from, and what a depot knows about it. By rule 3, all that is done to a chunk
/// is done by the depot or store that has it; so a copy of this is good for no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk(NonNull<Header>);

// SAFETY: rule 3: the lock that guards the chunk goes along with it.
unsafe impl Send for Chunk {}

#[repr(C, align(64))]
struct Header {
    region: Region,
    class: Class,
    /// How many blocks there are in all.
    capacity: u32,
    /// How many blocks are neither in `free` nor uncarved.
    out: u32,
    /// How many blocks were carved so far.
    carved: u32,
    free: Blocks,
    links: Links,
}

/// The neighbours of a chunk in the list that it is in.
#[derive(Clone, Copy, Debug, Default)]
struct Links {
    before: Option<Chunk>,
    after: Option<Chunk>,
}

const _: () = assert!(size_of::<Header>() == LINE);

impl Header {
    fn new(region: Region, class: Class) -> Header {
        Header {
            region,
            class,
            capacity: capacity(class) as u32,
            out: 0,
            carved: 0,
            free: Blocks::EMPTY,
            links: Links::default(),
        }
    }
}

/// What a chunk has become by the return of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the depot lists chunks that have blocks, and gives away those that have all"]
pub(super) enum Returned {
    /// It had no block before.
    Opened,
    /// It has some more.
    Fuller,
    /// It has all its blocks again.
    Whole,
}

impl Chunk {
    /// Makes a chunk of the memory of one.
    ///
    /// # Safety
    ///
    /// The memory is a chunk of the region, and the caller owns it.
    pub(super) unsafe fn new(region: Region, memory: NonNull<u8>, class: Class) -> Chunk {
        let header = memory.cast::<Header>();
        // SAFETY: the caller owns the memory, which is aligned to more than a header.
        unsafe { header.write(Header::new(region, class)) };
        Chunk(header)
    }

    /// The memory of a chunk of which no block is out, and the region that it belongs to.
    pub(super) fn into_memory(mut self) -> (Region, NonNull<u8>) {
        debug_assert_eq!(self.header().out, 0, "a block of this chunk is in use");
        (self.header().region, self.0.cast())
    }

    /// Makes the chunk, of which no block is out and which is in no list, one of another class.
    pub(super) fn reuse(mut self, class: Class) -> Chunk {
        let region = self.header().region;
        *self.header() = Header::new(region, class);
        self
    }

    /// The chunk that a block was carved from.
    pub(super) fn of(block: &Block) -> Chunk {
        let header = block
            .as_raw()
            .as_ptr()
            .map_addr(|address| address & !(CHUNK - 1));
        Chunk(NonNull::new(header.cast()).expect("no chunk lies at address zero"))
    }

    pub(super) fn is_exhausted(&mut self) -> bool {
        let header = self.header();
        header.out == header.capacity
    }

    /// Takes a block that came back, or carves one.
    pub(super) fn take(&mut self) -> Option<Block> {
        let block = self.header().free.pop().or_else(|| self.carve())?;
        self.header().out += 1;
        Some(block)
    }

    fn carve(&mut self) -> Option<Block> {
        let header = self.header();
        if header.carved == header.capacity {
            return None;
        }
        let offset = LINE + header.carved as usize * header.class.size();
        header.carved += 1;
        // SAFETY: the chunk is long enough for `capacity` blocks behind its header.
        let block = unsafe { self.0.cast::<u8>().add(offset) };
        // SAFETY: a chunk is carved from front to back, so this block was never given away.
        Some(unsafe { Block::from_raw(block) })
    }

    /// Takes back a block of this class that [`take`](Self::take) gave away.
    pub(super) fn put(&mut self, class: Class, block: Block) -> Returned {
        let opened = self.is_exhausted();
        let header = self.header();
        debug_assert_eq!(header.class, class, "freed with another layout");
        header.free.push(block);
        header.out -= 1;
        match header.out {
            0 => Returned::Whole,
            _ if opened => Returned::Opened,
            _ => Returned::Fuller,
        }
    }

    fn header(&mut self) -> &mut Header {
        // SAFETY: rule 3, and no method keeps the reference while it asks for another.
        unsafe { self.0.as_mut() }
    }
}

/// A list of chunks, linked through their headers.
#[derive(Debug)]
pub(super) struct Chunks {
    first: Option<Chunk>,
}

impl Chunks {
    pub(super) const EMPTY: Chunks = Chunks { first: None };

    pub(super) fn first(&self) -> Option<Chunk> {
        self.first
    }

    /// The chunk is in no list.
    pub(super) fn push(&mut self, mut chunk: Chunk) {
        let after = self.first.replace(chunk);
        chunk.header().links = Links {
            before: None,
            after,
        };
        if let Some(mut after) = after {
            after.header().links.before = Some(chunk);
        }
    }

    /// The chunk is in this list.
    pub(super) fn remove(&mut self, mut chunk: Chunk) {
        let Links { before, after } = std::mem::take(&mut chunk.header().links);
        match before {
            Some(mut before) => before.header().links.after = after,
            None => self.first = after,
        }
        if let Some(mut after) = after {
            after.header().links.before = before;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let first = self.first?;
        self.remove(first);
        Some(first)
    }
}
