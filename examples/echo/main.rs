//! A TCP server that sends back what it gets, and clients that compare: in one process, over
//! loopback.
//!
//! ```text
//! cargo run --release --example echo -- --clients 64 --messages 1000 --size 512
//! ```
//!
//! In reading order:
//!
//! * this file: how both are started and ended;
//! * `server`: a loop that accepts, and a task for each connection, with a trace of its own;
//! * `client`: a task for each client;
//! * `args`: the command line.

use std::process::ExitCode;

use telemetry_rt::net::TcpListener;
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task;
use telemetry_rt::time::Instant;

use args::{Args, Request};
use client::Exchanged;
use report::Run;
use telemetry::Recording;

mod args;
mod client;
mod report;
mod server;
#[path = "../common/telemetry.rs"]
mod telemetry;

/// A byte was lost or changed, or there was no connection.
const FAILED: u8 = 1;
/// The program was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse() {
        Ok(Request::Help) => {
            telemetry::print(args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(args)) => run(&args).unwrap_or_else(|message| {
            eprintln!("echo: {message}");
            ExitCode::from(FAILED)
        }),
        Err(message) => {
            eprintln!("echo: {message}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    // A span for each end of a connection, and a few more.
    let (otel, recording) = Recording::choose(2 * args.clients + 16);
    let runtime = Builder::new_multi_thread().enable_all().otel(otel).build();
    let runtime: Runtime =
        runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    let run = runtime.block_on(echo(args))?;
    let spans = recording.end(runtime);
    report::print(&run, &recording, spans);
    Ok(match run.is_well() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

/// The root: starts the server, lets the clients come and go, and ends the server.
async fn echo(args: &Args) -> Result<Run, String> {
    // Port 0: any that is free.
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let (stop, stopped) = oneshot::channel();
    let server = telemetry_rt::spawn(server::accept_connections(listener, stopped));

    let start = Instant::now();
    let clients: Vec<_> = (0..args.clients)
        .map(|number| {
            let client = client::talk(number, address, args.messages, args.size);
            // However many there are, they are parts of one trace.
            task::Builder::new().child().spawn(client)
        })
        .collect();
    let mut run = Run::default();
    for client in clients {
        run.add(flat(client.await));
    }
    run.time = start.elapsed();

    // Only now: whoever stops accepting while clients are on their way turns them away.
    drop(stop);
    run.served = server.await.map_err(text)?;
    Ok(run)
}

fn flat(
    joined: Result<Result<Exchanged, client::Failed>, task::JoinError>,
) -> Result<Exchanged, String> {
    joined.map_err(text)?.map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
