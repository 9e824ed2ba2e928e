//! The ceilings: how they are kept in a file, and what a new measurement says beside them.
//!
//! The first line of the file names what the figures depend on besides our code; each other line
//! is a workload, the mode it runs in, and its instructions per operation:
//!
//! ```text
//! measured with: rustc 1.95.0 (59807616e 2026-04-14), glibc 2.36, x86_64
//! spawn_join full 3070
//! ```
//!
//! Empty lines, and those that begin with `#`, mean nothing.

use std::fmt::Write;

/// How far a measurement may be from its ceiling, in percent of the ceiling.
pub const TOLERANCE: f64 = 3.0;

const TOOLS: &str = "measured with: ";

/// What stands at the head of the file.
const HEAD: &str = "\
# Instructions per operation on the threads that run tasks, as callgrind counts them.
# `cargo bench --bench instructions` compares, `cargo bench --bench instructions -- --write` rewrites.
";

/// What was measured, and with which tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Compiler, C library and processor: with others the figures are others.
    pub tools: String,
    pub rows: Vec<Row>,
}

/// What an operation of a workload takes in a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub workload: String,
    pub mode: String,
    pub instructions: u64,
}

/// How a measurement compares with its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Above the ceiling by more than the tolerance.
    Above,
    /// As near to it as can be asked for.
    Near,
    /// Below it by so much that the ceiling is no guard any more.
    Below,
    /// There is no ceiling.
    New,
}

impl Table {
    /// Reads the text of the file.
    ///
    /// # Errors
    ///
    /// Names the line that is not understood.
    pub fn parse(text: &str) -> Result<Table, String> {
        let mut table = Table::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_prefix(TOOLS) {
                Some(tools) => table.tools = tools.to_owned(),
                None => table.add(Row::parse(line), index + 1)?,
            }
        }
        Ok(table)
    }

    fn add(&mut self, row: Option<Row>, line: usize) -> Result<(), String> {
        let row = row.ok_or_else(|| {
            format!("line {line} is not `WORKLOAD MODE NUMBER`, with a number above zero")
        })?;
        if self.ceiling(&row.workload, &row.mode).is_some() {
            let Row { workload, mode, .. } = row;
            return Err(format!("line {line} has {workload} {mode} again"));
        }
        self.rows.push(row);
        Ok(())
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}{TOOLS}{}\n\n", self.tools);
        for row in &self.rows {
            let (workload, mode) = (&row.workload, &row.mode);
            let _ = writeln!(text, "{workload} {mode} {}", row.instructions);
        }
        text
    }

    /// How many instructions an operation of this workload may take in this mode.
    pub fn ceiling(&self, workload: &str, mode: &str) -> Option<u64> {
        let row = self
            .rows
            .iter()
            .find(|row| row.workload == workload && row.mode == mode)?;
        Some(row.instructions)
    }

    /// Takes these rows instead of those of the same workload and mode, and besides the others.
    pub fn replace(&mut self, rows: &[Row]) {
        for new in rows {
            let same = |old: &&mut Row| old.workload == new.workload && old.mode == new.mode;
            match self.rows.iter_mut().find(same) {
                Some(old) => old.instructions = new.instructions,
                None => self.rows.push(new.clone()),
            }
        }
    }
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let row = Row {
            workload: words.next()?,
            mode: words.next()?,
            instructions: words.next()?.parse().ok().filter(|number| *number > 0)?,
        };
        words.next().is_none().then_some(row)
    }
}

/// How far `measured` is from `ceiling`, in percent of the ceiling.
pub fn difference(measured: u64, ceiling: u64) -> f64 {
    100.0 * (measured as f64 - ceiling as f64) / ceiling as f64
}

pub fn verdict(measured: u64, ceiling: Option<u64>) -> Verdict {
    match ceiling.map(|ceiling| difference(measured, ceiling)) {
        None => Verdict::New,
        Some(difference) if difference > TOLERANCE => Verdict::Above,
        Some(difference) if difference < -TOLERANCE => Verdict::Below,
        Some(_) => Verdict::Near,
    }
}
