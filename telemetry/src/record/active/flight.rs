//! What is seen of a runtime from outside: the flight record, and the dump of live tasks.

use std::sync::Arc;

use opentelemetry::TraceId;
use telemetry_rt_clock::{Anchor, Ticks, ticks};

use super::kind::Kind;
use super::task::{TaskDetail, TaskRecord, WakeStamp};
use super::view::{Activity, FlightRecord, TaskDump, TaskView};
use crate::record::{Recorder, Waiting};

/// A poll that is still running.
#[derive(Clone, Debug)]
pub struct RunningPoll {
    /// Since when.
    pub since: Ticks,
    /// The process.
    pub task: u64,
    /// What kind of process it is.
    pub kind: Option<Arc<Kind>>,
    /// The thread's lane.
    pub lane: Arc<str>,
}

impl Recorder {
    /// What all threads of the runtime did last. Disturbs none of them.
    pub fn flight_record(&self) -> FlightRecord {
        let mut lanes: Vec<_> = self.lanes().map(|lane| lane.view()).collect();
        // Stable, so that lanes of one name stay in the order they were made.
        lanes.sort_by_key(|lane| lane.kind);
        FlightRecord {
            at: ticks(),
            anchor: Anchor::now(),
            lanes,
            kinds: self.kinds(),
        }
    }

    /// All live tasks, in the order they were spawned. None is polled, and none is stopped.
    pub fn dump_tasks(&self) -> TaskDump {
        let mut tasks = self.ask(|observed| observed.tasks()).unwrap_or_default();
        tasks.sort_by_key(|task| task.id);
        TaskDump {
            at: ticks(),
            anchor: Anchor::now(),
            tasks,
        }
    }

    /// Polls that have been running for so many ticks, or more.
    pub fn running_polls(&self, now: Ticks, longest: u64) -> Vec<RunningPoll> {
        let running = self.lanes().filter_map(|lane| {
            let (since, task, kind) = lane.running()?;
            (now.since(since) >= longest).then(|| RunningPoll {
                since,
                task,
                kind: self.kind(kind),
                lane: Arc::clone(lane.name()),
            })
        });
        running.collect()
    }

    /// Reads processes for a dump.
    pub fn viewer(&self) -> Viewer {
        Viewer {
            kinds: self.kinds(),
            recorder: self.clone(),
            now: ticks(),
        }
    }
}

/// Reads processes for a dump, all as of one moment.
#[derive(Debug)]
pub struct Viewer {
    kinds: Vec<Arc<Kind>>,
    recorder: Recorder,
    now: Ticks,
}

impl Viewer {
    /// Whether the process is being polled.
    pub fn is_running(&self, detail: &TaskDetail) -> bool {
        detail.is_running()
    }

    /// What is to be seen of a process, which may go on meanwhile. `is_awake` says whether it was
    /// woken and has not answered yet.
    pub fn view(
        &self,
        id: u64,
        is_awake: bool,
        (record, detail, ready): (&TaskRecord, &TaskDetail, &WakeStamp),
    ) -> TaskView {
        let activity = match (is_awake, detail.is_running()) {
            (true, true) => Activity::Running,
            (true, false) => Activity::Scheduled,
            (false, _) => Activity::Idle,
        };
        let last = record.last();
        let since = match activity {
            Activity::Scheduled => Ticks(ready.get().0.0.max(last.0)),
            Activity::Running | Activity::Idle => last,
        };
        let elapsed = self.now.since(since);
        let waiting = (activity == Activity::Idle).then(|| detail.waiting());
        let (trace_id, span_id) = (detail.trace_id(), detail.span_id());
        TaskView {
            id,
            kind: self.kind(record.kind()),
            activity,
            spawned: record.spawned(),
            since,
            polls: record.polls(),
            wakes: record.wakes(),
            migrations: record.migrations(),
            busy: record.busy() + elapsed * u64::from(activity == Activity::Running),
            scheduled: record.scheduled() + elapsed * u64::from(activity == Activity::Scheduled),
            idle: self.idle(record, detail, activity, since),
            waiting,
            worker: record.worker(),
            parent: (detail.parent() != 0).then(|| detail.parent()),
            trace_id: (trace_id != TraceId::INVALID).then_some(trace_id),
            span_id: (span_id != 0).then(|| span_id.into()),
        }
    }

    /// From the list, which may be older than the process.
    fn kind(&self, index: u32) -> Option<Arc<Kind>> {
        let kind = self.kinds.get(index as usize).cloned();
        kind.or_else(|| self.recorder.kind(index))
    }

    /// Idleness by reason, with the present one. What was waited for without the runtime's knowledge
    /// is the rest of the life.
    fn idle(
        &self,
        record: &TaskRecord,
        detail: &TaskDetail,
        activity: Activity,
        since: Ticks,
    ) -> [u64; Waiting::COUNT] {
        let mut idle = detail.idle();
        let waiting = detail.waiting() as usize;
        if activity == Activity::Scheduled {
            // The poll that answers the wake books this.
            idle[waiting] += since.since(record.last());
        }
        let known: u64 = idle.iter().sum::<u64>() + record.busy() + record.scheduled();
        idle[Waiting::Other as usize] += since.since(record.spawned()).saturating_sub(known);
        if activity == Activity::Idle {
            idle[waiting] += self.now.since(since);
        }
        idle
    }
}
