//! SHA-256 of every file below a folder: a task per file, the hashing on the blocking pool.
//!
//! ```text
//! cargo run --release --example quickstart -- --manifest sums.txt some/folder
//! sha256sum --check sums.txt
//! ```
//!
//! The program records nothing by itself. The runtime does: a span for each task and, below it,
//! one for its hop to the blocking pool; a count and a duration of each. They are printed at the
//! end, or exported to where `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` say.
//!
//! In reading order:
//!
//! * this file: what is done, one thing after the other;
//! * `hash`: the tasks;
//! * `failures`: tasks that end in every other way;
//! * `args`, `files`, `manifest`, `output`, `report`: what a tool for the command line needs beside.

use std::process::ExitCode;
use std::thread::available_parallelism;

use telemetry_rt::otel::flight::{Program, to_perfetto};
use telemetry_rt::runtime::{Builder, Runtime};

use args::{Args, Request};
use files::Listing;
use output::Output;
use report::Run;
use telemetry::Recording;

mod args;
mod failures;
mod files;
mod hash;
mod manifest;
mod output;
mod progress;
mod report;
#[path = "../common/telemetry.rs"]
mod telemetry;

/// A file could not be read, or one that was asked for not be written.
const FAILED: u8 = 1;
/// The program was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse() {
        Ok(Request::Help) => {
            telemetry::print(args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Hash(args)) => run(&args).unwrap_or_else(|message| {
            eprintln!("quickstart: {message}");
            ExitCode::from(FAILED)
        }),
        Err(message) => {
            eprintln!("quickstart: {message}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    // First of all, so that nobody waits for sums that cannot be written.
    let manifest = Output::create(args.manifest.as_deref())?;
    let flight = Output::create(args.flight.as_deref())?;
    let outputs = [&args.manifest, &args.flight].map(Option::as_deref);
    let listing = files::below(&args.folder, args.left_out.as_deref(), &outputs);

    // Two spans for each file, and a few more.
    let (otel, recording) = Recording::choose(2 * listing.files.len() + 16);
    let runtime = runtime(otel).map_err(|error| format!("the runtime does not start: {error}"))?;
    let mut run = runtime.block_on(quickstart(args, listing));
    let record = runtime.handle().flight_record();
    let spans = recording.end(runtime);

    run.hashed.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(manifest) = manifest {
        manifest::write(manifest, &run.hashed)?;
    }
    if let Some(flight) = flight {
        let program = Program::current("quickstart");
        flight.write(|out| to_perfetto(&record, &program, out))?;
    }
    report::print(args, &run, &recording, spans);
    Ok(match run.unreadable.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

/// Each thread of the blocking pool has one file open: a few for each processor keep both the
/// disk and the processors busy, and are far from what a process may have open.
fn runtime(otel: telemetry_rt::otel::Otel) -> std::io::Result<Runtime> {
    let processors = available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(4 * processors)
        .otel(otel)
        .build()
}

/// The root: everything that is spawned below is a child of its span.
async fn quickstart(args: &Args, listing: Listing) -> Run {
    let mut run = hash::all(listing).await;
    if args.with_failures {
        hash::folder_as_file(&args.folder, &mut run).await;
        run.failures = failures::all().await;
    }
    run
}
