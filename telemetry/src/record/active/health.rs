//! What is counted about the runtime itself.

use std::sync::Weak;
use std::sync::atomic::AtomicU64;

use telemetry_rt_clock::{Scale, Ticks, ticks};

use super::histogram::{Distribution, Histogram};
use super::scribe::read;
use super::shard::{Shard, Writers};
use super::view::TaskView;
use super::work_clock::WorkClock;
use crate::record::{Counter, Gauges, Recorder, WakeCause};

/// The numbers of one shard.
#[derive(Debug)]
pub(super) struct Health {
    counters: [AtomicU64; Counter::COUNT],
    wakes: [AtomicU64; WakeCause::COUNT],
    pub(super) polls: Histogram,
    pub(super) delays: Histogram,
    pub(super) blocking_delays: Histogram,
    pub(super) work: WorkClock,
}

impl Health {
    pub(super) fn new() -> Health {
        Health {
            counters: [const { AtomicU64::new(0) }; Counter::COUNT],
            wakes: [const { AtomicU64::new(0) }; WakeCause::COUNT],
            polls: Histogram::new(),
            delays: Histogram::new(),
            blocking_delays: Histogram::new(),
            work: WorkClock::new(),
        }
    }

    #[inline]
    pub(super) fn add(&self, counter: Counter, number: u64, writers: Writers) {
        writers.add(&self.counters[counter as usize], number);
    }

    #[inline]
    pub(super) fn count_wake(&self, cause: WakeCause, writers: Writers) {
        writers.add(&self.wakes[cause as usize], 1);
    }

    /// `age` tells that of the recorder, in ticks.
    pub(super) fn read(&self, scale: Scale, age: impl Fn() -> u64) -> ShardHealth {
        let distribution = |histogram: &Histogram| {
            let mut sum = Distribution::default();
            histogram.add_to(&mut sum, scale);
            sum
        };
        ShardHealth {
            counters: std::array::from_fn(|index| read(&self.counters[index])),
            wakes: std::array::from_fn(|index| read(&self.wakes[index])),
            polls: distribution(&self.polls),
            delays: distribution(&self.delays),
            blocking_delays: distribution(&self.blocking_delays),
            busy_nanos: scale.nanos(self.work.worked(age)),
        }
    }
}

/// What was counted by one worker, or by all other threads together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardHealth {
    /// By [`Counter`].
    pub counters: [u64; Counter::COUNT],
    /// How often processes were made ready, by [`WakeCause`].
    pub wakes: [u64; WakeCause::COUNT],
    /// How long polls took.
    pub polls: Distribution,
    /// How long tasks were ready and waited.
    pub delays: Distribution,
    /// How long functions waited for a thread of the blocking pool.
    pub blocking_delays: Distribution,
    /// Nanoseconds that the worker was not asleep. Of no meaning for the other threads.
    pub busy_nanos: u64,
}

impl ShardHealth {
    /// One of the numbers.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Adds what another shard counted; what is of meaning for workers only is left alone.
    fn add(&mut self, more: &ShardHealth) {
        add_each(&mut self.counters, &more.counters);
        add_each(&mut self.wakes, &more.wakes);
        self.polls.add(&more.polls);
        self.delays.add(&more.delays);
        self.blocking_delays.add(&more.blocking_delays);
    }
}

fn add_each(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// A scheduler, as far as a recorder asks it. Asked from any thread at any time.
pub trait Observed: Send + Sync {
    /// Numbers of the moment.
    fn gauges(&self) -> Gauges;

    /// All live processes, in no particular order.
    fn tasks(&self) -> Vec<TaskView>;
}

/// The health of a runtime since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// What each worker counted.
    pub workers: Vec<ShardHealth>,
    /// What all other threads counted.
    pub others: ShardHealth,
    /// Numbers of the moment; those of a runtime that has ended are zero.
    pub gauges: Gauges,
    /// Nanoseconds since the recorder was made.
    pub age_nanos: u64,
}

impl HealthSnapshot {
    /// The sum of one number over all threads.
    pub fn count(&self, counter: Counter) -> u64 {
        self.all().map(|shard| shard.count(counter)).sum()
    }

    /// The workers and the others.
    pub fn all(&self) -> impl Iterator<Item = &ShardHealth> {
        self.workers.iter().chain([&self.others])
    }
}

impl Recorder {
    /// Tells whom to ask for numbers of the moment.
    pub fn observe(&self, observed: Weak<dyn Observed>) {
        *self.observed().lock() = Some(observed);
    }

    /// What was counted about the runtime itself.
    pub fn health(&self) -> HealthSnapshot {
        HealthSnapshot {
            workers: self
                .worker_shards()
                .iter()
                .map(|shard| self.read_health(shard))
                .collect(),
            others: self.read_others(),
            gauges: self.ask(|observed| observed.gauges()).unwrap_or_default(),
            age_nanos: Scale::current().nanos(self.age(ticks())),
        }
    }

    /// What one worker counted.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    #[track_caller]
    pub fn worker_health(&self, worker: usize) -> ShardHealth {
        self.read_health(&self.worker_shards()[worker])
    }

    fn read_others(&self) -> ShardHealth {
        let mut others = self.read_health(self.other_shard());
        for guest in self.guests().all() {
            others.add(&self.read_health(&guest));
        }
        others
    }

    fn read_health(&self, shard: &Shard) -> ShardHealth {
        shard.health.read(Scale::current(), || self.age(ticks()))
    }

    /// Ticks since the recorder was made.
    #[inline]
    pub(super) fn age(&self, now: Ticks) -> u64 {
        now.since(self.started())
    }

    /// Asks the scheduler, if there still is one.
    pub(super) fn ask<R>(&self, question: impl FnOnce(&dyn Observed) -> R) -> Option<R> {
        let observed = self.observed().lock().clone()?;
        observed.upgrade().map(|observed| question(&*observed))
    }
}
