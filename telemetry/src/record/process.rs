//! What a process is, and how it can end.

/// What kind of work a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessType {
    /// A spawned future.
    Task,
    /// A function on the blocking pool.
    Blocking,
    /// The future given to `block_on`.
    Future,
}

impl ProcessType {
    /// The value of the attributes `type` and `task.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProcessType::Task => "task",
            ProcessType::Blocking => "blocking",
            ProcessType::Future => "future",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It returned, and what it returned is not an `Err`.
    Finished = 0,
    /// It returned an `Err`.
    Failed = 1,
    /// It panicked.
    Panicked = 2,
    /// It returned `Err(Elapsed)`: its time was up.
    TimedOut = 3,
    /// It was aborted, or dropped before it ended.
    Cancelled = 4,
}

impl Outcome {
    /// How many outcomes there are; they are numbered from zero.
    pub const COUNT: usize = 5;

    /// All of them, by their number.
    pub const ALL: [Outcome; Outcome::COUNT] = [
        Outcome::Finished,
        Outcome::Failed,
        Outcome::Panicked,
        Outcome::TimedOut,
        Outcome::Cancelled,
    ];

    /// The value of the attributes `state` and `task.state`.
    pub const fn state(self) -> &'static str {
        match self {
            Outcome::Finished => "finished",
            Outcome::Failed | Outcome::Panicked => "exception",
            Outcome::TimedOut => "timeout",
            Outcome::Cancelled => "cancelled",
        }
    }

    /// Whether a span that ended so is marked as an error. Cancellation is none.
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Outcome::Failed | Outcome::Panicked | Outcome::TimedOut
        )
    }
}
