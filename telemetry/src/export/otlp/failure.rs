//! Why an attempt to send failed, and whether and when another one may succeed.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::export::deadline::deadline_after;
use crate::export::render::escaped;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A collector that asks for more is tried after this, with one batch at a time.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// As much of a reply's text is shown in a warning.
const MOST_SHOWN: usize = 200;

/// Why one attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) again: Again,
}

/// Whether to try again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Soon,
    After(Duration),
}

impl Failure {
    pub(super) fn last(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            again: Again::Never,
        }
    }

    /// Until when the collector wants no request at all.
    pub(super) fn rest(&self) -> Option<Instant> {
        match self.again {
            Again::After(pause) => Some(deadline_after(pause.min(LONGEST_REST))),
            Again::Never | Again::Soon => None,
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    pub(super) fn pause(&self, attempt: u32) -> Option<Duration> {
        match self.again {
            Again::Never => None,
            // A collector that says "at once", again and again, is not asked more often than others.
            Again::After(pause) => Some(pause.max(backoff(attempt))),
            Again::Soon => Some(backoff(attempt)),
        }
    }
}

/// What is left of a pause in a shutdown.
pub(super) fn shortened(pause: Duration) -> Duration {
    pause.min(FIRST_PAUSE)
}

/// The pause after so many failed attempts.
fn backoff(attempt: u32) -> Duration {
    with_jitter((FIRST_PAUSE * 2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE))
}

/// Between half and all of a pause, so that clients that failed together do not return together.
fn with_jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 2000.0)
}

/// A collector's text as a warning may show it: its beginning, and nothing that a terminal obeys.
pub(super) fn shown_text(message: &str) -> String {
    let shown: String = message.trim().chars().take(MOST_SHOWN).collect();
    escaped(&shown)
}
