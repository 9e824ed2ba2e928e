//! How does one that panics not take the others with it, where many wakers are woken at once?

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Wakes all, and says how many. A panic of one of them goes on after the last one was woken; of
/// several panics it is the first.
pub(crate) fn wake_all(mut wakers: impl Iterator<Item = Waker>) -> u32 {
    let mut woken = 0;
    let mut first_panic = None;
    // Once, and once more for each that panics.
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| wake_each(&mut wakers, &mut woken))) {
        first_panic.get_or_insert(panic);
    }
    match first_panic {
        Some(panic) => resume_unwind(panic),
        None => woken,
    }
}

fn wake_each(wakers: &mut impl Iterator<Item = Waker>, woken: &mut u32) {
    for waker in wakers {
        *woken += 1;
        waker.wake();
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
        assert!(catch_unwind(|| wake_all(wakers.into_iter())).is_err());
        assert_eq!(counts.count(), 3);
        assert_eq!(wake_all([counting].into_iter()), 1);
    }
}
