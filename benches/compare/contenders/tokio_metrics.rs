//! tokio with tokio-metrics: one monitor, and each task instrumented by it.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio_metrics::TaskMonitor;

use super::on_tokio::{Instrument, build};

static MONITOR: LazyLock<TaskMonitor> = LazyLock::new(TaskMonitor::new);

pub struct Monitored;

impl Instrument for Monitored {
    fn start(builder: Builder) -> (Runtime, Monitored) {
        (build(builder), Monitored)
    }

    #[inline]
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        MONITOR.instrument(future)
    }
}
