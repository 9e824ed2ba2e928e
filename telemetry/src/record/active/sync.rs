//! The primitives of rings, lanes and lent shards, in two twins: the real ones, and loom's, which run a test under
//! every order of events that the memory model allows. `docs/models.md` lists the models, and says how
//! they are run.

#[cfg(not(loom))]
pub(super) use real::*;

#[cfg(loom)]
pub(super) use model::{Arc, Flag, Index, Mutex, Ordering, UnsafeCell, Word, fence};

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool as Flag, Ordering, fence};

    use std::sync::atomic::{AtomicU64, AtomicUsize};

    /// An atomic word that one thread writes and others read.
    pub(crate) struct Word(AtomicU64);

    impl Word {
        pub(crate) const fn new(value: u64) -> Word {
            Word(AtomicU64::new(value))
        }

        /// What the caller, the one that writes it, wrote last.
        #[inline]
        pub(crate) fn own(&self) -> u64 {
            // Relaxed: the same thread's store.
            self.0.load(Ordering::Relaxed)
        }

        #[inline]
        pub(crate) fn load(&self, ordering: Ordering) -> u64 {
            self.0.load(ordering)
        }

        #[inline]
        pub(crate) fn store(&self, value: u64, ordering: Ordering) {
            self.0.store(value, ordering);
        }
    }

    /// An atomic number that one thread writes.
    pub(crate) struct Index(AtomicUsize);

    impl Index {
        pub(crate) const fn new(value: usize) -> Index {
            Index(AtomicUsize::new(value))
        }

        /// What the caller, the one that writes it, wrote last.
        #[inline]
        pub(crate) fn own(&self) -> usize {
            // Relaxed: the same thread's store.
            self.0.load(Ordering::Relaxed)
        }

        #[inline]
        pub(crate) fn load(&self, ordering: Ordering) -> usize {
            self.0.load(ordering)
        }

        #[inline]
        pub(crate) fn store(&self, value: usize, ordering: Ordering) {
            self.0.store(value, ordering);
        }
    }

    /// A cell whose content is reached through closures, as the model checker asks for.
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Loom's twin, which a test can make worse, to show that its model notices.
#[cfg(loom)]
pub(super) mod model {
    use std::cell::Cell;

    use loom::sync::atomic as checked;

    pub(crate) use checked::Ordering;
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;

    /// What is made wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Seed {
        RelaxedLoads,
        RelaxedStores,
        RelaxedFlags,
        NoFences,
    }

    thread_local! {
        // All threads of a model are coroutines on the thread of its test.
        static SEED: Cell<Option<Seed>> = const { Cell::new(None) };
    }

    /// Explores all orders of events in `model`, with up to three preemptions unless
    /// `LOOM_MAX_PREEMPTIONS` says otherwise, and with `seed` sown.
    #[cfg(test)]
    pub(crate) fn explore(seed: Option<Seed>, model: impl Fn() + Send + Sync + 'static) {
        SEED.set(seed);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(model);
    }

    fn unless(seed: Seed, ordering: Ordering) -> Ordering {
        match SEED.get() == Some(seed) {
            true => Ordering::Relaxed,
            false => ordering,
        }
    }

    /// A fence, unless it was taken out.
    pub(crate) fn fence(ordering: Ordering) {
        if SEED.get() != Some(Seed::NoFences) {
            checked::fence(ordering);
        }
    }

    /// As the real one.
    #[derive(Debug)]
    pub(crate) struct Word(checked::AtomicU64);

    impl Word {
        #[track_caller]
        pub(crate) fn new(value: u64) -> Word {
            Word(checked::AtomicU64::new(value))
        }

        /// As that of [`Index`].
        #[track_caller]
        pub(crate) fn own(&self) -> u64 {
            // SAFETY: loom ends the test if a store of another thread is not ordered before.
            unsafe { self.0.unsync_load() }
        }

        #[track_caller]
        pub(crate) fn load(&self, ordering: Ordering) -> u64 {
            self.0.load(unless(Seed::RelaxedLoads, ordering))
        }

        #[track_caller]
        pub(crate) fn store(&self, value: u64, ordering: Ordering) {
            self.0.store(value, unless(Seed::RelaxedStores, ordering));
        }
    }

    /// As the real one.
    #[derive(Debug)]
    pub(crate) struct Flag(checked::AtomicBool);

    impl Flag {
        #[track_caller]
        pub(crate) fn new(value: bool) -> Flag {
            Flag(checked::AtomicBool::new(value))
        }

        #[track_caller]
        pub(crate) fn load(&self, ordering: Ordering) -> bool {
            self.0.load(unless(Seed::RelaxedFlags, ordering))
        }

        #[track_caller]
        pub(crate) fn store(&self, value: bool, ordering: Ordering) {
            self.0.store(value, unless(Seed::RelaxedFlags, ordering));
        }

        #[track_caller]
        pub(crate) fn swap(&self, value: bool, ordering: Ordering) -> bool {
            self.0.swap(value, unless(Seed::RelaxedFlags, ordering))
        }
    }

    /// A lock with the interface of the real one: no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        #[track_caller]
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics is a failed test")
        }
    }

    /// As the real one, with orderings that may be weaker than asked for.
    #[derive(Debug)]
    pub(crate) struct Index(checked::AtomicUsize);

    impl Index {
        #[track_caller]
        pub(crate) fn new(value: usize) -> Index {
            Index(checked::AtomicUsize::new(value))
        }

        /// Checked not to race with a store. This is more than a Relaxed load would do: loom 0.7
        /// remembers only the last access to an atomic, and this one must not hide those of the
        /// other thread from it.
        #[track_caller]
        pub(crate) fn own(&self) -> usize {
            // SAFETY: loom ends the test if a store of another thread is not ordered before.
            unsafe { self.0.unsync_load() }
        }

        #[track_caller]
        pub(crate) fn load(&self, ordering: Ordering) -> usize {
            self.0.load(unless(Seed::RelaxedLoads, ordering))
        }

        #[track_caller]
        pub(crate) fn store(&self, value: usize, ordering: Ordering) {
            self.0.store(value, unless(Seed::RelaxedStores, ordering));
        }
    }
}
