//! What is held as long as records are taken.

use std::time::Duration;

use crate::LogsBuilder;
use crate::otlp::Export;

/// Sends what waits when it is dropped.
///
/// Returned by [`init`](crate::init). Keep it in a variable, `let _logs`, not in `let _`, which
/// drops it at once. Lines are written before the call that logs returns, so they need no guard; if
/// nothing is exported, it does nothing.
///
/// # Drop
///
/// Blocks its thread until what waits is sent, for at most
/// [`shutdown_timeout`](LogsBuilder::shutdown_timeout). Records that come later are still written as
/// lines, but not sent; those that tasks write when their runtime ends are sent only if the guard is
/// dropped after the runtime.
#[derive(Debug)]
#[must_use = "records that wait are sent when this is dropped; dropped at once, it sends none"]
pub struct Logs {
    export: Option<Export>,
    within: Duration,
}

impl Logs {
    /// What is to be done with records, to be said before [`LogsBuilder::init`].
    pub fn builder() -> LogsBuilder {
        LogsBuilder::new()
    }

    pub(crate) fn new(export: Option<Export>, within: Duration) -> Logs {
        Logs { export, within }
    }

    /// How many records were meant for a collector and did not get there, for whatever reason. 0 if
    /// nothing is exported.
    pub fn lost(&self) -> u64 {
        self.export.as_ref().map_or(0, Export::lost)
    }

    /// Sends what waits now.
    ///
    /// Blocks its thread until that is done, for at most five seconds: in a task, call it by
    /// `spawn_blocking`. What could not be sent is told and counted, as always.
    pub fn flush(&self) {
        if let Some(export) = &self.export {
            export.flush();
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if let Some(export) = &self.export {
            export.end(self.within);
        }
    }
}
