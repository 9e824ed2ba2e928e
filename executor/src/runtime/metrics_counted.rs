//! The numbers of a runtime that its recorder counts.
//!
//! The names are those of tokio's `RuntimeMetrics`, for what means the same; what is only here says
//! so. `worker_overflow_count` is missing: the queues of workers grow, and never overflow.

use std::ops::Range;
use std::time::Duration;

use telemetry_rt_telemetry::record::{
    BOUNDS_NANOS, Counter, Distribution, HealthSnapshot, ProcessType, ShardHealth, WakeCause,
};

use super::metrics::RuntimeMetrics;

impl RuntimeMetrics {
    /// How long a worker was not asleep.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number; so do all that ask for one.
    #[track_caller]
    pub fn worker_total_busy_duration(&self, worker: usize) -> Duration {
        Duration::from_nanos(self.worker(worker).busy_nanos)
    }

    /// How often a worker went to sleep.
    #[track_caller]
    pub fn worker_park_count(&self, worker: usize) -> u64 {
        self.worker(worker).count(Counter::Parks)
    }

    /// How often a worker went to sleep, and how often it went on, together: an odd number while it
    /// sleeps.
    #[track_caller]
    pub fn worker_park_unpark_count(&self, worker: usize) -> u64 {
        let health = self.worker(worker);
        health.count(Counter::Parks) + health.count(Counter::Unparks)
    }

    /// How often a worker was woken and found nothing to do.
    #[track_caller]
    pub fn worker_noop_count(&self, worker: usize) -> u64 {
        self.worker(worker).count(Counter::EmptyWakeUps)
    }

    /// How many tasks a worker took from others.
    #[track_caller]
    pub fn worker_steal_count(&self, worker: usize) -> u64 {
        self.worker(worker).count(Counter::StolenTasks)
    }

    /// How often it did so: several tasks are taken at once.
    #[track_caller]
    pub fn worker_steal_operations(&self, worker: usize) -> u64 {
        self.worker(worker).count(Counter::StealOperations)
    }

    /// How many polls of tasks a worker made.
    #[track_caller]
    pub fn worker_poll_count(&self, worker: usize) -> u64 {
        self.worker(worker).polls.count
    }

    /// How long a poll of a worker took on average; zero if it made none.
    #[track_caller]
    pub fn worker_mean_poll_time(&self, worker: usize) -> Duration {
        let polls = self.worker(worker).polls;
        Duration::from_nanos(polls.sum_nanos / polls.count.max(1))
    }

    /// How many tasks were queued on a worker by itself.
    #[track_caller]
    pub fn worker_local_schedule_count(&self, worker: usize) -> u64 {
        self.worker(worker).count(Counter::LocalSchedules)
    }

    /// How many tasks were queued from outside of the runtime.
    pub fn remote_schedule_count(&self) -> u64 {
        self.health().count(Counter::RemoteSchedules)
    }

    /// How many tasks were spawned: those that have ended, and those that are alive. Tasks that
    /// were spawned while recording was switched off are missing once they have ended.
    pub fn spawned_tasks_count(&self) -> u64 {
        let snapshot = self.handle.recorder().snapshot();
        let ended = snapshot
            .processes
            .iter()
            .filter(|point| point.kind.process_type == ProcessType::Task)
            .map(|point| point.durations.count);
        ended.sum::<u64>() + self.num_alive_tasks() as u64
    }

    /// How often a task was made to yield because its cooperative budget was used up.
    pub fn budget_forced_yield_count(&self) -> u64 {
        self.health().count(Counter::ForcedYields)
    }

    /// How many changes of readiness the driver has handed out.
    pub fn io_driver_ready_count(&self) -> u64 {
        self.health().count(Counter::IoEvents)
    }

    /// How many timers were due. Not in tokio.
    pub fn timers_fired_count(&self) -> u64 {
        self.health().count(Counter::TimersFired)
    }

    /// How many polls were slow. Not in tokio.
    pub fn slow_poll_count(&self) -> u64 {
        self.health().count(Counter::SlowPolls)
    }

    /// How often processes were made ready for this reason. Not in tokio.
    pub fn wake_count(&self, cause: WakeCause) -> u64 {
        let health = self.health();
        health.all().map(|shard| shard.wakes[cause as usize]).sum()
    }

    /// Whether the lengths of polls are counted: always.
    pub fn poll_time_histogram_enabled(&self) -> bool {
        true
    }

    /// How many buckets the histogram of the lengths of polls has.
    pub fn poll_time_histogram_num_buckets(&self) -> usize {
        BOUNDS_NANOS.len() + 1
    }

    /// What falls into a bucket. The last one reaches to [`Duration::MAX`].
    ///
    /// # Panics
    ///
    /// If there is no bucket of that number.
    #[track_caller]
    pub fn poll_time_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        bucket_range(bucket)
    }

    /// How many polls of a worker fell into a bucket.
    ///
    /// # Panics
    ///
    /// If there is no such worker, or no such bucket.
    #[track_caller]
    pub fn poll_time_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.worker(worker).polls.buckets[bucket]
    }

    /// Whether it is counted how long tasks were ready and waited: always.
    pub fn schedule_latency_histogram_enabled(&self) -> bool {
        true
    }

    /// How many buckets that histogram has.
    pub fn schedule_latency_histogram_num_buckets(&self) -> usize {
        BOUNDS_NANOS.len() + 1
    }

    /// What falls into a bucket. The last one reaches to [`Duration::MAX`].
    ///
    /// # Panics
    ///
    /// If there is no bucket of that number.
    #[track_caller]
    pub fn schedule_latency_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        bucket_range(bucket)
    }

    /// How often a task that a worker polled had waited for so long.
    ///
    /// # Panics
    ///
    /// If there is no such worker, or no such bucket.
    #[track_caller]
    pub fn schedule_latency_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.worker(worker).delays.buckets[bucket]
    }

    /// How long functions waited for a thread of the blocking pool. Not in tokio.
    pub fn blocking_queue_delay(&self) -> Distribution {
        self.health().others.blocking_delays
    }

    fn health(&self) -> HealthSnapshot {
        self.handle.recorder().health()
    }

    #[track_caller]
    fn worker(&self, worker: usize) -> ShardHealth {
        self.handle.recorder().worker_health(worker)
    }
}

#[track_caller]
fn bucket_range(bucket: usize) -> Range<Duration> {
    let bound = |index: usize| Duration::from_nanos(BOUNDS_NANOS[index]);
    let start = bucket.checked_sub(1).map_or(Duration::ZERO, bound);
    match bucket {
        _ if bucket == BOUNDS_NANOS.len() => start..Duration::MAX,
        _ => start..bound(bucket),
    }
}
