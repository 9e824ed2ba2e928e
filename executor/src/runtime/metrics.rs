//! The numbers of a runtime, for code. What the scheduler knows by itself is here; what is counted
//! by the recorder is in `metrics_counted`, and is there with the feature `telemetry` only.

use std::thread::ThreadId;

use telemetry_rt_telemetry::record::{Gauges, Observed};

use super::handle::Handle;

/// The numbers of a runtime; made by [`Handle::metrics`].
///
/// All of them are read at the moment of the call. Each is right for some moment close by; two that
/// are read one after the other need not fit together.
#[derive(Clone, Debug)]
pub struct RuntimeMetrics {
    pub(super) handle: Handle,
}

impl Handle {
    /// The numbers of this runtime.
    ///
    /// ```
    /// # let runtime = telemetry_rt_executor::doc_runtime();
    /// let metrics = runtime.handle().metrics();
    /// assert_eq!(metrics.num_workers(), 1);
    /// assert_eq!(metrics.num_alive_tasks(), 0);
    /// ```
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics {
            handle: self.clone(),
        }
    }
}

impl RuntimeMetrics {
    /// How many workers there are.
    pub fn num_workers(&self) -> usize {
        self.handle.num_workers()
    }

    /// How many tasks are alive: spawned, and neither finished nor dropped.
    pub fn num_alive_tasks(&self) -> usize {
        self.handle.num_alive_tasks()
    }

    /// How many tasks wait in the queue that all workers share.
    pub fn global_queue_depth(&self) -> usize {
        self.gauges().injector_depth as usize
    }

    /// How many tasks wait in the queue of a worker. The one that is next to run is not counted.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    #[track_caller]
    pub fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.gauges().local_depths[worker] as usize
    }

    /// The thread that runs a worker; `None` if none does, as on a current-thread runtime while
    /// nobody blocks on it.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    #[track_caller]
    pub fn worker_thread_id(&self, worker: usize) -> Option<ThreadId> {
        self.handle.shared().thread_of(worker)
    }

    /// How many threads the blocking pool has.
    pub fn num_blocking_threads(&self) -> usize {
        self.gauges().blocking_threads as usize
    }

    /// How many of them have nothing to do.
    pub fn num_idle_blocking_threads(&self) -> usize {
        self.gauges().idle_blocking_threads as usize
    }

    /// How many functions wait for a thread of the blocking pool.
    pub fn blocking_queue_depth(&self) -> usize {
        self.gauges().blocking_depth as usize
    }

    /// How many descriptors were registered with the driver since the runtime was made.
    pub fn io_driver_fd_registered_count(&self) -> u64 {
        self.gauges().io_registered
    }

    /// How many of them were taken off it again.
    pub fn io_driver_fd_deregistered_count(&self) -> u64 {
        self.gauges().io_deregistered
    }

    /// How many timers are set.
    pub fn num_timers(&self) -> u64 {
        self.gauges().timers
    }

    fn gauges(&self) -> Gauges {
        self.handle.observed().gauges()
    }
}
