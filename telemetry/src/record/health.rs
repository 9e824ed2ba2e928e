//! What is counted about the runtime itself, and what can be read off it at any moment.

/// What is counted, one number each for every worker, and one for all other threads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Counter {
    /// Polls that were slow.
    SlowPolls = 0,
    /// Polls that ended because the cooperative budget was used up.
    ForcedYields,
    /// Times a worker went to sleep.
    Parks,
    /// Times a worker went on after a sleep.
    Unparks,
    /// Times a worker was woken, looked, and found nothing.
    EmptyWakeUps,
    /// Times a worker took tasks from another's queue.
    StealOperations,
    /// Tasks that were taken so.
    StolenTasks,
    /// Times a task was queued on the worker that made it ready.
    LocalSchedules,
    /// Times a task was queued for any worker, from outside.
    RemoteSchedules,
    /// Changes of readiness of sockets that the driver handed out.
    IoEvents,
    /// Timers that were due.
    TimersFired,
    /// Signals that arrived.
    Signals,
    /// Polls that the watchdog found still running past the threshold.
    Stalls,
}

impl Counter {
    /// How many there are; they are numbered from zero.
    pub const COUNT: usize = 13;
}

/// Numbers of the moment, which only the scheduler knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Tasks that have not ended.
    pub live_tasks: u64,
    /// Tasks that wait for any worker.
    pub injector_depth: u64,
    /// Tasks that wait for a certain worker, by its number.
    pub local_depths: Vec<u64>,
    /// Threads of the blocking pool.
    pub blocking_threads: u64,
    /// Those among them that have nothing to do.
    pub idle_blocking_threads: u64,
    /// Functions that wait for one.
    pub blocking_depth: u64,
    /// Descriptors that were ever registered with the driver.
    pub io_registered: u64,
    /// Descriptors that were taken off it again.
    pub io_deregistered: u64,
    /// Timers that are set.
    pub timers: u64,
}
