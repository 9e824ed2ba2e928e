//! A shop of two services, a load, and the trace of a request through both: in one command.
//!
//! ```text
//! cargo run --release --package telemetry_rt-http --example shop
//! ```
//!
//! It starts three processes of itself. `load` asks `frontend`, which asks `orders`, which keeps what
//! was ordered in a file. No handler says anything of traces: each process sends its spans to the
//! process that was called, as it would to a collector, and that prints three of the traces that came
//! together there: an order, one that fails, and one that is slow.
//!
//! In reading order:
//!
//! * `frontend`, `orders`: the two services; `store`: the file of the second;
//! * `load`: who asks;
//! * this file and `children`: how the processes are started and ended;
//! * `collector`, `traces`: what becomes of their spans;
//! * `args`: the command line.

use std::process::ExitCode;

use args::{Args, Role};
use children::Child;
use collector::Collector;

mod args;
mod children;
mod collector;
mod frontend;
mod load;
mod orders;
mod store;
mod traces;

/// What any of the processes may fail with: it is printed, and the process ends.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[telemetry_rt::main]
async fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("shop: {error}");
            return ExitCode::from(2);
        }
    };
    match play(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(args: Args) -> Result<(), Failure> {
    match args.role {
        Role::Shop => shop(&args).await,
        Role::Frontend { orders } => frontend::run(&orders).await,
        Role::Orders { file } => orders::run(&file).await,
        Role::Load { frontend } => load::run(&frontend, args.requests, args.at_once).await,
    }
}

/// Starts all the others, from the last to the first, and ends them from the first to the last, so
/// that nobody asks a service that is gone.
async fn shop(args: &Args) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let collector = Collector::start().await?;
    let service = |role: &str| Child::prepare(role, &collector);

    let mut orders = service("orders")
        .arg(folder.path().join("orders.txt"))
        .start()?;
    let mut frontend = service("frontend").arg(orders.address().await?).start()?;
    let load = service("load")
        .arg(frontend.address().await?)
        .arg("--requests")
        .arg(args.requests.to_string())
        .arg("--at-once")
        .arg(args.at_once.to_string())
        .start()?;
    load.ended().await?;
    frontend.stop().await?;
    orders.stop().await?;

    let came = collector.stop().await;
    print!("{}", traces::report(&came, args.requests)?);
    Ok(())
}
