//! The primitives that threads share, in two twins: the real ones, and loom's, which run a test
//! under every order of events that the memory model allows. The real ones can be had with chaos.
//!
//! Modules with a protocol between threads import from here and nowhere else, so that the model
//! checker sees all of it. `docs/models.md` lists the models, and says how they are run.

#[cfg(not(loom))]
pub(crate) use real::*;

#[cfg(all(chaos, not(loom)))]
mod chaos;
#[cfg(not(loom))]
mod spin;

/// To the model checker a lock is a lock.
#[cfg(loom)]
pub(crate) use model::Mutex as SpinLock;
#[cfg(not(loom))]
pub(crate) use spin::SpinLock;

/// The state of a lock that is only ever tried: nobody waits for it, nothing is modelled.
#[cfg(loom)]
pub(crate) use parking_lot::RawMutex as RawTryLock;
#[cfg(not(loom))]
pub(crate) use spin::RawSpinLock as RawTryLock;

#[cfg(loom)]
pub(crate) use model::{
    AtomicBool, AtomicPtr, AtomicU64, Condvar, Mutex, Ordering, UnsafeCell, fence,
};

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::Condvar;
    pub(crate) use std::sync::atomic::Ordering;

    #[cfg(chaos)]
    pub(crate) use super::chaos::{AtomicBool, AtomicPtr, AtomicU64, Mutex, fence};
    #[cfg(not(chaos))]
    pub(crate) use parking_lot::Mutex;
    #[cfg(not(chaos))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};

    /// A cell whose content is reached through closures, as the model checker asks for.
    #[derive(Debug)]
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

#[cfg(loom)]
pub(crate) mod model;
