//! What may be changed while a runtime works.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use telemetry_rt_clock::Scale;

use super::poll_log::PollDetail;

// Relaxed throughout: a change takes effect soon, and nothing else hangs on it.

/// The switches of one recorder.
#[derive(Debug)]
pub(super) struct Settings {
    recording: AtomicBool,
    detail: AtomicU8,
    slow_poll: AtomicU64,
    futures: AtomicBool,
    most_children: AtomicU32,
    longest_life: AtomicU64,
}

/// How a [`Recorder`](super::Recorder) treats polls and parents. Can be changed at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// How much is recorded of each poll.
    pub poll_detail: PollDetail,
    /// From when on a poll is slow. Zero makes all of them slow.
    pub slow_poll: Duration,
    /// Whether futures given to `timeout` are processes of their own.
    pub trace_futures: bool,
    /// After how many children of one span further ones begin traces of their own.
    pub most_children: u32,
    /// From what age of a parent on its further children begin traces of their own.
    pub longest_life: Duration,
}

impl Default for Treatment {
    fn default() -> Treatment {
        Treatment {
            poll_detail: PollDetail::Off,
            slow_poll: Duration::from_millis(10),
            trace_futures: false,
            most_children: 128,
            longest_life: Duration::from_secs(10),
        }
    }
}

fn ticks_of(duration: Duration) -> u64 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Scale::current().ticks(nanos)
}

fn duration_of(ticks: u64) -> Duration {
    Duration::from_nanos(Scale::current().nanos(ticks))
}

impl Settings {
    pub(super) fn new(treatment: Treatment) -> Settings {
        let settings = Settings {
            recording: AtomicBool::new(true),
            detail: AtomicU8::new(0),
            slow_poll: AtomicU64::new(0),
            futures: AtomicBool::new(false),
            most_children: AtomicU32::new(0),
            longest_life: AtomicU64::new(0),
        };
        settings.set_treatment(treatment);
        settings
    }

    pub(super) fn set_treatment(&self, treatment: Treatment) {
        self.set_detail(treatment.poll_detail);
        self.set_slow_poll(treatment.slow_poll);
        self.set_traces_futures(treatment.trace_futures);
        self.most_children.store(treatment.most_children, Relaxed);
        self.longest_life
            .store(ticks_of(treatment.longest_life), Relaxed);
    }

    pub(super) fn treatment(&self) -> Treatment {
        Treatment {
            poll_detail: self.detail(),
            slow_poll: duration_of(self.slow_poll()),
            trace_futures: self.traces_futures(),
            most_children: self.most_children(),
            longest_life: duration_of(self.longest_life()),
        }
    }

    pub(super) fn set_detail(&self, detail: PollDetail) {
        self.detail.store(detail as u8, Relaxed);
    }

    pub(super) fn set_slow_poll(&self, threshold: Duration) {
        self.slow_poll.store(ticks_of(threshold), Relaxed);
    }

    pub(super) fn set_traces_futures(&self, enabled: bool) {
        self.futures.store(enabled, Relaxed);
    }

    #[inline]
    pub(super) fn is_recording(&self) -> bool {
        self.recording.load(Relaxed)
    }

    pub(super) fn set_recording(&self, recording: bool) {
        self.recording.store(recording, Relaxed);
    }

    #[inline]
    pub(super) fn detail(&self) -> PollDetail {
        PollDetail::from_number(self.detail.load(Relaxed))
    }

    /// In ticks.
    #[inline]
    pub(super) fn slow_poll(&self) -> u64 {
        self.slow_poll.load(Relaxed)
    }

    #[inline]
    pub(super) fn traces_futures(&self) -> bool {
        self.futures.load(Relaxed)
    }

    #[inline]
    pub(super) fn most_children(&self) -> u32 {
        self.most_children.load(Relaxed)
    }

    /// In ticks.
    #[inline]
    pub(super) fn longest_life(&self) -> u64 {
        self.longest_life.load(Relaxed)
    }
}
