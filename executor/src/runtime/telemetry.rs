//! What a handle shows of its runtime's tasks, and what can be switched while they run.

use std::time::Duration;

use telemetry_rt_telemetry::record::{FlightRecord, NameList, PollDetail, ProcessType, TaskDump};

use super::handle::Handle;

impl Handle {
    /// All live tasks with their names, ages and what they wait for, and with them functions on the
    /// blocking pool, local tasks, and futures of `block_on`.
    ///
    /// No task is polled or stopped for this, so it tells even when all workers are stuck. From any
    /// thread.
    ///
    /// Cost: the lists of tasks are locked, one part after the other, while they are copied.
    ///
    /// ```
    /// # let runtime = telemetry_rt_executor::doc_runtime();
    /// # runtime.block_on(async {
    /// let handle = telemetry_rt_executor::Handle::current();
    /// let waiting = telemetry_rt_executor::spawn(std::future::pending::<()>());
    /// let dump = handle.dump_tasks();
    /// let waiting = waiting.id().to_string();
    /// assert!(dump.tasks.iter().any(|task| task.id.to_string() == waiting));
    /// # });
    /// ```
    pub fn dump_tasks(&self) -> TaskDump {
        self.recorder().dump_tasks()
    }

    /// What each thread of the runtime did last: polls, wakes, thefts, sleep. It is always being
    /// recorded; this copies it, and disturbs nobody.
    pub fn flight_record(&self) -> FlightRecord {
        self.recorder().flight_record()
    }

    /// Switches the recording of processes on or off.
    ///
    /// Those that are spawned while it is off have no spans and are not counted in
    /// `process.duration` and `process.count`; those that were spawned before are recorded to their
    /// end. Context goes on to be inherited, and the runtime's own numbers and the flight record go
    /// on to be kept.
    pub fn set_recording(&self, recording: bool) {
        self.recorder().set_recording(recording);
    }

    /// Whether processes that are spawned now are recorded.
    pub fn is_recording(&self) -> bool {
        self.recorder().is_recording()
    }

    /// Changes which tasks get spans, from now on.
    pub fn set_task_names(&self, names: NameList) {
        self.recorder().set_names(ProcessType::Task, names);
    }

    /// Changes which functions on the blocking pool get spans, from now on.
    pub fn set_blocking_names(&self, names: NameList) {
        self.recorder().set_names(ProcessType::Blocking, names);
    }

    /// Changes how much is recorded of each poll, from now on.
    pub fn set_poll_detail(&self, detail: PollDetail) {
        self.recorder().set_poll_detail(detail);
    }

    /// Changes from when on a poll is slow.
    pub fn set_slow_poll(&self, threshold: Duration) {
        self.recorder().set_slow_poll(threshold);
    }

    /// Changes whether futures given to `timeout` are processes of their own.
    pub fn set_future_tracing(&self, enabled: bool) {
        self.recorder().set_future_tracing(enabled);
    }
}
