//! What a reactor is built from.

use crate::driver::{Driver, Sleeper};
use crate::handle::Handle;
use crate::io::Registry;
use crate::time::Wheels;
use crate::wakeup::Wakeup;
use crossbeam_utils::sync::Parker;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A function that may block its thread.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Where the reactor sends work that would block: looking up a host name is the only such work.
pub trait Offload: Send + Sync + 'static {
    /// Runs `job` on a thread that may block. `name` says what the job is for.
    ///
    /// # Errors
    ///
    /// [`Refused`] when no thread will run it; the job is dropped.
    fn offload(&self, name: &'static str, job: Job) -> Result<(), Refused>;
}

/// A job that nobody will run: the pool of blocking threads is shutting down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused;

impl Refused {
    /// The one value of this type.
    pub fn new() -> Refused {
        Refused
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the blocking job was refused: the runtime is being shut down")
    }
}

impl std::error::Error for Refused {}

/// What a reactor is built from. The executor fills it.
pub struct Config {
    /// How many shards the timers are spread over: as many as there are workers.
    pub shards: usize,
    /// How many readiness events one turn takes from the operating system at most; 1024 does.
    pub events: usize,
    /// Whether sockets and signals can be used.
    pub enable_io: bool,
    /// Whether timers can be used.
    pub enable_time: bool,
    /// Whether the clock of the timers may be paused and advanced by hand.
    pub pausable: bool,
    /// Whether that clock starts paused.
    pub start_paused: bool,
    /// Where blocking work goes. The [`Handle`] keeps it alive: what it owns must not own the
    /// handle in turn, or neither is ever freed.
    pub offload: Arc<dyn Offload>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("shards", &self.shards)
            .field("events", &self.events)
            .field("enable_io", &self.enable_io)
            .field("enable_time", &self.enable_time)
            .field("pausable", &self.pausable)
            .field("start_paused", &self.start_paused)
            .finish_non_exhaustive()
    }
}

/// Makes a driver and the handle to it.
///
/// # Errors
///
/// The operating system's, when it has no file descriptor left for the selector or its waker.
pub fn build(config: Config) -> io::Result<(Driver, Handle)> {
    let wheels = config
        .enable_time
        .then(|| Wheels::new(config.shards, config.pausable, config.start_paused));
    let (sleeper, wakeup, registry) = if config.enable_io {
        with_selector(config.events)?
    } else {
        without_selector()
    };
    let handle = Handle::new(wakeup, registry, wheels, config.offload);
    Ok((Driver::new(sleeper, handle.clone()), handle))
}

fn with_selector(events: usize) -> io::Result<(Sleeper, Wakeup, Option<Registry>)> {
    let poll = mio::Poll::new()?;
    let wakeup = Wakeup::of_selector(mio::Waker::new(poll.registry(), crate::io::WAKEUP)?);
    let registry = Registry::new(poll.registry().try_clone()?);
    Ok((Sleeper::select(poll, events), wakeup, Some(registry)))
}

fn without_selector() -> (Sleeper, Wakeup, Option<Registry>) {
    let parker = Parker::new();
    let wakeup = Wakeup::of_parker(parker.unparker().clone());
    (Sleeper::park(parker), wakeup, None)
}
