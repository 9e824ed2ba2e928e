//! A handle in a thread-local: one that is counted there, or one that is lent.
//!
//! A thread that makes a runtime current for a while mostly has it borrowed for longer than that. Then it
//! need not count another reference, which costs more than the rest of a short `block_on`.
//!
//! 1. Whoever lends a handle takes back what he lent before his own borrow of it ends.
//! 2. A lent handle is kept nowhere but where it was put: who takes it away from there, to put it back
//!    later, takes a counted one ([`Held::counted`]).
//! 3. A lent handle is never dropped. Its bits are those of the one that was borrowed, which is not
//!    changed as long as it is borrowed.

#![expect(unsafe_code, reason = "a reference that is not counted")]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

/// See the module.
#[derive(Debug)]
pub struct Held<H> {
    handle: ManuallyDrop<H>,
    is_lent: bool,
}

impl<H: Clone> Held<H> {
    /// One that is counted.
    #[inline]
    pub fn own(handle: H) -> Held<H> {
        Held {
            handle: ManuallyDrop::new(handle),
            is_lent: false,
        }
    }

    /// One that is lent.
    ///
    /// # Safety
    ///
    /// It is dropped, or made [`counted`](Self::counted), before `handle` is dropped, moved or borrowed
    /// mutably.
    ///
    /// `H` is a counted reference, or of such: it has no cell of its own, and is not the only way to what it
    /// points to.
    #[inline]
    pub unsafe fn lent(handle: &H) -> Held<H> {
        // SAFETY: by what the caller promises it is a reference that may be there twice, and not used for
        // longer than the original; it is never dropped.
        let handle = unsafe { ptr::read(handle) };
        Held {
            handle: ManuallyDrop::new(handle),
            is_lent: true,
        }
    }

    /// The same handle, for whoever may keep it for longer.
    #[inline]
    #[must_use]
    pub fn counted(self) -> Held<H> {
        match self.is_lent {
            true => Held::own(H::clone(&self)),
            false => self,
        }
    }
}

impl<H> Deref for Held<H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H> Drop for Held<H> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_lent {
            // SAFETY: it is its own, and not looked at again.
            unsafe { ManuallyDrop::drop(&mut self.handle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_lent_handle_is_not_counted_until_somebody_wants_to_keep_it() {
        let handle = Arc::new(5);
        // SAFETY: it is dropped below.
        let lent = unsafe { Held::lent(&handle) };
        assert_eq!((**lent, Arc::strong_count(&handle)), (5, 1));
        let counted = lent.counted();
        assert_eq!((**counted, Arc::strong_count(&handle)), (5, 2));
        drop(counted);
        assert_eq!(Arc::strong_count(&handle), 1);
        // SAFETY: it is dropped at once.
        drop(unsafe { Held::lent(&handle) });
        assert_eq!(Arc::strong_count(&handle), 1);
        assert_eq!(Arc::strong_count(&Held::own(handle).counted()), 1);
    }
}
