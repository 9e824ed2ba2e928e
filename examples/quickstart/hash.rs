//! How are the files hashed? A task for each, which hops to the blocking pool to read it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use telemetry_rt::task::{self, JoinError, JoinSet};
use telemetry_rt::time::Instant;

use crate::files::Listing;
use crate::progress::Progress;
use crate::report::Run;

/// A file that was read to its end.
pub struct Hashed {
    pub path: PathBuf,
    pub sum: Sum,
    pub bytes: u64,
}

pub type Sum = [u8; 32];

/// A file or folder that was not.
#[derive(Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub reason: io::Error,
}

/// How many tasks there are at a time. However many files: those behind them are only names.
const WINDOW: usize = 256;

/// Hashes all files, [`WINDOW`] at a time, and says at once which cannot be read.
pub async fn all(listing: Listing) -> Run {
    let start = Instant::now();
    let progress = Progress::new(listing.files.len());
    let mut run = Run::new(listing.skipped);
    for unreadable in listing.unreadable {
        note(&mut run, &progress, Err(unreadable));
    }

    let mut tasks = JoinSet::new();
    for file in listing.files {
        if tasks.len() == WINDOW {
            note_next(&mut run, &progress, &mut tasks).await;
        }
        // One trace, however many files: without `child`, a task that has spawned a hundred, or
        // lives for long, begins new traces for further ones.
        tasks.build_task().child().spawn(hash_file(file));
        run.files += 1;
    }
    while !tasks.is_empty() {
        note_next(&mut run, &progress, &mut tasks).await;
    }
    run.time = start.elapsed();
    run
}

/// A file that cannot be read, whoever runs this: a folder can be opened like one, but not read.
pub async fn folder_as_file(folder: &Path, run: &mut Run) {
    let task = telemetry_rt::spawn(hash_file(folder.to_owned()));
    run.files += 1;
    note(run, &Progress::hidden(), joined(task.await));
}

type Result = std::result::Result<Hashed, Unreadable>;

/// The task. What it returns as `Err` is seen by the runtime, and marks its span.
async fn hash_file(path: PathBuf) -> Result {
    let file = path.clone();
    // A closure has the name of the function around it, so that this one would be `hash_file`.
    let hop = task::Builder::new().name("sha256_of");
    let hop = hop.spawn_blocking(move || sha256_of(&file));
    match hop.await.unwrap_or_else(|error| Err(error.into())) {
        Ok((sum, bytes)) => Ok(Hashed { path, sum, bytes }),
        Err(reason) => Err(Unreadable { path, reason }),
    }
}

/// The hop: blocking, and on a thread that may.
fn sha256_of(path: &Path) -> io::Result<(Sum, u64)> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((sum.finalize().into(), bytes)),
            Ok(read) => {
                sum.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn note_next(run: &mut Run, progress: &Progress, tasks: &mut JoinSet<Result>) {
    if let Some(result) = tasks.join_next().await {
        note(run, progress, joined(result));
        progress.file_done(run.bytes);
    }
}

/// No task of these panics or is aborted; should one, there is no sum and nobody to blame.
fn joined(result: std::result::Result<Result, JoinError>) -> Result {
    result.expect("a task that hashes a file runs to its end")
}

fn note(run: &mut Run, progress: &Progress, result: Result) {
    match result {
        Ok(hashed) => {
            run.bytes += hashed.bytes;
            run.hashed.push(hashed);
        }
        Err(unreadable) => {
            progress.pause(|| report(&unreadable));
            run.unreadable.push(unreadable);
        }
    }
}

fn report(Unreadable { path, reason }: &Unreadable) {
    eprintln!("quickstart: {}: {reason}", crate::report::shown(path));
}
