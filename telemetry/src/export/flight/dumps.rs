//! Where flight records are kept: a folder, and no more files in it than allowed.
//!
//! A dump is asked for in bad moments, by panics and stalls that may come by the thousand. So a
//! number of files is set once, and what comes after is refused and counted.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::perfetto::{Program, to_perfetto};
use crate::export::date::Utc;
use crate::record::{FlightRecord, TaskDump};

/// Writes flight records into a folder, each to a file of its own.
///
/// Files are named `<service>-<pid>-<date>-<number>.perfetto.json`, can be read by their owner only
/// (names and paths of a program may be private), appear complete or not at all, and never take
/// the place of another file.
#[derive(Debug)]
pub struct Dumps {
    folder: PathBuf,
    program: Program,
    limit: u32,
    /// Files that are written or being written: never more than `limit`.
    kept: AtomicU32,
    /// The number in the name of the next file.
    next: AtomicU32,
    refused: AtomicU64,
}

impl Dumps {
    /// How many files one [`Dumps`] writes unless it is told otherwise.
    pub const LIMIT: u32 = 16;

    /// Dumps of this program into `folder`, which is created with the first of them.
    pub fn new(folder: impl Into<PathBuf>, program: Program) -> Dumps {
        Dumps {
            folder: folder.into(),
            program,
            limit: Dumps::LIMIT,
            kept: AtomicU32::new(0),
            next: AtomicU32::new(1),
            refused: AtomicU64::new(0),
        }
    }

    /// Writes at most `limit` files.
    pub fn with_limit(self, limit: u32) -> Dumps {
        Dumps { limit, ..self }
    }

    /// How many records were refused because of the limit.
    pub fn refused(&self) -> u64 {
        // Relaxed: a count that nothing else hangs on.
        self.refused.load(Ordering::Relaxed)
    }

    /// Writes a record to a new file, and returns its path. May be called by many threads at once.
    ///
    /// # Errors
    ///
    /// The limit is reached, see [`DumpError::is_refused`]; or the file cannot be written, of which
    /// nothing is left behind then.
    pub fn write(&self, record: &FlightRecord) -> Result<PathBuf, DumpError> {
        self.claim()?;
        self.write_new(record).inspect_err(|_| {
            // Relaxed: as in `claim`.
            self.kept.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Writes a record as [`write`](Self::write) does, and beside it a table of the live tasks, whose
    /// name ends in `.tasks.txt`. Returns the path of the record.
    ///
    /// # Errors
    ///
    /// As for `write`; the record is there even if the table could not be written.
    pub fn write_with_tasks(
        &self,
        record: &FlightRecord,
        tasks: &TaskDump,
    ) -> Result<PathBuf, DumpError> {
        let path = self.write(record)?;
        // Both endings of `….perfetto.json` go.
        let table = path.with_extension("").with_extension("tasks.txt");
        create(&table)
            .and_then(|mut file| file.write_all(tasks.to_table().as_bytes()))
            .map_err(|error| failed(&table, error))?;
        Ok(path)
    }

    /// Takes one of the files that are allowed.
    fn claim(&self) -> Result<(), DumpError> {
        let limit = self.limit;
        let one_more = |kept| (kept < limit).then_some(kept + 1);
        // Relaxed, all three: the counts themselves are all that threads share here.
        let claimed = self
            .kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        claimed.map(|_| ()).map_err(|_| DumpError {
            path: self.folder.clone(),
            cause: Cause::Limit {
                limit,
                refused: self.refused.fetch_add(1, Ordering::Relaxed) + 1,
            },
        })
    }

    fn write_new(&self, record: &FlightRecord) -> Result<PathBuf, DumpError> {
        fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, error))?;
        loop {
            let target = self.next_path(record);
            match self.write_to(&target, record) {
                Ok(()) => return Ok(target),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&target, error)),
            }
        }
    }

    fn next_path(&self, record: &FlightRecord) -> PathBuf {
        let Program { name, pid } = &self.program;
        let name = file_name(name);
        let date = Utc::of(record.anchor.date(record.at)).to_file_name();
        // Relaxed: only uniqueness is asked for.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder
            .join(format!("{name}-{pid}-{date}-{number}.perfetto.json"))
    }

    fn write_to(&self, target: &Path, record: &FlightRecord) -> io::Result<()> {
        let unfinished = target.with_extension("unfinished");
        let file = create(&unfinished)?;
        let written = to_perfetto(record, &self.program, BufWriter::new(file))
            .and_then(|()| publish(&unfinished, target));
        // It is there twice by now, or incomplete. A failure to remove it is not worth more than
        // the error that it would hide.
        let _ = fs::remove_file(&unfinished);
        written
    }
}

/// Makes a file of its owner's, which was not there before.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Gives a complete file its name. A link fails where the name is taken, while renaming would
/// replace what has it.
fn publish(unfinished: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // There are no links on this file system. So the name is taken first, and then the file
            // that took it replaced.
            create(target)?;
            fs::rename(unfinished, target).inspect_err(|_| {
                let _ = fs::remove_file(target);
            })
        }
        linked => linked,
    }
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 64;
    let safe = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => character,
        _ => '_',
    };
    let name: String = name.chars().take(LONGEST).map(safe).collect();
    match name.trim_start_matches('.') {
        "" => "program".to_owned(),
        name => name.to_owned(),
    }
}

/// A flight record that was not written.
#[derive(Debug)]
pub struct DumpError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Limit { limit: u32, refused: u64 },
    Io(io::Error),
}

fn failed(path: &Path, error: io::Error) -> DumpError {
    DumpError {
        path: path.to_owned(),
        cause: Cause::Io(error),
    }
}

impl DumpError {
    /// Whether it was refused because as many files were written as are allowed.
    pub fn is_refused(&self) -> bool {
        matches!(self.cause, Cause::Limit { .. })
    }

    /// The file that could not be written; for a refused one, the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Limit { limit, refused } => write!(
                f,
                "no flight record was written to {path}: it has {limit} of this run already, which is \
                 the limit; {refused} refused so far"
            ),
            Cause::Io(error) => write!(f, "the flight record {path} cannot be written: {error}"),
        }
    }
}

impl std::error::Error for DumpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Limit { .. } => None,
            Cause::Io(error) => Some(error),
        }
    }
}
