//! The real primitives, with a moment of chaos before each use.
//!
//! A race needs one thread to be held up at the wrong place, which a processor seldom does by itself.
//! Built with `--cfg chaos`, a thread that is about to touch a shared word or a lock of the scheduler
//! gives way, spins or sleeps for a moment, now and then. Stress tests and sanitizers find within
//! seconds what they do not find in hours without it. The commands are in `CONTRIBUTING.md`.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{self, Ordering};
use std::thread;
use std::time::Duration;

/// What is not used without a chance of chaos.
#[derive(Debug, Default)]
pub(crate) struct Chaotic<T>(T);

pub(crate) type AtomicBool = Chaotic<atomic::AtomicBool>;
pub(crate) type AtomicU64 = Chaotic<atomic::AtomicU64>;
pub(crate) type AtomicPtr<T> = Chaotic<atomic::AtomicPtr<T>>;
pub(crate) type Mutex<T> = Chaotic<parking_lot::Mutex<T>>;

impl Chaotic<atomic::AtomicBool> {
    pub(crate) const fn new(value: bool) -> Self {
        Chaotic(atomic::AtomicBool::new(value))
    }
}

impl Chaotic<atomic::AtomicU64> {
    pub(crate) const fn new(value: u64) -> Self {
        Chaotic(atomic::AtomicU64::new(value))
    }
}

impl<T> Chaotic<atomic::AtomicPtr<T>> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Chaotic(atomic::AtomicPtr::new(value))
    }
}

impl<T> Chaotic<parking_lot::Mutex<T>> {
    pub(crate) const fn new(value: T) -> Self {
        Chaotic(parking_lot::Mutex::new(value))
    }
}

impl<T> Deref for Chaotic<T> {
    type Target = T;

    fn deref(&self) -> &T {
        strike();
        &self.0
    }
}

impl<T> DerefMut for Chaotic<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

pub(crate) fn fence(ordering: Ordering) {
    strike();
    atomic::fence(ordering);
}

/// Holds this thread up, now and then.
fn strike() {
    match roll() % 64 {
        0..4 => thread::yield_now(),
        4 => (0..roll() % 512).for_each(|_| std::hint::spin_loop()),
        5 => thread::sleep(Duration::from_micros(roll() % 60)),
        _ => {}
    }
}

/// A number that follows no pattern that matters: another row for each thread.
fn roll() -> u64 {
    static THREADS: atomic::AtomicU64 = atomic::AtomicU64::new(0);
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        if state.get() == 0 {
            // Relaxed: each thread gets another number, and nothing else is meant by it.
            let thread = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
            state.set(thread.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        let mut word = state.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        state.set(word);
        word
    })
}
