//! What is asked for on the command line.

use std::path::PathBuf;

use lexopt::prelude::*;

use crate::contenders::{self, Baseline};
use crate::workloads;

pub const HELP: &str = "\
Compares telemetry_rt with tokio and others, sample by sample.

cargo bench --bench compare -- [OPTIONS]
cargo bench --bench compare -- --workers 2,4,8 --only spawn_join,tcp_echo --contenders full

  --only NAME,…         workloads; all by default
  --contenders NAME,…   all by default but for `control`, which is tokio again: what it differs by is
                        noise; tokio takes part in any case
  --workers N,…         worker threads; 1,2 by default
  --samples N           samples of each contender, workload and number of workers; 15 by default
  --quick               a twentieth of everything, 2 samples, 2 workers: shows that all runs, no more
  --strict              fails if a span was dropped, too; else that is only told
  --json FILE           writes all figures
  --plot FILE           writes the ratios as a picture (SVG)
  --list                names of workloads and contenders

With no argument at all, as `cargo test --all-targets` runs it, it does what --quick says.
";

/// What is to be done.
pub enum Command {
    Compare(Options),
    /// Be the contender of this name, and obey stdin.
    Serve(String),
    /// Be the other side of the network.
    Load,
    List,
    Help,
}

pub struct Options {
    pub workloads: Vec<&'static str>,
    pub contenders: Vec<&'static str>,
    pub workers: Vec<usize>,
    pub samples: usize,
    pub quick: bool,
    pub strict: bool,
    pub json: Option<PathBuf>,
    pub plot: Option<PathBuf>,
}

/// Reads the arguments of the process.
///
/// # Errors
///
/// Names what was not understood, and what is accepted.
pub fn parse() -> Result<Command, lexopt::Error> {
    let mut options = Options {
        workloads: workload_names(),
        contenders: contenders::BY_DEFAULT.to_vec(),
        workers: Vec::new(),
        samples: 0,
        quick: std::env::args_os().len() <= 1,
        strict: false,
        json: None,
        plot: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("only") => options.workloads = names(&mut parser, &workload_names())?,
            Long("contenders") => options.contenders = names(&mut parser, &contenders::names())?,
            Long("workers") => options.workers = numbers(&mut parser)?,
            Long("samples") => options.samples = positive(parser.value()?.parse()?)?,
            Long("quick") => options.quick = true,
            Long("strict") => options.strict = true,
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("plot") => options.plot = Some(parser.value()?.into()),
            Long("list") => return Ok(Command::List),
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("child") => return Ok(Command::Serve(parser.value()?.string()?)),
            Long("load") => return Ok(Command::Load),
            // Cargo says this to every benchmark.
            Long("bench") => {}
            other => return Err(other.unexpected()),
        }
    }
    options.complete();
    Ok(Command::Compare(options))
}

impl Options {
    fn complete(&mut self) {
        if self.samples == 0 {
            self.samples = if self.quick { 2 } else { 15 };
        }
        if self.workers.is_empty() {
            self.workers = if self.quick { vec![2] } else { vec![1, 2] };
        }
        let baseline = contenders::BY_DEFAULT[0];
        self.contenders.retain(|name| *name != baseline);
        self.contenders.insert(0, baseline);
    }
}

pub fn workload_names() -> Vec<&'static str> {
    let all = workloads::all::<Baseline>().into_iter();
    all.map(|workload| workload.name).collect()
}

/// A comma list of names that are known.
fn names(
    parser: &mut lexopt::Parser,
    known: &[&'static str],
) -> Result<Vec<&'static str>, lexopt::Error> {
    let list = parser.value()?.string()?;
    let find = |name: &str| {
        let found = known.iter().find(|candidate| **candidate == name.trim());
        found.copied().ok_or_else(|| {
            let known = known.join(", ");
            lexopt::Error::from(format!("{name:?} is not known; there are {known}"))
        })
    };
    list.split(',').map(find).collect()
}

fn numbers(parser: &mut lexopt::Parser) -> Result<Vec<usize>, lexopt::Error> {
    let list = parser.value()?.string()?;
    let number = |word: &str| match word.trim().parse() {
        Ok(number) => positive(number),
        Err(_) => Err(format!("{word:?} is no number of worker threads, such as 2").into()),
    };
    list.split(',').map(number).collect()
}

fn positive(number: usize) -> Result<usize, lexopt::Error> {
    match number {
        0 => Err("0 is not accepted here: it has to be at least 1".into()),
        _ => Ok(number),
    }
}
