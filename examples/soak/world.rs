//! What do all parts of the soak share? Counts of what was done, of faults, and of laws that were
//! seen to be broken; the ledger; and the word to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use telemetry_rt::runtime::Handle;
use telemetry_rt::task::{self, AbortHandle, JoinHandle, JoinSet};

use crate::ledger::{Ended, Kind, Ledger};

/// Counts by name.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub fn add(&self, name: &'static str, number: u64) {
        // A panic is injected elsewhere; a count is never half done.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += number;
    }

    pub fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn total(&self) -> u64 {
        self.counts().values().sum()
    }
}

/// The longest of many times.
#[derive(Default)]
pub struct Longest(AtomicU64);

impl Longest {
    pub fn note(&self, time: Duration) {
        self.0.fetch_max(time.as_micros() as u64, Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Relaxed))
    }
}

#[derive(Default)]
pub struct World {
    pub ledger: Arc<Ledger>,
    /// Operations by kind.
    pub done: Tally,
    pub faults: Tally,
    /// What else is worth a line.
    pub notes: Tally,
    /// What the network refused while descriptors were short or peers were killed.
    pub refused: Tally,
    broken: Mutex<Vec<String>>,
    stop: AtomicBool,
    pub stalls: Stalls,
    /// Wakers whose tasks may have ended long ago.
    pub wakers: Mutex<Vec<Waker>>,
}

/// The longest waits.
#[derive(Default)]
pub struct Stalls {
    /// How late a thread that only sleeps wakes: what the machine does to everybody.
    pub machine: Longest,
    /// How late a task that only sleeps is polled.
    pub task: Longest,
    /// How long after its spawn from outside a task is polled.
    pub first_poll: Longest,
    /// How long a thread from outside is kept in `spawn`.
    pub spawn: Longest,
}

/// As many broken laws are told one by one.
const MOST_TOLD: usize = 20;

impl World {
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// A law does not hold.
    pub fn breaks(&self, law: String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.len() < MOST_TOLD {
            broken.push(law);
        }
    }

    pub fn broken(&self) -> Vec<String> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.clone()
    }

    pub fn spawn<F>(&self, kind: Kind, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Ended + Send> + Send + 'static,
    {
        named(kind).spawn(self.ledger.future(kind, future))
    }

    pub fn spawn_on<F>(&self, handle: &Handle, kind: Kind, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Ended + Send> + Send + 'static,
    {
        named(kind).spawn_on(self.ledger.future(kind, future), handle)
    }

    pub fn spawn_into<F>(&self, set: &mut JoinSet<F::Output>, kind: Kind, future: F) -> AbortHandle
    where
        F: Future<Output: Ended + Send> + Send + 'static,
    {
        let future = self.ledger.future(kind, future);
        set.build_task().name(kind.name()).spawn(future)
    }

    pub fn spawn_local<F>(&self, kind: Kind, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Ended> + 'static,
    {
        named(kind).spawn_local(self.ledger.future(kind, future))
    }

    pub fn spawn_blocking<R>(
        &self,
        kind: Kind,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R>
    where
        R: Ended + Send + 'static,
    {
        named(kind).spawn_blocking(self.ledger.closure(kind, function))
    }
}

fn named(kind: Kind) -> task::Builder<'static> {
    task::Builder::new().name(kind.name())
}
