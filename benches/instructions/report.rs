//! What is said about the measurements: a line for each, and what follows from all.

use std::fmt;
use std::process::ExitCode;

use crate::count::Count;
use crate::hosts::Mode;
use crate::table::{Row, TOLERANCE, Verdict, difference, verdict};

/// A measurement beside its ceiling.
pub struct Line {
    pub workload: &'static str,
    pub mode: &'static str,
    pub count: Count,
    pub ceiling: Option<u64>,
}

impl Line {
    pub fn row(&self) -> Row {
        Row {
            workload: self.workload.to_owned(),
            mode: self.mode.to_owned(),
            instructions: self.count.tasks,
        }
    }

    fn verdict(&self) -> Verdict {
        verdict(self.count.tasks, self.ceiling)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { tasks, others } = self.count;
        let ceiling = match self.ceiling {
            Some(ceiling) => {
                let difference = difference(tasks, ceiling);
                format!("{ceiling:>8} {difference:>+7.1} %")
            }
            None => format!("{:>8} {:>9}", "-", ""),
        };
        let Line { workload, mode, .. } = self;
        write!(
            f,
            "{workload:<15} {mode:<8} {tasks:>9} {ceiling} {others:>8}"
        )
    }
}

pub fn heading(tools: &str) -> String {
    format!(
        "instructions per operation, one worker; {tools}\n\n{:<15} {:<8} {:>9} {:>8} {:>9} {:>8}",
        "workload", "mode", "measured", "ceiling", "", "beside*",
    )
}

/// What follows: failure, if one is above its ceiling or has none. With other tools than those that
/// the table was made with it is only told.
pub fn conclude(lines: &[Line], tools_of_table: &str, tools: &str) -> ExitCode {
    println!("\n* on the threads of drain and exporters: goes by the clock, and has no ceiling");
    let told = |verdict, what: String| {
        let names = names(lines, verdict);
        if !names.is_empty() {
            println!("{what}: {names}");
        }
        !names.is_empty()
    };
    told(
        Verdict::Below,
        format!("more than {TOLERANCE} % below the ceiling, which --write would lower"),
    );
    let new = told(
        Verdict::New,
        "without a ceiling, which --write would make".to_owned(),
    );
    let above = told(
        Verdict::Above,
        format!("more than {TOLERANCE} % above the ceiling"),
    );
    if tools_of_table != tools {
        println!("all this says little, because the table was made with {tools_of_table}");
        return ExitCode::SUCCESS;
    }
    match above || new {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Those of ours for which this is the verdict.
fn names(lines: &[Line], verdict: Verdict) -> String {
    let ours = lines.iter().filter(|line| line.mode != Mode::Tokio.name());
    let lines = ours.filter(|line| line.verdict() == verdict);
    let names = lines.map(|line| format!("{} {}", line.workload, line.mode));
    names.collect::<Vec<_>>().join(", ")
}
