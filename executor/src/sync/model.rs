//! Loom's twin of the primitives, which can also be made worse than it is.
//!
//! A model that cannot fail proves nothing. So that each can be shown to fail, a test may sow one
//! [`Seed`]: from then on one kind of operation is weaker than what the code asked for. The code
//! under test knows nothing of it.
//!
//! The atomics also notice a use after free: each access reads a cell that the drop writes, and
//! loom reports an access that is not over before the drop.
//!
//! And they see to it that loom looks at all orders. Loom 0.7 remembers only the last access to an
//! atomic: a thread that loads before it changes hides from it the loads of other threads. So each
//! access first takes a turn, a change of a second atomic that nothing hides.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use loom::sync::atomic as checked;

pub(crate) use checked::{AtomicBool, AtomicPtr, Ordering};
pub(crate) use loom::cell::UnsafeCell;

/// A kind of operation on an [`AtomicU64`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Load,
    Store,
    Swap,
    Exchange,
    Add,
    Sub,
    Or,
    And,
    Update,
}

/// What is made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    /// Operations of this kind order nothing.
    Relaxed(Op),
    /// Read-modify-writes of this kind read first and write later.
    Torn(Op),
    /// There are no fences.
    NoFence,
}

thread_local! {
    // All threads of a model are coroutines on the thread of its test.
    static SEED: Cell<Option<Seed>> = const { Cell::new(None) };
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Explores all orders of events in `model`, with up to three preemptions unless
/// `LOOM_MAX_PREEMPTIONS` says otherwise, and with `seed` sown.
#[cfg(test)]
pub(crate) fn explore(seed: Option<Seed>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    check(&builder, seed, model);
}

/// As [`explore`], with two preemptions: for models that take long with three.
#[cfg(test)]
pub(crate) fn explore_coarsely(seed: Option<Seed>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    check(&builder, seed, model);
}

#[cfg(test)]
fn check(
    builder: &loom::model::Builder,
    seed: Option<Seed>,
    model: impl Fn() + Send + Sync + 'static,
) {
    notice_panics();
    SEED.set(seed);
    builder.check(move || {
        model();
        assert!(!PANICKED.get(), "the code under test has caught a panic");
    });
}

/// The code under test catches panics of user code, and with them those by which loom reports.
#[cfg(test)]
fn notice_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICKED.set(true);
            report(info);
        }));
    });
    PANICKED.set(false);
}

fn sown(seed: Seed) -> bool {
    SEED.get() == Some(seed)
}

pub(crate) fn fence(ordering: Ordering) {
    if !sown(Seed::NoFence) {
        checked::fence(ordering);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct AtomicU64 {
    word: checked::AtomicU64,
    turn: checked::AtomicBool,
    alive: UnsafeCell<()>,
}

// SAFETY: the cell holds nothing; loom checks who is in it.
unsafe impl Sync for AtomicU64 {}

impl AtomicU64 {
    #[track_caller]
    pub(crate) fn new(value: u64) -> AtomicU64 {
        AtomicU64 {
            word: checked::AtomicU64::new(value),
            turn: checked::AtomicBool::new(false),
            alive: UnsafeCell::new(()),
        }
    }

    /// Does an operation during which the word must not be dropped. Other threads may run before
    /// it takes effect, and none between that and the return.
    #[track_caller]
    fn alive<R>(&self, operation: impl FnOnce(&checked::AtomicU64) -> R) -> R {
        self.alive.with(|_| {
            self.turn.swap(false, Ordering::Relaxed);
            operation(&self.word)
        })
    }

    #[track_caller]
    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.alive(|word| word.load(of(Op::Load, ordering)))
    }

    #[track_caller]
    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        self.alive(|word| word.store(value, of(Op::Store, ordering)));
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: u64, ordering: Ordering) -> u64 {
        self.alive(|word| word.swap(value, of(Op::Swap, ordering)))
    }

    #[track_caller]
    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if sown(Seed::Torn(Op::Exchange)) {
            let before = self.load(failure);
            return match before == current {
                true => Ok(self.swap(new, success)),
                false => Err(before),
            };
        }
        let success = of(Op::Exchange, success);
        self.alive(|word| word.compare_exchange(current, new, success, failure))
    }

    /// Loom never fails without a reason.
    #[track_caller]
    pub(crate) fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(current, new, success, failure)
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, value: u64, ordering: Ordering) -> u64 {
        self.torn(Op::Add, ordering, |word| word.wrapping_add(value))
            .unwrap_or_else(|| self.alive(|word| word.fetch_add(value, of(Op::Add, ordering))))
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: u64, ordering: Ordering) -> u64 {
        self.torn(Op::Sub, ordering, |word| word.wrapping_sub(value))
            .unwrap_or_else(|| self.alive(|word| word.fetch_sub(value, of(Op::Sub, ordering))))
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, value: u64, ordering: Ordering) -> u64 {
        self.torn(Op::Or, ordering, |word| word | value)
            .unwrap_or_else(|| self.alive(|word| word.fetch_or(value, of(Op::Or, ordering))))
    }

    #[track_caller]
    pub(crate) fn fetch_and(&self, value: u64, ordering: Ordering) -> u64 {
        self.torn(Op::And, ordering, |word| word & value)
            .unwrap_or_else(|| self.alive(|word| word.fetch_and(value, of(Op::And, ordering))))
    }

    #[track_caller]
    pub(crate) fn fetch_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        change: impl Fn(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        if sown(Seed::Torn(Op::Update)) {
            let before = self.load(fetch);
            let after = change(before).ok_or(before)?;
            self.swap(after, set);
            return Ok(before);
        }
        let (set, fetch) = (of(Op::Update, set), of(Op::Update, fetch));
        self.alive(|word| word.fetch_update(set, fetch, change))
    }

    /// Does in two steps what is to be one, if that is sown. The write is a swap, because loom
    /// takes a plain store beside a read-modify-write for an error of its own.
    #[track_caller]
    fn torn(&self, op: Op, ordering: Ordering, change: impl Fn(u64) -> u64) -> Option<u64> {
        sown(Seed::Torn(op)).then(|| {
            let before = self.load(Ordering::Acquire);
            self.swap(change(before), ordering);
            before
        })
    }
}

impl Drop for AtomicU64 {
    fn drop(&mut self) {
        // A model that has failed is not looked at any more.
        if !std::thread::panicking() {
            self.turn.swap(false, Ordering::Relaxed);
            self.alive.with_mut(|_| ());
        }
    }
}

fn of(op: Op, ordering: Ordering) -> Ordering {
    match sown(Seed::Relaxed(op)) {
        true => Ordering::Relaxed,
        false => ordering,
    }
}

/// A lock with the interface of the real one: no poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// The lock, held. It is empty for as long as its owner waits on a [`Condvar`].
pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock();
        MutexGuard(Some(guard.expect("a model that panics is a failed test")))
    }
}

const HELD: &str = "a lock is not used while its owner waits";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(HELD)
    }
}

/// A condition variable with the interface of the real one. Time does not pass: loom reports who
/// would wait for ever.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

/// It was notified in time.
pub(crate) struct InTime;

impl InTime {
    pub(crate) fn timed_out(self) -> bool {
        false
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect(HELD);
        let woken = self.0.wait(held);
        guard.0 = Some(woken.expect("a model that panics is a failed test"));
    }

    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> InTime {
        self.wait(guard);
        InTime
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
