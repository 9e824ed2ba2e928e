//! What is measured: each workload, with how much of it is one sample.
//!
//! A workload is prepared once for a runtime, and then run for each sample. It checks what it has
//! computed, and tells how many processes it started, so that nobody can be fast by doing or
//! recording less.

mod blocking;
mod fan_out;
mod latency;
mod lifecycle;
mod memory;
mod net;
mod outside;
mod ping_pong;
mod rally;
mod spawn;
mod spawn_many;
mod timers;
mod web_server;
mod yields;

use crate::runtime::Runtime;

/// One of them, for the runtime `R`.
pub struct Workload<R> {
    pub name: &'static str,
    /// Operations in one sample, about: [`Done`] says how many there were.
    pub size: usize,
    pub prepare: fn(&R) -> Body<R>,
    pub measured: Measured,
}

/// What the figure of a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Processor time.
    Cpu,
    /// Figures of its own, with these names and this unit.
    Own(&'static [&'static str], &'static str),
    /// The same, but it wants a process in which nothing was before, and one sample is enough.
    Fresh(&'static [&'static str], &'static str),
}

impl<R: Runtime> Workload<R> {
    /// One that is measured by its processor time.
    const fn new(name: &'static str, size: usize, prepare: fn(&R) -> Body<R>) -> Workload<R> {
        Workload {
            name,
            size,
            prepare,
            measured: Measured::Cpu,
        }
    }
}

/// Runs a sample of about so many operations.
pub type Body<R> = Box<dyn FnMut(&R, usize) -> Done>;

/// What a sample has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub operations: usize,
    /// Tasks spawned, functions given to the blocking pool, calls of `block_on`.
    pub processes: usize,
    /// One for each name in [`Workload::figures`].
    pub figures: Vec<f64>,
}

impl Done {
    /// Panics if what was computed is not what should have been.
    fn checked<T: PartialEq + std::fmt::Debug>(
        (operations, processes): (usize, usize),
        computed: T,
        expected: T,
    ) -> Done {
        assert_eq!(computed, expected, "a workload has computed something else");
        Done {
            operations,
            processes,
            figures: Vec::new(),
        }
    }
}

/// All of them, in the order of the table.
pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    let groups = [
        spawn::all(),
        spawn_many::all(),
        yields::all(),
        ping_pong::all(),
        web_server::all(),
        fan_out::all(),
        outside::all(),
        timers::all(),
        blocking::all(),
        net::all(),
        latency::all(),
        lifecycle::all(),
        memory::all(),
    ];
    groups.into_iter().flatten().collect()
}

/// The sum of the whole numbers below `number`: what tasks that return their index add up to.
fn sum_below(number: usize) -> usize {
    number * number.saturating_sub(1) / 2
}
