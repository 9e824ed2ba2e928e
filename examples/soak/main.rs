//! A runtime under mixed load for as long as is asked for, with faults injected at random, and at the
//! end a table, and the laws that have to hold: every span and every process is accounted for,
//! nothing is held any more, nobody was kept waiting.
//!
//! ```text
//! cargo run --release --example soak -- --minutes 30 --seed 7 --workers 2
//! ```
//!
//! With few descriptors (`ulimit -n 1024`) they run out more quickly. In reading order:
//!
//! * this file: from the command line to the exit status;
//! * `run`: the phases of a run;
//! * `load`: what is done, one file for each kind;
//! * `faults`: what goes wrong around it;
//! * `collector`: where the telemetry goes, and what it does to it;
//! * `ledger`: what the soak counts by hand; `world`: what all parts share;
//! * `laws`: what is checked at the end; `report`: what is printed;
//! * `probes`, `process`: how late things are, what the process holds;
//! * `hooks`, `patience`: panics that nobody injected, and what if it hangs;
//! * `dice`, `args`: chance, and the command line.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use args::{Args, Request};
use ledger::Kind;
use world::World;

mod args;
mod collector;
mod dice;
mod faults;
mod hooks;
mod laws;
mod ledger;
mod load;
mod patience;
mod probes;
mod process;
mod report;
mod run;
mod world;

/// A law does not hold, or the soak could not be started.
const FAILED: u8 = 1;
/// The program was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse() {
        Ok(Request::Help) => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(args)) => soak(&args).unwrap_or_else(|error| {
            eprintln!("soak: it does not start: {error}");
            ExitCode::from(FAILED)
        }),
        Err(message) => {
            eprintln!("soak: {message}");
            ExitCode::from(USAGE)
        }
    }
}

fn soak(args: &Args) -> io::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(any_seed);
    println!(
        "soak for {:?} with --seed {seed} --workers {}, at most {} descriptors",
        args.length,
        args.workers,
        faults::most_descriptors().unwrap_or_else(|| "?".to_owned())
    );
    hooks::hear();
    let world = Arc::new(World::default());
    if args.miscount {
        drop(world.ledger.begin(Kind::Leaf));
    }
    let findings = run::run(args, seed, &world)?;
    let laws = laws::judge(&world, &findings);
    report::print(&world, &findings, &laws);
    let mut status = ExitCode::SUCCESS;
    for law in laws.iter().filter(|law| !law.holds) {
        eprintln!("soak: this does not hold: {}: {}", law.text, law.figures);
        status = ExitCode::from(FAILED);
    }
    Ok(status)
}

fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |since| since.as_micros() as u64 % 1_000_000)
}
