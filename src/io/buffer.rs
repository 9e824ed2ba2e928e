//! The bytes between a task and the pool: read ahead of the task, or written and on their way.
//!
//! ```text
//! storage: [ consumed | content | zeroed or old bytes ]
//!                     ^ start   ^ end          ^ storage.len()
//! ```
//!
//! The storage only grows, so that memory is zeroed once and not at each read.

use std::io::{self, IoSlice, Read};
use std::ops::Range;

use tokio::io::ReadBuf;

/// See the module.
#[derive(Default)]
pub(super) struct Buffer {
    storage: Vec<u8>,
    content: Range<usize>,
}

impl Buffer {
    /// What has been put in and not yet taken out.
    pub(super) fn content(&self) -> &[u8] {
        &self.storage[self.content.clone()]
    }

    /// Forgets the content.
    pub(super) fn clear(&mut self) {
        self.content = 0..0;
    }

    /// Moves to `target` as much of the content as fits there.
    pub(super) fn take_into(&mut self, target: &mut ReadBuf<'_>) {
        let count = self.content.len().min(target.remaining());
        target.put_slice(&self.content()[..count]);
        self.content.start += count;
    }

    /// Replaces the content by one read of at most `limit` bytes; returns how many came.
    pub(super) fn read_from(&mut self, source: &mut impl Read, limit: usize) -> io::Result<usize> {
        self.clear();
        self.grow_to(limit);
        let count = read_uninterrupted(source, &mut self.storage[..limit])?;
        self.content = 0..count;
        Ok(count)
    }

    /// Replaces the content by the first `limit` bytes of `parts`; returns how many those are.
    pub(super) fn copy_from(&mut self, parts: &[IoSlice<'_>], limit: usize) -> usize {
        self.clear();
        for part in parts {
            self.append(part, limit);
        }
        self.content.len()
    }

    fn append(&mut self, part: &[u8], limit: usize) {
        let start = self.content.end;
        let end = limit.min(start + part.len());
        self.grow_to(end);
        self.storage[start..end].copy_from_slice(&part[..end - start]);
        self.content.end = end;
    }

    fn grow_to(&mut self, length: usize) {
        if self.storage.len() < length {
            self.storage.resize(length, 0);
        }
    }
}

/// A signal handler that ran meanwhile is no concern of the task.
fn read_uninterrupted(source: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(target) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is interrupted once, then gives `0` bytes.
    struct Interrupted(bool);

    impl Read for Interrupted {
        fn read(&mut self, _target: &mut [u8]) -> io::Result<usize> {
            match std::mem::replace(&mut self.0, true) {
                false => Err(io::ErrorKind::Interrupted.into()),
                true => Ok(0),
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_target_stays_for_the_next_one() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.read_from(&mut &b"hello"[..], 8).unwrap(), 5);
        let mut storage = [0; 3];
        let mut target = ReadBuf::new(&mut storage);
        buffer.take_into(&mut target);
        assert_eq!(target.filled(), b"hel");
        assert_eq!(buffer.content(), b"lo");
    }

    #[test]
    fn several_parts_are_joined_up_to_the_limit() {
        let mut buffer = Buffer::default();
        let parts = [&b"ab"[..], b"", b"cdef", b"g"].map(IoSlice::new);
        assert_eq!(buffer.copy_from(&parts, 5), 5);
        assert_eq!(buffer.content(), b"abcde");
    }

    #[test]
    fn a_shorter_content_leaves_nothing_of_a_longer_one() {
        let mut buffer = Buffer::default();
        buffer.copy_from(&[IoSlice::new(b"longer")], 100);
        buffer.copy_from(&[IoSlice::new(b"abc")], 100);
        assert_eq!(buffer.content(), b"abc");
    }

    #[test]
    fn an_interrupted_read_is_made_again() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.read_from(&mut Interrupted(false), 8).unwrap(), 0);
    }
}
