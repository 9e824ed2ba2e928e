//! How are the other processes started and ended?
//!
//! A service prints its address as its first line, and ends when its standard input does: so it
//! cannot outlive the process that started it, however that ends.

use std::env::{current_exe, vars_os};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{self, Command, Stdio};

use telemetry_rt::io::{AsyncReadExt, stdin};
use telemetry_rt::task::spawn_blocking;

use crate::Failure;
use crate::collector::Collector;

/// A process that was not started yet.
pub struct Prepared {
    role: String,
    command: Command,
}

/// A process of this program.
pub struct Child {
    role: String,
    process: process::Child,
}

impl Child {
    /// This program in another role, whose spans go to the collector.
    pub fn prepare(role: &str, collector: &Collector) -> Prepared {
        let program = current_exe().expect("a program on Linux knows its file");
        let mut command = Command::new(program);
        for (name, _) in vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command
            .arg(role)
            .env("OTEL_SERVICE_NAME", role)
            .env("OTEL_TRACES_EXPORTER", "otlp")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .env("OTEL_METRICS_EXPORTER", "none")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Prepared {
            role: role.to_owned(),
            command,
        }
    }

    /// What a service has printed as its first line.
    pub async fn address(&mut self) -> Result<String, Failure> {
        let out = self.process.stdout.take().ok_or("its address was read")?;
        let line = spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        match line.await??.trim() {
            "" => Err(format!("{} ended before it had an address", self.role).into()),
            address => Ok(address.to_owned()),
        }
    }

    /// Ends a service, and waits until its spans are exported.
    pub async fn stop(mut self) -> Result<(), Failure> {
        drop(self.process.stdin.take());
        self.ended().await
    }

    /// Waits until it ends, and passes on what it printed.
    pub async fn ended(self) -> Result<(), Failure> {
        let role = self.role;
        let output = spawn_blocking(|| self.process.wait_with_output()).await??;
        std::io::stdout().write_all(&output.stdout)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{role} failed: {}", output.status).into()),
        }
    }
}

impl Prepared {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Prepared {
        self.command.arg(arg);
        self
    }

    pub fn start(mut self) -> Result<Child, Failure> {
        let process = self.command.spawn();
        Ok(Child {
            process: process.map_err(|error| format!("{} does not start: {error}", self.role))?,
            role: self.role,
        })
    }
}

/// In a service: ready when whoever started it wants it to end.
pub async fn asked_to_end() {
    let mut nothing = [0];
    // An error is as good as an end.
    while matches!(stdin().read(&mut nothing).await, Ok(1)) {}
}
