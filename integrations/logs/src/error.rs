//! Why records could not be taken.

use std::error::Error;
use std::fmt;

/// Why [`init`](crate::init) took no records.
#[derive(Debug)]
pub struct InitError {
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Taken,
    Filter { directives: String, reason: String },
}

impl InitError {
    pub(crate) fn taken() -> InitError {
        let cause = Cause::Taken;
        InitError { cause }
    }

    pub(crate) fn filter(directives: &str, reason: &dyn Error) -> InitError {
        let cause = Cause::Filter {
            directives: directives.to_owned(),
            reason: reason.to_string(),
        };
        InitError { cause }
    }

    /// Whether another subscriber of `tracing` was installed before, by this crate or another.
    pub fn is_taken(&self) -> bool {
        matches!(self.cause, Cause::Taken)
    }

    /// Whether the directives given to [`filter`](crate::LogsBuilder::filter) are not understood.
    pub fn is_filter(&self) -> bool {
        matches!(self.cause, Cause::Filter { .. })
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Taken => f.write_str(
                "another subscriber of `tracing` was installed before; a process has one: \
                 call `telemetry_rt_logs::init` first and once, or give `TraceFormat` to the other",
            ),
            Cause::Filter { directives, reason } => write!(
                f,
                "the filter is {directives:?}; accepted: directives such as \
                 info,shop::orders=debug ({reason})"
            ),
        }
    }
}

impl Error for InitError {}
