//! The primitives that the threads of a runtime share over its timers, in two twins: the real ones, and
//! loom's, which run a test under every order of events that the memory model allows.
//! `docs/models.md` lists the models, and says how they are run.

#[cfg(not(loom))]
pub(super) use parking_lot::Mutex;
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(super) use model::{AtomicU64, Mutex, Ordering, fence};

/// Loom's twin, which a test can make worse, to show that its model notices.
///
/// Loom 0.7 remembers only the last access to an atomic: a thread that loads before it stores hides from
/// it the loads of other threads. So each access first takes a turn, a change of a second atomic that
/// nothing hides.
#[cfg(loom)]
pub(super) mod model {
    use std::cell::Cell;

    use loom::sync::atomic as checked;

    pub(crate) use checked::Ordering;

    thread_local! {
        // All threads of a model are coroutines on the thread of its test.
        static WITHOUT_FENCES: Cell<bool> = const { Cell::new(false) };
    }

    /// Explores all orders of events in `model`, with up to three preemptions unless
    /// `LOOM_MAX_PREEMPTIONS` says otherwise.
    #[cfg(test)]
    pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(model);
    }

    /// As [`explore`], with no fence.
    #[cfg(test)]
    pub(crate) fn explore_without_fences(model: impl Fn() + Send + Sync + 'static) {
        WITHOUT_FENCES.set(true);
        explore(model);
    }

    pub(crate) fn fence(ordering: Ordering) {
        if !WITHOUT_FENCES.get() {
            checked::fence(ordering);
        }
    }

    /// See the module.
    #[derive(Debug)]
    pub(crate) struct AtomicU64 {
        word: checked::AtomicU64,
        turn: checked::AtomicBool,
    }

    impl AtomicU64 {
        #[track_caller]
        pub(crate) fn new(value: u64) -> AtomicU64 {
            AtomicU64 {
                word: checked::AtomicU64::new(value),
                turn: checked::AtomicBool::new(false),
            }
        }

        #[track_caller]
        pub(crate) fn load(&self, ordering: Ordering) -> u64 {
            self.turn.swap(false, Ordering::Relaxed);
            self.word.load(ordering)
        }

        #[track_caller]
        pub(crate) fn store(&self, value: u64, ordering: Ordering) {
            self.turn.swap(false, Ordering::Relaxed);
            self.word.store(value, ordering);
        }
    }

    /// A lock with the interface of the real one: no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics is a failed test")
        }
    }
}
