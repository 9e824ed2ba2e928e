//! Which sizes do blocks have?
//!
//! Multiples of a cache line: each of them up to 1 KiB, then eight between a power of two and the
//! next, so that a block is at most an eighth too long, up to 4 KiB.
//!
//! ```text
//! class    0   1   2 …  15 │  16   17 …  23 │  24   25 …  31
//! size    64 128 192 … 1024│1152 1280 … 2048│2304 2560 … 4096
//! step              64     │      128       │      256
//! ```

use std::alloc::Layout;

/// What blocks are aligned to, and the smallest.
pub(super) const LINE: usize = 64;

/// How many classes there are.
pub(super) const CLASSES: usize = 32;

const LARGEST: usize = 4096;

/// What a magazine holds, give or take: few enough bytes that two of them for each class in use do
/// not weigh on a thread, enough blocks that the lock of the depot does not weigh on a block.
const MAGAZINE_BYTES: usize = 16 * 1024;

/// All blocks of one size, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The class with the smallest blocks that are good for a layout, if there is one.
    #[inline]
    pub(super) const fn of(layout: Layout) -> Option<Class> {
        if layout.align() > LINE {
            return None;
        }
        let number = match layout.size() {
            0 => 0,
            size @ 1..=1024 => (size - 1) / 64,
            size @ 1025..=2048 => 16 + (size - 1025) / 128,
            size @ 2049..=LARGEST => 24 + (size - 2049) / 256,
            _ => return None,
        };
        Some(Class(number as u8))
    }

    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// All of them, smallest first.
    pub(super) fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES as u8).map(Class)
    }

    /// How long the blocks are.
    pub(super) const fn size(self) -> usize {
        match self.index() {
            number @ 0..=15 => (number + 1) * 64,
            number @ 16..=23 => 1024 + (number - 15) * 128,
            number => 2048 + (number - 23) * 256,
        }
    }

    /// How many blocks make a magazine.
    pub(super) const fn magazine(self) -> usize {
        match MAGAZINE_BYTES / self.size() {
            0..=7 => 8,
            many @ 8..=63 => many,
            _ => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(size: usize, align: usize) -> Option<Class> {
        Class::of(Layout::from_size_align(size, align).unwrap())
    }

    #[test]
    fn every_size_gets_the_smallest_block_that_is_long_enough() {
        for size in 0..=8192 {
            let expected = Class::all().find(|class| class.size() >= size);
            assert_eq!(of(size, 8), expected, "{size}");
            assert_eq!(of(size, LINE), expected, "{size}");
        }
    }

    #[test]
    fn classes_are_numbered_by_size_and_keep_blocks_on_cache_lines() {
        assert_eq!(Class::all().count(), CLASSES);
        let sizes: Vec<usize> = Class::all().map(Class::size).collect();
        assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
        assert!(sizes.iter().all(|size| size % LINE == 0), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&LARGEST));
        assert!(Class::all().zip(0..).all(|(class, i)| class.index() == i));
    }

    #[test]
    fn no_block_is_much_longer_than_what_is_in_it() {
        for size in 1..=LARGEST {
            let waste = of(size, 1).unwrap().size() - size;
            assert!(waste < LINE.max(size.div_ceil(8)), "{size}: {waste}");
        }
    }

    #[test]
    fn larger_alignments_have_no_class() {
        for align in [128, 256, 4096] {
            assert_eq!(of(64, align), None, "{align}");
        }
    }

    #[test]
    fn a_magazine_is_small_but_worth_a_lock() {
        for class in Class::all() {
            let blocks = class.magazine();
            assert!((8..=64).contains(&blocks), "{class:?}: {blocks}");
            assert!(blocks * class.size() <= 32 * 1024, "{class:?}: {blocks}");
        }
    }
}
