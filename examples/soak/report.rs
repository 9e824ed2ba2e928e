//! What is printed: a line from time to time while it runs, and a table at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr, stdout};
use std::time::{Duration, Instant};

use telemetry_rt::runtime::Handle;

use crate::laws::{Findings, Law};
use crate::world::World;

/// The line that is updated on a terminal, and comes every few seconds elsewhere.
pub struct Progress {
    next: Instant,
    is_terminal: bool,
}

impl Progress {
    pub fn start() -> Progress {
        Progress {
            next: Instant::now(),
            is_terminal: stderr().is_terminal(),
        }
    }

    pub fn show(&mut self, world: &World, runtime: &Handle, left: Duration, resident: u64) {
        if Instant::now() < self.next {
            return;
        }
        let line = format!(
            "{:>4} s left: {} operations, {} processes, {} faults, {} tasks live, {} MiB",
            left.as_secs(),
            world.done.total(),
            world.ledger.processes(),
            world.faults.total(),
            runtime.metrics().num_alive_tasks(),
            resident / 1024
        );
        let (begin, end, pause) = match self.is_terminal {
            true => ("\r\x1b[K", "", Duration::from_millis(250)),
            false => ("", "\n", Duration::from_secs(5)),
        };
        // Whoever reads may have gone.
        let _ = write!(stderr(), "{begin}{line}{end}");
        self.next = Instant::now() + pause;
    }

    pub fn end(self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// The table, and a line for each law.
pub fn print(world: &World, findings: &Findings, laws: &[Law]) {
    let mut text = String::new();
    section(&mut text, "operations", &world.done.counts());
    section(&mut text, "faults", &world.faults.counts());
    section(
        &mut text,
        "refused for want of descriptors",
        &world.refused.counts(),
    );
    section(&mut text, "besides", &world.notes.counts());
    figures(&mut text, world, findings);
    text += "laws\n";
    for law in laws {
        let holds = match law.holds {
            true => "holds ",
            false => "BROKEN",
        };
        let _ = writeln!(text, "  {holds}  {}: {}", law.text, law.figures);
    }
    let _ = stdout().write_all(text.as_bytes());
}

fn section(text: &mut String, title: &str, counts: &BTreeMap<&'static str, u64>) {
    let _ = writeln!(text, "{title}");
    for (name, count) in counts {
        row(text, name, count);
    }
}

fn row(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "  {name:<36} {value:>12}");
}

fn figures(text: &mut String, world: &World, findings: &Findings) {
    let spans = findings.report.spans;
    let delivered = &findings.delivered;
    *text += "spans of the runtime\n";
    row(text, "produced", spans.produced);
    row(text, "exported", spans.exported);
    for (cause, lost) in spans.dropped.by_cause() {
        row(text, &format!("dropped: {cause}"), lost);
    }
    row(text, "in flight", spans.in_flight);
    *text += "spans at the collector\n";
    row(text, "accepted surely", delivered.surely);
    row(text, "accepted, answer late or cut", delivered.perhaps);
    row(text, "accepted, answer lost", delivered.mutely);
    row(text, "stored, each once", delivered.stored);
    row(text, "requests that came again", delivered.repeated);
    *text += "processes\n";
    row(text, "counted by the soak", world.ledger.processes());
    let told: u64 = delivered.processes.values().sum();
    row(text, "process.count, with those of files", told);
    *text += "memory, KiB\n";
    row(text, "at the start", findings.memory.start);
    row(text, "when warm", findings.memory.warm);
    row(text, "peak", findings.memory.peak);
    row(text, "at the end", findings.memory.end);
    *text += "longest stall, ms\n";
    let stalls = &world.stalls;
    row(
        text,
        "of the machine: a thread that sleeps",
        millis(stalls.machine.get()),
    );
    row(text, "of a task that sleeps", millis(stalls.task.get()));
    row(
        text,
        "from spawn outside to the first poll",
        millis(stalls.first_poll.get()),
    );
    row(
        text,
        "of a thread outside, in spawn",
        millis(stalls.spawn.get()),
    );
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}
