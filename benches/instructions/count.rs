//! How many instructions an operation takes: this program runs itself under callgrind.
//!
//! The work is done N times in one run and 2 N times in another, so that starting and ending falls
//! out of the difference. callgrind writes a file for each thread. Those that have called
//! [`counted_thread`] are summed up; what drain and exporters do goes by the clock, and is told
//! apart.
//!
//! What a run may depend on is held fast: an empty environment, threads that take turns instead of
//! racing (`--fair-sched`), and one set of the C library's functions for copying, whatever the
//! processor has (`GLIBC_TUNABLES`). The latter takes up to 3 % more than with AVX.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::hosts::Mode;

/// The first argument of a run under callgrind.
pub const RUN: &str = "--run";

/// By how many operations two runs differ. A multiple of all batches.
const OPERATIONS: u64 = 10_000;

/// How many a run has at most.
pub const MOST_OPERATIONS: usize = 2 * OPERATIONS as usize;

/// The C library copies and compares by SSE2, which every processor of the architecture has.
const TUNABLES: &str = "glibc.cpu.hwcaps=\
    -AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3";

/// Instructions of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// On the threads that run tasks.
    pub tasks: u64,
    /// On all others: drain and exporters.
    pub others: u64,
}

/// Marks the thread as one that is counted: callgrind's file about it names this function. Not
/// inlined, and unlike any other function, so that it stays one of its own.
#[inline(never)]
pub fn counted_thread() {
    black_box("this thread is counted");
}

const MARK: &str = "counted_thread";

/// Counts an operation of this workload.
///
/// # Errors
///
/// When the run under callgrind fails, or what it writes is not understood.
pub fn count(workload: &str, mode: Mode) -> Result<Count, String> {
    let once = run(workload, mode, OPERATIONS)?;
    let twice = run(workload, mode, 2 * OPERATIONS)?;
    let an_operation = |once: u64, twice: u64| twice.saturating_sub(once) / OPERATIONS;
    Ok(Count {
        tasks: an_operation(once.tasks, twice.tasks),
        others: an_operation(once.others, twice.others),
    })
}

/// All instructions of a run.
fn run(workload: &str, mode: Mode, operations: u64) -> Result<Count, String> {
    let folder = Folder::new()?;
    let output = valgrind()
        .args([
            "--tool=callgrind",
            "--separate-threads=yes",
            "--fair-sched=yes",
        ])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.0.join("out").display()
        ))
        .arg(env::current_exe().map_err(|error| error.to_string())?)
        .args([RUN, workload, mode.name(), &operations.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    match output.status.success() {
        true => folder.sum(),
        false => Err(failure(&output)),
    }
}

/// Whether there is a valgrind.
pub fn is_possible() -> bool {
    let version = valgrind().arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.env_clear().env("GLIBC_TUNABLES", TUNABLES);
    command.envs(env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

fn failure(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("the run ended with {}:\n{said}", output.status)
}

/// Where the files of a run are, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: any number that nobody else has.
        let name = format!(
            "callgrind-{}-{}",
            std::process::id(),
            RUNS.fetch_add(1, Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    fn sum(&self) -> Result<Count, String> {
        let mut sum = Count {
            tasks: 0,
            others: 0,
        };
        let files = fs::read_dir(&self.0).map_err(|error| error.to_string())?;
        for file in files {
            let path = file.map_err(|error| error.to_string())?.path();
            let profile = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let total = total(&profile).unwrap_or(0);
            match profile.contains(MARK) {
                true => sum.tasks += total,
                false => sum.others += total,
            }
        }
        match sum.tasks {
            0 => Err(format!("callgrind has seen no thread that calls `{MARK}`")),
            _ => Ok(sum),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is below `target`.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The instructions in a file of callgrind; the one that is no thread's is empty.
fn total(profile: &str) -> Option<u64> {
    let totals = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    totals?.trim().parse().ok()
}
