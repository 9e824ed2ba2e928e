//! A server among ten thousand clients, many of which mean it ill: what it bears, and the laws that
//! have to hold at the end.
//!
//! ```text
//! cargo run --release --package telemetry_rt-http --example storm -- --connections 10000 --seconds 20
//! ```
//!
//! The server is in this process, with axum and full telemetry, whose exporter counts. The clients are
//! in another process of this program. They come three times: twice for as long as is asked for, so
//! that the memory of the second storm can be held against that of the first; and once more for a
//! moment, in which the server is shut down while they go on.
//!
//! In reading order:
//!
//! * this file: from the command line to the exit status;
//! * `run`: the storms, one after the other;
//! * `server`: the server and its service; `count`: what is counted of it;
//! * `clients`: who comes, one file for each kind of them; `crowd`: their process, seen from here;
//! * `laws`: what has to hold; `report`: what is printed;
//! * `process`, `descriptors`, `heap`: what the operating system says and allows, and what is allocated;
//! * `args`: the command line.

use std::process::ExitCode;

use args::{Args, Role};

mod args;
mod clients;
mod count;
mod crowd;
mod descriptors;
mod heap;
mod laws;
mod process;
mod report;
mod run;
mod server;

/// What either process may fail with: it is printed, and the process ends.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A law does not hold, or the storm could not begin.
const FAILED: u8 = 1;
/// The program was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("storm: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let played = match &args.role {
        Role::Server => storm(args),
        Role::Clients { server } => clients::run(&args, *server).map(|()| ExitCode::SUCCESS),
    };
    played.unwrap_or_else(|error| {
        eprintln!("storm: {error}");
        ExitCode::from(FAILED)
    })
}

fn storm(mut args: Args) -> Result<ExitCode, Failure> {
    let allowed = descriptors::raise()?;
    let fitting = clients::most_that_fit(allowed);
    if fitting < args.connections {
        println!(
            "{allowed} descriptors are allowed, which is enough for {fitting} of {} connections",
            args.connections
        );
        args.connections = fitting;
    }
    let findings = run::run(&args)?;
    let laws = laws::judge(&findings);
    print!("{}", report::text(&findings, &laws));
    let mut status = ExitCode::SUCCESS;
    for law in laws.iter().filter(|law| !law.holds) {
        eprintln!("storm: this does not hold: {}: {}", law.text, law.figures);
        status = ExitCode::from(FAILED);
    }
    Ok(status)
}
