//! How polls, parents and stalls are treated: the part of the builder that is about the scheduler.

use std::path::PathBuf;
use std::time::Duration;

use super::otel::{Otel, OtelBuilder};
use super::watchdog::Watching;
use crate::record::PollDetail;

impl OtelBuilder {
    /// How much is recorded of each poll of a process that has a span. Default: nothing.
    pub fn poll_detail(mut self, detail: PollDetail) -> OtelBuilder {
        self.otel.treatment.poll_detail = detail;
        self
    }

    /// From when on a poll is slow: it is counted, and an event on the span of its process.
    /// Default: 10 ms.
    pub fn slow_poll(mut self, threshold: Duration) -> OtelBuilder {
        self.otel.treatment.slow_poll = threshold;
        self
    }

    /// Whether futures given to `timeout` are processes of their own. Default: no.
    pub fn trace_futures(mut self, enabled: bool) -> OtelBuilder {
        self.otel.treatment.trace_futures = enabled;
        self
    }

    /// After how many children of one process further ones begin traces of their own, with a link.
    /// Default: 128.
    pub fn most_children(mut self, children: u32) -> OtelBuilder {
        self.otel.treatment.most_children = children;
        self
    }

    /// From what age of a process on its further children begin traces of their own, with a link.
    /// Default: 10 s.
    pub fn longest_parent(mut self, age: Duration) -> OtelBuilder {
        self.otel.treatment.longest_life = age;
        self
    }

    /// From when on a poll that still runs is told and counted; `None` is never. Default: 1 s.
    pub fn stall(mut self, threshold: Option<Duration>) -> OtelBuilder {
        self.otel.watching.stall = threshold;
        self
    }

    /// Where flight records and dumps of tasks are written after a stall and after a panic. Default:
    /// nowhere.
    ///
    /// At most 16 of each are written; a signal has as many of its own.
    pub fn flight_folder(mut self, folder: impl Into<PathBuf>) -> OtelBuilder {
        self.otel.watching.folder = Some(folder.into());
        self
    }

    /// The signal on which they are written, too, by its number on this system. Default: none.
    ///
    /// Needs a [folder](Self::flight_folder). The signal's own effect, such as the end of the process,
    /// is gone from then on, also after the runtime has ended.
    pub fn flight_signal(mut self, signal: i32) -> OtelBuilder {
        self.otel.watching.signal = Some(signal);
        self
    }

    /// Takes back what cannot be had together, and says so.
    pub(super) fn reconcile(&mut self) {
        let watching = &mut self.otel.watching;
        if watching.signal.is_some() && watching.folder.is_none() {
            watching.signal = None;
            self.warn(
                "a signal is set for flight records (OTEL_RUST_EXECUTOR_FLIGHT_SIGNAL), but no folder \
                 (OTEL_RUST_EXECUTOR_FLIGHT_DIR); accepted: both together; the signal is ignored"
                    .to_owned(),
            );
        }
    }
}

impl Otel {
    /// What a [`Watchdog`](super::Watchdog) is to do, if there is anything for it to do: somebody
    /// who takes telemetry, or a folder for files.
    pub fn watching(&self) -> Option<Watching> {
        let watching = &self.watching;
        let is_worth_it =
            watching.folder.is_some() || (watching.stall.is_some() && self.is_exporting());
        is_worth_it.then(|| watching.clone())
    }

    /// The name of the service, from the resource.
    pub fn service_name(&self) -> String {
        let key = opentelemetry::Key::from_static_str("service.name");
        let name = self.resource.get(&key);
        name.map_or_else(|| "unknown_service".to_owned(), |name| name.to_string())
    }
}
