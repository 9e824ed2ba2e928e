//! What is printed at the end?

use telemetry_rt::otel::Report;
use telemetry_rt::time::Duration;

use crate::client::Exchanged;
use crate::server::Served;
use crate::telemetry::{self, Recording};

/// What came of it.
#[derive(Default)]
pub struct Run {
    clients: usize,
    failed: usize,
    exchanged: Exchanged,
    pub served: Served,
    pub time: Duration,
}

impl Run {
    /// Adds what a client has done; says at once if it failed.
    pub fn add(&mut self, client: Result<Exchanged, String>) {
        self.clients += 1;
        match client {
            Ok(Exchanged { messages, bytes }) => {
                self.exchanged.messages += messages;
                self.exchanged.bytes += bytes;
            }
            Err(message) => {
                self.failed += 1;
                eprintln!("echo: {message}");
            }
        }
    }

    /// Whether every byte that was sent was echoed, and came back.
    pub fn is_well(&self) -> bool {
        self.failed == 0 && self.served.errors == 0 && self.served.bytes == self.exchanged.bytes
    }
}

pub fn print(run: &Run, recording: &Recording, spans: Option<Report>) {
    let mut text = recording.as_text();
    text += &totals(run);
    text += &telemetry::account(spans);
    telemetry::print(&text);
}

fn totals(run: &Run) -> String {
    let Exchanged { messages, bytes } = run.exchanged;
    let seconds = run.time.as_secs_f64();
    let per_second = |amount: f64| amount / seconds.max(1e-9);
    format!(
        "{} clients, {messages} messages in {seconds:.3} s: {:.0} messages/s, {:.1} MB/s each way\n\
         {bytes} bytes came back as they were sent; the server echoed {} on {} connections\n",
        run.clients,
        per_second(messages as f64),
        per_second(bytes as f64 / 1e6),
        run.served.bytes,
        run.served.connections,
    )
}
