//! Where does the memory of chunks come from?
//!
//! From the global allocator, 1 MiB at a time: asked for single chunks, glibc's would make a page or
//! two resident beside each of them, an eighth. A region is 16 chunks; which of them are unused is a
//! bit set. The pages of an unused chunk are given to the operating system at once, those of a region
//! whose chunks are all unused to the global allocator.

use std::alloc::{self, Layout};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// How long a chunk is, and what it is aligned to.
pub(super) const CHUNK: usize = 64 * 1024;

const CHUNKS: usize = 16;

const LAYOUT: Layout = match Layout::from_size_align(CHUNKS * CHUNK, CHUNK) {
    Ok(layout) => layout,
    Err(_) => panic!("the alignment is a power of two"),
};

/// The beginning of 16 chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Region(NonNull<u8>);

// SAFETY: an address that is only made use of by who has one of the chunks.
unsafe impl Send for Region {}

/// One bit for each chunk of a region.
type Bits = u16;

const ALL: Bits = Bits::MAX;

const _: () = assert!(Bits::BITS as usize == CHUNKS);

impl Region {
    fn allocate() -> Region {
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc::alloc(LAYOUT) };
        Region(NonNull::new(memory).unwrap_or_else(|| alloc::handle_alloc_error(LAYOUT)))
    }

    fn deallocate(self) {
        // SAFETY: made by `allocate` with this layout, and all its chunks are unused.
        unsafe { alloc::dealloc(self.0.as_ptr(), LAYOUT) }
    }

    fn chunk(self, number: usize) -> NonNull<u8> {
        debug_assert!(number < CHUNKS);
        // SAFETY: a region is as long as all its chunks.
        unsafe { self.0.add(number * CHUNK) }
    }

    fn bit(self, chunk: NonNull<u8>) -> Bits {
        let offset = chunk.as_ptr().addr() - self.0.as_ptr().addr();
        1 << (offset / CHUNK)
    }
}

/// The regions that have an unused chunk, with the bits of those, in the order of their addresses:
/// the lowest is used first, so that the highest may become free.
#[derive(Debug)]
pub(super) struct Regions(BTreeMap<Region, Bits>);

impl Regions {
    pub(super) const NONE: Regions = Regions(BTreeMap::new());

    /// A chunk, uninitialised, and the region that it is to be returned to.
    pub(super) fn take(&mut self) -> (Region, NonNull<u8>) {
        let mut entry = match self.0.first_entry() {
            Some(entry) => entry,
            None => {
                let region = Region::allocate();
                self.0.entry(region).insert_entry(ALL)
            }
        };
        let (region, unused) = (*entry.key(), entry.get_mut());
        let number = unused.trailing_zeros() as usize;
        *unused &= *unused - 1;
        if *unused == 0 {
            entry.remove();
        }
        (region, region.chunk(number))
    }

    /// Takes a chunk back, which nobody makes use of any more.
    pub(super) fn put(&mut self, region: Region, chunk: NonNull<u8>) {
        release_pages(chunk);
        let unused = self.0.entry(region).or_insert(0);
        *unused |= region.bit(chunk);
        if *unused == ALL {
            self.0.remove(&region);
            region.deallocate();
        }
    }

    #[cfg(test)]
    pub(super) fn unused(&self) -> usize {
        self.0.values().map(|bits| bits.count_ones() as usize).sum()
    }
}

/// Tells the operating system that nothing of what is in a chunk is needed. If it refuses, as it does
/// for locked or huge pages, then the chunk stays resident until the region is deallocated.
fn release_pages(chunk: NonNull<u8>) {
    let start = chunk.as_ptr().cast();
    // SAFETY: the memory is ours, pages are no larger than chunks, and nobody reads what was there.
    unsafe { libc::madvise(start, CHUNK, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_aligned_and_apart_and_the_region_is_left_when_all_are_back() {
        let mut regions = Regions::NONE;
        let mut taken: Vec<_> = (0..CHUNKS + 1).map(|_| regions.take()).collect();
        assert_eq!(regions.unused(), CHUNKS - 1);
        taken.sort();
        assert!(
            taken
                .iter()
                .all(|(_, chunk)| chunk.addr().get() % CHUNK == 0)
        );
        for two in taken.windows(2) {
            let distance = two[1].1.addr().get().abs_diff(two[0].1.addr().get());
            assert!(distance >= CHUNK, "{distance}");
        }
        for (region, chunk) in taken {
            regions.put(region, chunk);
        }
        assert_eq!(regions.unused(), 0);
    }

    #[test]
    fn a_chunk_that_came_back_is_used_again() {
        let mut regions = Regions::NONE;
        let (first, other) = (regions.take(), regions.take());
        regions.put(first.0, first.1);
        let again = regions.take();
        assert_eq!(again, first);
        regions.put(again.0, again.1);
        regions.put(other.0, other.1);
    }
}
