//! The process of the clients, as the server's process sees it. It says line by line how far it is,
//! and at its end what its clients did.

use std::env::{current_exe, vars_os};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::args::Args;

/// A line: all who keep their connections have one, and are quiet for a moment.
pub const CALM: &str = "calm";
/// A line: now all do what they came for.
pub const STORM: &str = "storm";
/// A line: all connections are closed. Then follows what was done.
pub const OVER: &str = "over";

pub struct Crowd {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What the clients of one kind did.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub kind: String,
    pub connections: u64,
    pub sent: u64,
    pub answered: u64,
    /// Connections that the server ended.
    pub closed: u64,
    /// Connections that could not be made.
    pub refused: u64,
}

impl Crowd {
    pub fn start(args: &Args, server: SocketAddr, length: Duration) -> Result<Crowd, Failure> {
        let mut command = Command::new(current_exe()?);
        for (name, _) in vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.args(["clients", &server.to_string()]);
        command.args(["--connections", &args.connections.to_string()]);
        command.args(["--seconds", &length.as_secs_f64().to_string()]);
        command.args(["--seed", &args.seed.to_string()]);
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let out = process.stdout.take().ok_or("the clients have no output")?;
        Ok(Crowd {
            process,
            lines: BufReader::new(out).lines(),
        })
    }

    /// Waits for the line that says this.
    pub fn wait_for(&mut self, line: &str) -> Result<(), Failure> {
        let said = self.lines.next().ok_or("the clients ended early")??;
        match said == line {
            true => Ok(()),
            false => Err(format!("the clients say {said:?}: expected {line:?}").into()),
        }
    }

    /// Waits for their end, and for what they say of it.
    pub fn ended(mut self) -> Result<Vec<Row>, Failure> {
        let rows: Result<Vec<Row>, Failure> = self.lines.map(|line| row(&line?)).collect();
        let status = self.process.wait()?;
        match status.success() {
            true => rows,
            false => Err(format!("the clients failed: {status}").into()),
        }
    }
}

impl Row {
    /// As a line for [`row`].
    pub fn line(&self) -> String {
        let Row {
            kind,
            connections,
            sent,
            answered,
            closed,
            refused,
        } = self;
        format!("{kind}\t{connections}\t{sent}\t{answered}\t{closed}\t{refused}")
    }
}

fn row(line: &str) -> Result<Row, Failure> {
    let mut words = line.split('\t');
    let mut next = || words.next().ok_or_else(|| format!("too short: {line:?}"));
    Ok(Row {
        kind: next()?.to_owned(),
        connections: next()?.parse()?,
        sent: next()?.parse()?,
        answered: next()?.parse()?,
        closed: next()?.parse()?,
        refused: next()?.parse()?,
    })
}
