//! The metrics about the runtime itself: `executor.*`. `docs/metrics.md` says of each what it tells.

use opentelemetry::KeyValue;

use super::collect::{BOUNDS, metric};
use super::metric::{Metric, MetricData, Number, NumberPoint};
use super::period::Period;
use crate::record::{Counter, Distribution, Gauges, HealthSnapshot, ShardHealth, WakeCause};

type Points = Vec<(Vec<KeyValue>, u64)>;

/// Adds all of them, also those that have nothing to tell yet: who reads them knows from the start
/// which there are.
pub(super) fn add_health(health: &HealthSnapshot, period: Period, metrics: &mut Vec<Metric>) {
    distributions(health, period, metrics);
    polls(health, period, metrics);
    workers(health, period, metrics);
    driver(health, period, metrics);
    gauges(&health.gauges, health.workers.len(), period, metrics);
}

fn distributions(health: &HealthSnapshot, period: Period, metrics: &mut Vec<Metric>) {
    type Part = fn(&ShardHealth) -> &Distribution;
    let all: [(&'static str, &'static str, Part); 3] = [
        (
            "executor.poll.duration",
            "How long polls of tasks and futures took.",
            |shard| &shard.polls,
        ),
        (
            "executor.schedule.delay",
            "How long tasks and futures were ready before they were polled.",
            |shard| &shard.delays,
        ),
        (
            "executor.blocking.queue.delay",
            "How long functions waited for a thread of the blocking pool.",
            |shard| &shard.blocking_delays,
        ),
    ];
    for (name, description, part) in all {
        let mut sum = Distribution::default();
        health.all().for_each(|shard| sum.add(part(shard)));
        let point = (sum.count > 0).then(|| period.distribution(Vec::new(), &sum, Vec::new()));
        let data = MetricData::Histogram {
            bounds: BOUNDS.clone(),
            points: point.into_iter().collect(),
        };
        metrics.push(metric(name, description, "s", data));
    }
}

fn polls(health: &HealthSnapshot, period: Period, metrics: &mut Vec<Metric>) {
    let total = |counter| vec![(Vec::new(), health.count(counter))];
    metrics.extend([
        period.counter(
            "executor.polls.slow",
            "Polls that took longer than polls should.",
            "{poll}",
            total(Counter::SlowPolls),
        ),
        period.counter(
            "executor.polls.stalled",
            "Polls that the watchdog found still running past its threshold.",
            "{poll}",
            total(Counter::Stalls),
        ),
        period.counter(
            "executor.yields.forced",
            "Polls that ended because the cooperative budget was used up.",
            "{poll}",
            total(Counter::ForcedYields),
        ),
        period.counter(
            "executor.wakes",
            "Times a process was made ready, by who did it.",
            "{wake}",
            wakes(health),
        ),
        period.counter(
            "executor.schedules",
            "Times a task was queued, by where it came from.",
            "{task}",
            [
                (Counter::LocalSchedules, "worker"),
                (Counter::RemoteSchedules, "outside"),
            ]
            .map(|(counter, origin)| {
                let attributes = vec![KeyValue::new("origin", origin)];
                (attributes, health.count(counter))
            }),
        ),
    ]);
}

fn wakes(health: &HealthSnapshot) -> Points {
    let of_cause = |cause: WakeCause| {
        let wakes = health.all().map(|shard| shard.wakes[cause as usize]);
        (vec![KeyValue::new("cause", cause.as_str())], wakes.sum())
    };
    WakeCause::ALL.map(of_cause).into()
}

fn workers(health: &HealthSnapshot, period: Period, metrics: &mut Vec<Metric>) {
    let each = |counter| by_worker(health, |shard| shard.count(counter));
    metrics.extend([
        busy(health, period),
        period.counter(
            "executor.worker.parks",
            "Times a worker went to sleep.",
            "{park}",
            each(Counter::Parks),
        ),
        period.counter(
            "executor.worker.wakeups.empty",
            "Times a worker was woken and found nothing to do.",
            "{wakeup}",
            each(Counter::EmptyWakeUps),
        ),
        period.counter(
            "executor.worker.steals",
            "Times a worker took tasks from another's queue.",
            "{steal}",
            each(Counter::StealOperations),
        ),
        period.counter(
            "executor.worker.tasks.stolen",
            "Tasks that a worker took from others.",
            "{task}",
            each(Counter::StolenTasks),
        ),
    ]);
}

fn by_worker(health: &HealthSnapshot, number: impl Fn(&ShardHealth) -> u64) -> Points {
    let workers = health.workers.iter().enumerate();
    workers
        .map(|(index, shard)| (worker_attribute(index), number(shard)))
        .collect()
}

fn worker_attribute(index: usize) -> Vec<KeyValue> {
    vec![KeyValue::new("worker.index", index as i64)]
}

fn busy(health: &HealthSnapshot, period: Period) -> Metric {
    let workers = health.workers.iter().enumerate();
    let points = workers.map(|(index, shard)| NumberPoint {
        attributes: worker_attribute(index),
        start: period.start,
        time: period.time,
        value: Number::Float(shard.busy_nanos as f64 / 1e9),
    });
    metric(
        "executor.worker.busy",
        "How long a worker was not asleep.",
        "s",
        MetricData::Sum {
            monotonic: true,
            points: points.collect(),
        },
    )
}

fn driver(health: &HealthSnapshot, period: Period, metrics: &mut Vec<Metric>) {
    let kinds = [
        (Counter::IoEvents, "io"),
        (Counter::TimersFired, "timer"),
        (Counter::Signals, "signal"),
    ];
    let points = kinds.map(|(counter, kind)| {
        let attributes = vec![KeyValue::new("kind", kind)];
        (attributes, health.count(counter))
    });
    metrics.push(period.counter(
        "executor.driver.events",
        "What the driver handed out: readiness of descriptors, timers, signals.",
        "{event}",
        points,
    ));
}

fn gauges(gauges: &Gauges, workers: usize, period: Period, metrics: &mut Vec<Metric>) {
    let one = |value| vec![(Vec::new(), value)];
    let busy_threads = gauges
        .blocking_threads
        .saturating_sub(gauges.idle_blocking_threads);
    let state = |state: &'static str| vec![KeyValue::new("state", state)];
    metrics.extend([
        period.gauge(
            "executor.workers",
            "Workers of the runtime.",
            "{worker}",
            one(workers as u64),
        ),
        period.gauge(
            "executor.tasks.live",
            "Tasks that have been spawned and have not ended.",
            "{task}",
            one(gauges.live_tasks),
        ),
        period.gauge(
            "executor.queue.depth",
            "Tasks that wait in a queue.",
            "{task}",
            queues(gauges, workers),
        ),
        period.gauge(
            "executor.blocking.threads",
            "Threads of the blocking pool.",
            "{thread}",
            vec![
                (state("busy"), busy_threads),
                (state("idle"), gauges.idle_blocking_threads),
            ],
        ),
        period.gauge(
            "executor.blocking.queue.depth",
            "Functions that wait for a thread of the blocking pool.",
            "{function}",
            one(gauges.blocking_depth),
        ),
        period.gauge(
            "executor.driver.descriptors",
            "Descriptors that the driver watches.",
            "{descriptor}",
            one(gauges.io_registered.saturating_sub(gauges.io_deregistered)),
        ),
        period.gauge(
            "executor.timers",
            "Timers that are set.",
            "{timer}",
            one(gauges.timers),
        ),
    ]);
}

/// Also of a runtime that has ended, which tells no depths any more.
fn queues(gauges: &Gauges, workers: usize) -> Points {
    let queue = |name: &'static str| KeyValue::new("queue", name);
    let mut points = vec![(vec![queue("global")], gauges.injector_depth)];
    points.extend((0..workers).map(|index| {
        let mut attributes = worker_attribute(index);
        attributes.insert(0, queue("local"));
        let depth = gauges.local_depths.get(index);
        (attributes, depth.copied().unwrap_or(0))
    }));
    points
}
