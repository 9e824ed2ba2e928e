//! Is memory whole that is taken and given back in any order? For the fuzzer, which chooses the
//! order; with `--cfg telemetry_rt_system_alloc` it asks nothing.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::{allocate, free};

/// So many blocks are in use at the same time, at most.
const MOST: usize = 256;

/// Memory in use: all of it has the byte that belongs to it.
struct Used {
    block: NonNull<u8>,
    layout: Layout,
    byte: u8,
}

/// Does the steps that these bytes name, three bytes each.
pub(crate) fn run(bytes: &[u8]) {
    let mut used: Vec<Used> = Vec::new();
    for step in bytes.chunks_exact(3) {
        let size = usize::from(u16::from_be_bytes([step[1], step[2]]));
        if step[0] % 8 < 4 && used.len() < MOST {
            used.push(Used::new(1 + size % 9_000, 1 << (step[0] >> 5), step[2]));
        } else if step[0] % 8 < 7 && !used.is_empty() {
            drop(used.swap_remove(size % used.len()));
        } else if !used.is_empty() {
            // From another thread, as those do that wake a task last.
            let given = used.swap_remove(size % used.len());
            drop(std::thread::spawn(move || drop(given)).join());
        }
    }
}

// SAFETY: nobody else has the memory.
unsafe impl Send for Used {}

impl Used {
    fn new(size: usize, align: usize, byte: u8) -> Used {
        let layout = Layout::from_size_align(size, align).expect("both are small");
        let block = allocate(layout);
        assert_eq!(block.addr().get() % align, 0, "{layout:?}");
        // SAFETY: the memory was just allocated, and is as long.
        unsafe { block.write_bytes(byte, size) };
        Used {
            block,
            layout,
            byte,
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let (start, len) = (self.block.as_ptr(), self.layout.size());
        // SAFETY: the memory was initialised by `new`.
        let bytes = unsafe { std::slice::from_raw_parts(start, len) };
        assert!(bytes.iter().all(|&byte| byte == self.byte));
        // SAFETY: from `allocate` with this layout.
        unsafe { free(self.block, self.layout) };
    }
}
