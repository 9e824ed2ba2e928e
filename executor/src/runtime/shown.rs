//! Which root is to be seen where one follows the other in the same place, and was all that was read there
//! of that one?
//!
//! ```text
//!        begin(1)          end          begin(2)          end
//!   0 ─────────────► 1 ───────────► 0 ─────────────► 2 ─────────► 0
//! ```
//!
//! The word is the number of the root, and 0 while there is none. What is told of a root is written while the
//! word is 0 at first, and later by whoever polls it. No number comes twice: who reads the same one before
//! and after has looked at one root all the time.

use crate::sync::{AtomicU64, Ordering, fence};

/// See the module. One thread begins and ends, all look.
pub(super) struct Shown(AtomicU64);

const NOBODY: u64 = 0;

impl Shown {
    pub(super) fn nobody() -> Shown {
        Shown(AtomicU64::new(NOBODY))
    }

    /// Shows the root of this number, when `write` has told what there is to see of it. The one before
    /// has ended.
    pub(super) fn begin(&self, number: u64, write: impl FnOnce()) {
        // Pairs with the fence in `look`: who reads some of what `write` writes sees that the root before
        // has ended.
        fence(Ordering::Release);
        write();
        // Release: who sees the number sees all that was written.
        self.0.store(number, Ordering::Release);
    }

    /// There is nothing to be seen any more.
    pub(super) fn end(&self) {
        // Relaxed: told to people only; `begin` orders it before what comes next.
        self.0.store(NOBODY, Ordering::Relaxed);
    }

    /// What `read` reads of the root of the number that it is given. Nothing if there is none, or if it
    /// ended meanwhile.
    pub(super) fn look<R>(&self, read: impl FnOnce(u64) -> R) -> Option<R> {
        // Acquire: pairs with the Release in `begin`.
        let number = self.0.load(Ordering::Acquire);
        if number == NOBODY {
            return None;
        }
        let seen = read(number);
        // Pairs with the fence in `begin`.
        fence(Ordering::Acquire);
        (self.0.load(Ordering::Relaxed) == number).then_some(seen)
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::model::{Op, Seed, explore};
    use loom::sync::Arc;

    #[derive(Clone)]
    struct Place(Arc<(Shown, [AtomicU64; 2])>);

    impl Place {
        fn begin(&self, number: u64) {
            let (shown, words) = &*self.0;
            let write = || {
                words
                    .iter()
                    .for_each(|w| w.store(number, Ordering::Relaxed))
            };
            shown.begin(number, write);
        }

        fn end(&self) {
            self.0.0.end();
        }

        fn look(&self) -> Option<[u64; 3]> {
            let (shown, [first, second]) = &*self.0;
            shown.look(|number| {
                let first = first.load(Ordering::Relaxed);
                [number, first, second.load(Ordering::Relaxed)]
            })
        }
    }

    fn somebody_looks_while_one_root_follows_the_other() {
        let words = [AtomicU64::new(0), AtomicU64::new(0)];
        let place = Place(Arc::new((Shown::nobody(), words)));
        place.begin(1);
        let polling = place.clone();
        let polling = loom::thread::spawn(move || {
            polling.end();
            polling.begin(2);
        });
        if let Some([number, first, second]) = place.look() {
            assert_eq!([first, second], [number; 2]);
        }
        polling.join().unwrap();
        assert_eq!(place.look(), Some([2; 3]));
    }

    #[test]
    fn what_is_seen_is_of_one_root() {
        explore(None, somebody_looks_while_one_root_follows_the_other);
    }

    #[test]
    #[should_panic]
    fn without_the_fences_two_are_mixed() {
        explore(
            Some(Seed::NoFence),
            somebody_looks_while_one_root_follows_the_other,
        );
    }

    #[test]
    #[should_panic]
    fn a_number_that_is_told_before_what_it_is_of() {
        explore(
            Some(Seed::Relaxed(Op::Store)),
            somebody_looks_while_one_root_follows_the_other,
        );
    }
}
