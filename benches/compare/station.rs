//! One contender at work: it is started for a workload, gives samples, and is ended.
//!
//! ```text
//!   begin(workload, workers) ──► sample(size) … ──► end
//! ```
//!
//! What is measured is the processor time of the whole process, until what the contender records
//! has left by its exporter, and the wall time until the workload is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::measure::Stopwatch;
use crate::runtime::{Ledger, Runtime};
use crate::workloads::{self, Body};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub operations: usize,
    /// Processor time in nanoseconds.
    pub cpu: f64,
    /// Wall time in nanoseconds.
    pub wall: f64,
    /// What the workload itself has measured, in the order that it names.
    pub figures: Vec<f64>,
}

/// What the workload has started, and what was recorded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// Processes that were started.
    pub started: u64,
    pub ledger: Ledger,
}

impl Books {
    /// Those of two times one after the other.
    pub fn and(self, later: Books) -> Books {
        let sum = |first: Option<u64>, second: Option<u64>| Some(first? + second?);
        let (first, second) = (self.ledger, later.ledger);
        Books {
            started: self.started + later.started,
            ledger: Ledger {
                processes: sum(first.processes, second.processes),
                spans: sum(first.spans, second.spans),
                exported: first.exported + second.exported,
                dropped: first.dropped + second.dropped,
            },
        }
    }

    /// What is wrong with them, if anything is. Every process has to be counted, and where there
    /// are spans, each has one, which is exported or known to be dropped.
    pub fn complaint(&self) -> Option<String> {
        let Books { started, ledger } = *self;
        let Ledger {
            processes,
            spans,
            exported,
            dropped,
        } = ledger;
        if let Some(counted) = processes.filter(|counted| *counted != started) {
            return Some(format!("{started} processes ran, {counted} were counted"));
        }
        if let (Some(counted), Some(spans)) = (processes, spans)
            && counted != spans
        {
            return Some(format!("{counted} processes ran, {spans} had spans"));
        }
        let spans = spans.filter(|spans| *spans != exported + dropped)?;
        Some(format!(
            "{spans} spans ended, {exported} were exported and {dropped} dropped"
        ))
    }
}

/// A contender, wherever it runs. An error is the reason why it cannot go on with this workload.
pub trait Station {
    /// Starts it, and prepares the workload.
    fn begin(&mut self, workload: &str, workers: usize) -> Result<(), String>;

    /// Runs one sample of about `size` operations.
    fn sample(&mut self, size: usize) -> Result<Sample, String>;

    /// Ends it. Its books, if it keeps any.
    fn end(&mut self) -> Result<Option<Books>, String>;
}

/// A contender in this process.
pub struct Here<R> {
    running: Option<Running<R>>,
}

struct Running<R> {
    // In this order: what the workload holds goes before the runtime.
    body: Body<R>,
    runtime: R,
    started: usize,
}

impl<R: Runtime> Here<R> {
    pub fn new() -> Here<R> {
        Here { running: None }
    }
}

impl<R: Runtime> Station for Here<R> {
    fn begin(&mut self, workload: &str, workers: usize) -> Result<(), String> {
        let mut all = workloads::all::<R>().into_iter();
        let found = all.find(|candidate| candidate.name == workload);
        let prepare = found.ok_or("there is no such workload")?.prepare;
        self.running = Some(caught(|| {
            let runtime = R::start(workers);
            Running {
                body: prepare(&runtime),
                runtime,
                started: 0,
            }
        })?);
        Ok(())
    }

    fn sample(&mut self, size: usize) -> Result<Sample, String> {
        let running = self.running.as_mut().ok_or("nothing has begun")?;
        let sampled = caught(|| running.sample(size));
        if sampled.is_err() {
            // Its state is unknown, and ending it might wait for ever.
            std::mem::forget(self.running.take());
        }
        sampled
    }

    fn end(&mut self) -> Result<Option<Books>, String> {
        let running = self.running.take().ok_or("nothing has begun")?;
        caught(|| running.end())
    }
}

impl<R: Runtime> Running<R> {
    fn sample(&mut self, size: usize) -> Sample {
        let watch = Stopwatch::start();
        let done = (self.body)(&self.runtime, size);
        let wall = watch.wall();
        self.runtime.settle();
        let cpu = watch.cpu();
        self.started += done.processes;
        Sample {
            operations: done.operations,
            cpu: cpu.as_nanos() as f64 / done.operations as f64,
            wall: wall.as_nanos() as f64 / done.operations as f64,
            figures: done.figures,
        }
    }

    fn end(self) -> Option<Books> {
        drop(self.body);
        let ledger = self.runtime.finish()?;
        Some(Books {
            started: self.started as u64,
            ledger,
        })
    }
}

/// A panic of a workload or a contender is the end of this contender, not of the comparison.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("with no message"))
    })
}
