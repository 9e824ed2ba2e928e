//! What the driver shares with the rest of the process.

use crate::config::{Job, Offload, Refused};
use crate::io::Registry;
use crate::leaf::Waiting;
use crate::time::Wheels;
use crate::wakeup::Wakeup;
use crate::waking::wake_all;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A reference to the reactor of one runtime. Every socket and signal keeps one.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

/// How much a reactor watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Descriptors that were ever registered.
    pub registered: u64,
    /// Those among them that are not any more.
    pub deregistered: u64,
    /// Timers that are set.
    pub timers: u64,
}

struct Shared {
    name: Name,
    wakeup: Wakeup,
    registry: Option<Registry>,
    wheels: Option<Wheels>,
    offload: Arc<dyn Offload>,
    /// Set once, by the first `shutdown`.
    shut: AtomicBool,
}

impl Handle {
    pub(crate) fn new(
        wakeup: Wakeup,
        registry: Option<Registry>,
        wheels: Option<Wheels>,
        offload: Arc<dyn Offload>,
    ) -> Handle {
        let handle = Handle(Arc::new(Shared {
            name: Name::next(),
            wakeup,
            registry,
            wheels,
            offload,
            shut: AtomicBool::new(false),
        }));
        ALL.lock().push((handle.name(), Arc::downgrade(&handle.0)));
        handle
    }

    /// Which reactor it is, for those who do not keep it alive.
    #[inline]
    pub(crate) fn name(&self) -> Name {
        self.0.name
    }

    /// The reactor of that name, if there still is anybody who keeps it.
    #[cold]
    pub(crate) fn named(name: Name) -> Option<Handle> {
        let all = ALL.lock();
        let (_, shared) = all.iter().find(|(other, _)| *other == name)?;
        shared.upgrade().map(Handle)
    }

    /// Interrupts the turn in progress, or makes the next one return at once.
    ///
    /// Cost: one atomic exchange; a system call only when the driver is waiting and nobody has
    /// interrupted that wait yet.
    pub fn wake(&self) {
        self.0.wakeup.wake();
    }

    /// Fires the timers that are due, of all shards, without the driver, and says how many.
    /// Cheap when none is due.
    pub fn fire_due(&self) -> u32 {
        self.wheels().map_or(0, Wheels::fire_due)
    }

    /// The earliest timer that the wait of the driver in progress does not cover: somebody must
    /// be awake by then to call [`fire_due`](Handle::fire_due).
    pub fn sleeper_deadline(&self) -> Option<Instant> {
        self.wheels().and_then(Wheels::sleeper_deadline)
    }

    /// Ends all input and output: operations in progress and later ones give an error of kind
    /// [`Other`](io::ErrorKind::Other), timers learn it too, and whoever waits is woken.
    /// The second call does nothing.
    pub fn shutdown(&self) {
        // AcqRel: whoever finds it set, also when woken below, sees all that came before.
        if self.0.shut.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut wakers = Vec::new();
        if let Some(registry) = self.registry() {
            registry.shutdown(&mut wakers);
        }
        if let Some(wheels) = self.wheels() {
            wheels.shutdown(&mut wakers);
        }
        crate::signal::receivers(&mut wakers);
        self.wake();
        // Last, when all of it is shut: a waker may panic.
        wake_all(Waiting::Other, wakers.into_iter());
    }

    /// How much there is to watch.
    pub fn counts(&self) -> Counts {
        let (registered, deregistered) = self.registry().map_or((0, 0), Registry::counts);
        Counts {
            registered,
            deregistered,
            timers: self.wheels().map_or(0, Wheels::len),
        }
    }

    /// Whether both belong to the same runtime.
    pub fn ptr_eq(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether [`shutdown`](Handle::shutdown) has been called.
    pub fn is_shut_down(&self) -> bool {
        // Acquire: pairs with the exchange in `shutdown`.
        self.0.shut.load(Ordering::Acquire)
    }

    pub(crate) fn wakeup(&self) -> &Wakeup {
        &self.0.wakeup
    }

    pub(crate) fn registry(&self) -> Option<&Registry> {
        self.0.registry.as_ref()
    }

    /// The registry, for constructors that cannot do without.
    #[track_caller]
    pub(crate) fn expect_registry(&self) -> &Registry {
        match self.registry() {
            Some(registry) => registry,
            None => panic!(
                "a telemetry_rt runtime was found, but I/O is disabled: \
                 call `enable_io` or `enable_all` on its builder"
            ),
        }
    }

    /// The timers; `None` when time is not enabled.
    pub(crate) fn wheels(&self) -> Option<&Wheels> {
        self.0.wheels.as_ref()
    }

    pub(crate) fn offload(&self, name: &'static str, job: Job) -> Result<(), Refused> {
        self.0.offload.offload(name, job)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        ALL.lock().retain(|(name, _)| *name != self.name);
    }
}

/// Every reactor of the process, for [`Handle::named`]. No handle is dropped under the lock: it
/// may be the last.
static ALL: Mutex<Vec<(Name, Weak<Shared>)>> = Mutex::new(Vec::new());

/// Names a reactor for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(u64);

impl Name {
    fn next() -> Name {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        // Relaxed: it only has to be another number each time.
        Name(NAMES.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("io", &self.0.registry.is_some())
            .field("time", &self.0.wheels.is_some())
            .field("shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// What every operation gives once the runtime's reactor is shut down.
pub(crate) fn shutting_down() -> io::Error {
    io::Error::other("A telemetry_rt runtime was found, but it is being shut down.")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    struct RefusesAll;

    impl Offload for RefusesAll {
        fn offload(&self, _name: &'static str, _job: Job) -> Result<(), Refused> {
            Err(Refused::new())
        }
    }

    pub(crate) fn handle_without_io() -> Handle {
        let parker = crossbeam_utils::sync::Parker::new();
        let wakeup = Wakeup::of_parker(parker.unparker().clone());
        Handle::new(wakeup, None, None, Arc::new(RefusesAll))
    }
}
