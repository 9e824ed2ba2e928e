//! What is printed at the end?

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use telemetry_rt::otel::Report;
use telemetry_rt::otel::render::escaped;
use telemetry_rt::time::Duration;

use crate::args::Args;
use crate::failures::Failure;
use crate::files::Skipped;
use crate::hash::{Hashed, Unreadable};
use crate::telemetry::{self, Recording};

/// What came of it.
pub struct Run {
    /// How many tasks were spawned for files, each of which hopped once to the blocking pool.
    pub files: usize,
    pub bytes: u64,
    pub time: Duration,
    pub hashed: Vec<Hashed>,
    pub unreadable: Vec<Unreadable>,
    pub skipped: Skipped,
    pub failures: Vec<Failure>,
}

impl Run {
    pub fn new(skipped: Skipped) -> Run {
        Run {
            files: 0,
            bytes: 0,
            time: Duration::ZERO,
            hashed: Vec::new(),
            unreadable: Vec::new(),
            skipped,
            failures: Vec::new(),
        }
    }

    /// Processes, as the runtime calls them: tasks, functions on the blocking pool, and the root.
    fn processes(&self) -> usize {
        2 * self.files + self.failures.len() + 1
    }
}

pub fn print(args: &Args, run: &Run, recording: &Recording, spans: Option<Report>) {
    let mut text = recording.as_text();
    if args.with_failures {
        text += &failures(run);
    }
    text += &totals(run);
    text += &telemetry::account(spans);
    telemetry::print(&text);
}

fn failures(run: &Run) -> String {
    let mut text = "tasks that were made to fail\n".to_owned();
    for (name, state, said) in &run.failures {
        text += &format!("  {name:<11} {state:<9} {said}\n");
    }
    text + "\n"
}

fn totals(run: &Run) -> String {
    let Run { files, bytes, .. } = run;
    let seconds = run.time.as_secs_f64();
    let megabytes = *bytes as f64 / 1e6;
    format!(
        "{files} files, {bytes} bytes in {seconds:.3} s: {:.1} MB/s\n\
         {} hashed, {} could not be read{}\n\
         {} processes: the root, {files} files, {files} hops to the blocking pool{}\n",
        megabytes / seconds.max(1e-9),
        run.hashed.len(),
        run.unreadable.len(),
        run.skipped,
        run.processes(),
        match run.failures.len() {
            0 => String::new(),
            failures => format!(", {failures} made to fail"),
        }
    )
}

impl Display for Skipped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Skipped { links, special } = *self;
        if links + special > 0 {
            write!(
                f,
                "; skipped: {links} symbolic links, {special} special files"
            )?;
        }
        Ok(())
    }
}

/// A path that a terminal can show, whatever is in it.
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}
