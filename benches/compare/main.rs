//! What telemetry_rt costs, compared with tokio as it is, with tokio as it is instrumented today,
//! and with others.
//!
//! ```text
//!   args ──► contest: for each workload, rounds of one sample of each contender
//!               │            station: a contender at work, here or in a child
//!               ▼
//!   table, json, plot
//! ```
//!
//! All contenders run the same source (`workloads`), written against one trait (`runtime`). What
//! they recorded is compared with what ran: a contender that loses something is reported, and the
//! benchmark fails.

mod args;
mod child;
mod contenders;
mod contest;
mod json;
mod load;
mod measure;
mod plot;
mod quantile;
mod runtime;
mod station;
mod statistics;
mod table;
mod there;
mod workloads;

use std::process::ExitCode;

use args::{Command, Options};
use contest::{Event, Order, Outcome};
use workloads::Measured;

fn main() -> ExitCode {
    match args::parse() {
        Ok(Command::Compare(options)) => compare(&options),
        Ok(Command::Serve(name)) => serve(&name),
        Ok(Command::Load) => load(),
        Ok(Command::List) => list(),
        Ok(Command::Help) => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}

fn list() -> ExitCode {
    println!("workloads: {}", args::workload_names().join(" "));
    println!("contenders: {}", contenders::names().join(" "));
    ExitCode::SUCCESS
}

fn load() -> ExitCode {
    match load::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare, as the load process: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str) -> ExitCode {
    let Some(mut station) = contenders::here(name) else {
        eprintln!("compare: {name:?} is no contender of this program");
        return ExitCode::from(2);
    };
    child::serve(station.as_mut());
    ExitCode::SUCCESS
}

fn compare(options: &Options) -> ExitCode {
    let mut stations = Vec::new();
    for name in &options.contenders {
        match contenders::start(name) {
            Ok(station) => stations.push((*name, station)),
            Err(reason) => eprintln!("compare: {name} does not take part: {reason}"),
        }
    }
    let names: Vec<&'static str> = stations.iter().map(|(name, _)| *name).collect();
    let mut order = Order::new();
    let mut outcomes = Vec::new();
    for &workers in &options.workers {
        for workload in &options.workloads {
            let event = Event::new(workload, workers, options.samples, options.quick);
            if event.is_repetition(options.workers[0]) {
                continue;
            }
            let outcome = match event.measured {
                Measured::Fresh(..) => contest::run_fresh(event, &names),
                Measured::Cpu | Measured::Own(..) => contest::run(event, &mut stations, &mut order),
            };
            println!("{}", table::block(&outcome));
            outcomes.push(outcome);
        }
    }
    println!("{}", table::summary(&outcomes));
    match write(options, &outcomes) {
        Ok(()) => verdict(&outcomes, options.strict),
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(options: &Options, outcomes: &[Outcome]) -> Result<(), String> {
    if let Some(file) = &options.json {
        let text = json::document(outcomes, contenders::BY_DEFAULT[0]);
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(file) = &options.plot {
        plot::draw(outcomes, file)?;
    }
    Ok(())
}

/// Failure, if any contender failed, or recorded something else than what ran. That telemetry_rt
/// has dropped spans is told, and a failure if that is asked for: on a machine that does other things
/// its drain may have to wait.
fn verdict(outcomes: &[Outcome], strict: bool) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for outcome in outcomes {
        for series in &outcome.series {
            if let Some(complaint) = series.complaint() {
                let (workload, workers) = (outcome.event.workload, outcome.event.workers);
                let contender = series.contender;
                eprintln!("compare: {workload} ({workers}), {contender}: {complaint}");
                code = ExitCode::FAILURE;
            }
            let dropped = series.own_drops();
            if dropped > 0 {
                let (workload, workers) = (outcome.event.workload, outcome.event.workers);
                let contender = series.contender;
                eprintln!("compare: {workload} ({workers}), {contender}: {dropped} spans dropped");
                code = if strict { ExitCode::FAILURE } else { code };
            }
        }
    }
    code
}
