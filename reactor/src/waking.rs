//! How does one that panics not take the others with it, where many wakers are woken at once?

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::leaf::{self, Waiting};

/// Wakes all, for what they waited for, and says how many.
///
/// A waker may be code of a user's, and panic. The panic hook has told so by then; nobody here could
/// do more about it, and whoever turns the driver has others to serve, so it ends here. Panics of
/// the reactor itself are not in these calls, and go their way.
pub(crate) fn wake_all(what: Waiting, wakers: impl Iterator<Item = Waker>) -> u32 {
    leaf::waking_as(what, || {
        let mut woken = 0;
        for waker in wakers {
            woken += 1;
            wake_quietly(waker);
        }
        woken
    })
}

fn wake_quietly(waker: Waker) {
    let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    if let Err(payload) = woken {
        // The payload is a user's as well, and may panic when it is dropped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        dropped.unwrap_or_else(std::mem::forget);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    pub(crate) struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    #[derive(Default)]
    pub(crate) struct Counts(AtomicUsize);

    impl Counts {
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_behind_wakers_that_panic_are_woken_too() {
        let (panics, counts): (Waker, Arc<Counts>) = (Arc::new(Panics).into(), Arc::default());
        let counting = Waker::from(Arc::clone(&counts));
        let wakers = [&counting, &panics, &counting, &panics, &counting].map(Waker::clone);
        assert_eq!(wake_all(Waiting::Io, wakers.into_iter()), 5);
        assert_eq!(counts.count(), 3);
        assert_eq!(wake_all(Waiting::Io, [counting].into_iter()), 1);
    }
}
