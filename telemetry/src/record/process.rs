//! What a process is, what it is spawned with, and how it can end.

use std::panic::Location;

use super::Meta;

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

/// Where the span of a process hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lineage {
    /// Below the span that is current on the spawning thread, if there is one; but in a trace of its
    /// own, with a link, when that is the span of a process that has lived for long or has spawned
    /// many.
    #[default]
    Inherit,
    /// Below the span that is current on the spawning thread, whatever that is.
    Child,
    /// In a trace of its own, with a link to the current span.
    Root,
}

/// What a process waits for while it is idle, as far as the runtime's own primitives know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Waiting {
    /// Something the runtime does not know: a channel, a lock, a hand-written future.
    #[default]
    Other = 0,
    /// A socket or a signal.
    Io = 1,
    /// A sleep, a timeout, an interval.
    Timer = 2,
    /// A function on the blocking pool.
    Blocking = 3,
    /// The output of another task.
    Join = 4,
}

impl Waiting {
    /// How many reasons there are; they are numbered from zero.
    pub const COUNT: usize = 5;

    /// All of them, by their number.
    pub const ALL: [Waiting; Waiting::COUNT] = [
        Waiting::Other,
        Waiting::Io,
        Waiting::Timer,
        Waiting::Blocking,
        Waiting::Join,
    ];

    /// As in the names of attributes: `io`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Waiting::Other => "other",
            Waiting::Io => "io",
            Waiting::Timer => "timer",
            Waiting::Blocking => "blocking",
            Waiting::Join => "join",
        }
    }
}

/// Who made a process ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WakeCause {
    /// It was spawned.
    #[default]
    Spawn = 0,
    /// A task, during its poll or by its end; itself, when it yields.
    Task = 1,
    /// The driver: a socket or a signal is ready.
    Driver = 2,
    /// A timer was due.
    Timer = 3,
    /// A thread of the blocking pool.
    Blocking = 4,
    /// A thread that the runtime does not know.
    Foreign = 5,
}

impl WakeCause {
    /// How many causes there are; they are numbered from zero.
    pub const COUNT: usize = 6;

    /// All of them, by their number.
    pub const ALL: [WakeCause; WakeCause::COUNT] = [
        WakeCause::Spawn,
        WakeCause::Task,
        WakeCause::Driver,
        WakeCause::Timer,
        WakeCause::Blocking,
        WakeCause::Foreign,
    ];

    /// The value of the attribute `cause`.
    pub const fn as_str(self) -> &'static str {
        match self {
            WakeCause::Spawn => "spawn",
            WakeCause::Task => "task",
            WakeCause::Driver => "driver",
            WakeCause::Timer => "timer",
            WakeCause::Blocking => "blocking",
            WakeCause::Foreign => "foreign",
        }
    }
}

/// What a process is spawned with.
#[derive(Clone, Copy, Debug)]
pub struct Spawning<'a> {
    /// What the compiler knows about it.
    pub meta: &'static Meta,
    /// The name that the user gave it.
    pub name: Option<&'a str>,
    /// The line that spawns it.
    pub site: &'static Location<'static>,
    /// Where its span hangs.
    pub lineage: Lineage,
}

/// How a process ends, as the scheduler sees it.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// It returned; see [`outcome_of`](super::outcome_of).
    Returned(Outcome),
    /// It panicked, with this message, or `Box<dyn Any>` if the payload is no text.
    Panicked(&'a str),
    /// It was dropped before it ended.
    Cancelled,
}

impl Ending<'_> {
    /// How it ended, without the details.
    pub fn outcome(&self) -> Outcome {
        match self {
            Ending::Returned(outcome) => *outcome,
            Ending::Panicked(_) => Outcome::Panicked,
            Ending::Cancelled => Outcome::Cancelled,
        }
    }
}
