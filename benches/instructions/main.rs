//! Instructions per operation under callgrind, compared with ceilings that are checked in.
//!
//! ```text
//! cargo bench --bench instructions                       compares, fails above a ceiling
//! cargo bench --bench instructions -- --write            takes what was measured as ceilings
//! cargo bench --bench instructions -- --tokio            tells what tokio takes, too
//! cargo bench --bench instructions -- spawn_join         only the workloads that are named
//! ```
//!
//! Unlike time they hardly depend on what else the machine does, so a rise by a few percent is
//! seen at once. They depend on compiler, C library and processor: where these are others than
//! the table was made with, the comparison is only told.
//!
//! `count` runs this program under callgrind, `workloads` is what is run, `hosts` on what,
//! `recorder` without a scheduler, `table` has the ceilings.
//!
//! Exit status: 0 none is above its ceiling; 1 one is, or something failed; 2 the arguments are
//! not understood; 77 there is no valgrind.

mod count;
mod hosts;
#[path = "../compare/workloads/rally.rs"]
mod rally;
mod recorder;
mod report;
mod table;
mod tools;
mod workloads;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use count::Count;
use hosts::Mode;
use report::Line;
use table::{Row, Table, Verdict};

/// For whatever has to come to an end.
pub const LONG: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: cargo bench --bench instructions -- [--write] [--tokio] [--ceilings FILE] [WORKLOAD]...";

/// How often something is measured: what is to be a ceiling, and what seems to be above one.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == count::RUN).is_some() {
        return run(&arguments.collect::<Vec<_>>());
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("instructions: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if !count::is_possible() {
        eprintln!("instructions: valgrind is needed");
        return ExitCode::from(77);
    }
    compare(&options).unwrap_or_else(|error| {
        eprintln!("instructions: {error}");
        ExitCode::FAILURE
    })
}

/// The part of this program that is counted.
fn run(arguments: &[String]) -> ExitCode {
    let [workload, mode, operations] = arguments else {
        return ExitCode::from(2);
    };
    let (Some(mode), Ok(operations)) = (Mode::named(mode), operations.parse()) else {
        return ExitCode::from(2);
    };
    workloads::run(workload, mode, operations);
    ExitCode::SUCCESS
}

struct Options {
    write: bool,
    tokio: bool,
    ceilings: String,
    workloads: Vec<&'static str>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            write: false,
            tokio: false,
            ceilings: concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt").to_owned(),
            workloads: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so.
                "--bench" => {}
                "--write" => options.write = true,
                "--tokio" => options.tokio = true,
                "--ceilings" => {
                    options.ceilings = arguments.next().ok_or("--ceilings needs a file")?;
                }
                name => options.workloads.push(workload(name)?),
            }
        }
        if options.workloads.is_empty() {
            options.workloads = workloads::NAMES.to_vec();
        }
        Ok(options)
    }

    /// Each workload in each mode, but for those that tokio is only asked for.
    fn rows(&self) -> Vec<(&'static str, Mode)> {
        let mut rows = Vec::new();
        for &workload in &self.workloads {
            rows.extend([(workload, Mode::Full), (workload, Mode::Metrics)]);
            if self.tokio && !workloads::is_of_recorder(workload) {
                rows.push((workload, Mode::Tokio));
            }
        }
        rows
    }
}

fn workload(name: &str) -> Result<&'static str, String> {
    let known = workloads::NAMES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| format!("{name:?} is none of {}", workloads::NAMES.join(", ")))
}

fn compare(options: &Options) -> Result<ExitCode, String> {
    let table = read(options)?;
    let tools = tools::in_use();
    println!("{}", report::heading(&tools));
    let mut lines = Vec::new();
    for (workload, mode) in options.rows() {
        let ceiling = table.ceiling(workload, mode.name());
        let count = match options.write {
            true => median(workload, mode)?,
            false => least(workload, mode, ceiling)?,
        };
        let line = Line {
            workload,
            mode: mode.name(),
            count,
            ceiling,
        };
        println!("{line}");
        lines.push(line);
    }
    if options.write {
        return write(options, table, &lines, tools);
    }
    Ok(report::conclude(&lines, &table.tools, &tools))
}

/// What it is when nothing is out of the ordinary.
fn median(workload: &str, mode: Mode) -> Result<Count, String> {
    let counts = (0..ATTEMPTS).map(|_| count::count(workload, mode));
    let mut counts = counts.collect::<Result<Vec<_>, _>>()?;
    counts.sort_by_key(|count| count.tasks);
    Ok(counts[ATTEMPTS / 2])
}

/// Measures again what is above its ceiling: what disturbs a run adds to it more often than not.
fn least(workload: &str, mode: Mode, ceiling: Option<u64>) -> Result<Count, String> {
    let mut least = count::count(workload, mode)?;
    for _ in 1..ATTEMPTS {
        if table::verdict(least.tasks, ceiling) != Verdict::Above {
            break;
        }
        let again = count::count(workload, mode)?;
        if again.tasks < least.tasks {
            least = again;
        }
    }
    Ok(least)
}

/// The ceilings; without a file, for `--write`, none.
fn read(options: &Options) -> Result<Table, String> {
    match fs::read_to_string(&options.ceilings) {
        Ok(text) => Table::parse(&text).map_err(|error| format!("{}: {error}", options.ceilings)),
        Err(_) if options.write => Ok(Table::default()),
        Err(error) => Err(format!("{}: {error}", options.ceilings)),
    }
}

fn write(
    options: &Options,
    mut table: Table,
    lines: &[Line],
    tools: String,
) -> Result<ExitCode, String> {
    if table.tools != tools {
        // Figures of other tools mean nothing beside those of these.
        table.rows.clear();
    }
    table.tools = tools;
    let ours = lines.iter().filter(|line| line.mode != Mode::Tokio.name());
    table.replace(&ours.map(Line::row).collect::<Vec<Row>>());
    fs::write(&options.ceilings, table.text())
        .map_err(|error| format!("{}: {error}", options.ceilings))?;
    println!("\nwritten: {}", options.ceilings);
    Ok(ExitCode::SUCCESS)
}
