//! What has to hold at the end? Each law is held against two counts that were made independently.

use std::collections::BTreeMap;
use std::time::Duration;

use telemetry_rt::otel::Report;

use crate::collector::Delivered;
use crate::ledger::STATES;
use crate::process::Held;
use crate::world::World;

/// All that is known when everything has ended.
pub struct Findings {
    pub report: Report,
    pub delivered: Delivered,
    pub held_before: Option<Held>,
    pub held_after: Option<Held>,
    pub memory: Memory,
    /// Panics that nobody injected.
    pub panics: Vec<String>,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub start: u64,
    pub warm: u64,
    pub peak: u64,
    pub end: u64,
}

pub struct Law {
    pub text: &'static str,
    pub holds: bool,
    /// The figures of both sides.
    pub figures: String,
}

/// What the runtime may hold more after the load than when it was warm: the books of the collector,
/// and what the allocator keeps of the largest burst.
const MOST_GROWTH: u64 = 64 * 1024;
/// How long somebody may be kept, beyond what the machine keeps everybody: the tasks that block a
/// worker do so for 200 ms each, and there may be but one.
const LONGEST_STALL: Duration = Duration::from_secs(2);

pub fn judge(world: &World, findings: &Findings) -> Vec<Law> {
    let mut laws = vec![
        all_spans_are_accounted_for(findings),
        every_process_has_its_span(world, findings),
        what_counts_as_exported_was_accepted(findings),
        what_was_accepted_counts(findings),
        no_span_is_delivered_in_two_requests(findings),
        lengths_add_up(findings),
        losses_are_exported(findings),
        process_counts_are_those_of_the_soak(world, findings),
        the_shutdown_was_complete(findings),
        nothing_is_held(findings),
        memory_does_not_grow(findings),
        nobody_stalls(world),
        no_panic_but_ours(findings),
    ];
    laws.extend(world.broken().into_iter().map(|figures| Law {
        text: "each operation does what it should",
        holds: false,
        figures,
    }));
    laws
}

fn all_spans_are_accounted_for(findings: &Findings) -> Law {
    let spans = findings.report.spans;
    Law {
        text: "produced = exported + dropped, nothing in flight",
        holds: spans.is_balanced() && spans.in_flight == 0,
        figures: format!(
            "{} = {} + {}, {} in flight",
            spans.produced,
            spans.exported,
            spans.dropped.total(),
            spans.in_flight
        ),
    }
}

/// Processes of the runtime itself, such as those of files, are in its metrics only.
fn every_process_has_its_span(world: &World, findings: &Findings) -> Law {
    let processes: u64 = findings.delivered.processes.values().sum();
    let users = world.ledger.users_spans();
    Law {
        text: "spans produced = processes counted + users' spans",
        holds: findings.report.spans.produced == processes + users,
        figures: format!("{} = {processes} + {users}", findings.report.spans.produced),
    }
}

fn what_counts_as_exported_was_accepted(findings: &Findings) -> Law {
    let Delivered {
        surely, perhaps, ..
    } = findings.delivered;
    let exported = findings.report.spans.exported;
    Law {
        text: "accepted surely <= exported <= surely + perhaps",
        holds: surely <= exported && exported <= surely + perhaps,
        figures: format!("{surely} <= {exported} <= {surely} + {perhaps}"),
    }
}

fn what_was_accepted_counts(findings: &Findings) -> Law {
    let spans = findings.report.spans;
    let lost = spans.dropped.export_failed + spans.dropped.shutdown_deadline;
    let stored = findings.delivered.stored;
    Law {
        text: "exported <= stored by the collector <= exported + failed",
        holds: spans.exported <= stored && stored <= spans.exported + lost,
        figures: format!(
            "{} <= {stored} <= {} + {lost}",
            spans.exported, spans.exported
        ),
    }
}

fn no_span_is_delivered_in_two_requests(findings: &Findings) -> Law {
    Law {
        text: "no span comes in two different requests (1 in 256 looked at)",
        holds: findings.delivered.twice == 0,
        figures: format!("{} did", findings.delivered.twice),
    }
}

fn lengths_add_up(findings: &Findings) -> Law {
    Law {
        text: "busy + scheduled + idle = length (1 span in 256 looked at)",
        holds: findings.delivered.uneven == 0,
        figures: format!("{} are otherwise", findings.delivered.uneven),
    }
}

fn losses_are_exported(findings: &Findings) -> Law {
    let dropped = findings.report.spans.dropped;
    let told = &findings.delivered.dropped;
    let told_of = |cause: &str| told.get(&vec![cause.to_owned()]).copied().unwrap_or(0);
    let causes = dropped.by_cause();
    let pairs = causes.map(|(cause, spans)| format!("{cause} {spans} = {}", told_of(cause)));
    Law {
        text: "drops by cause in the report = in the exported metrics",
        holds: causes.iter().all(|(cause, spans)| told_of(cause) == *spans),
        figures: pairs.join(", "),
    }
}

/// By name and by state.
fn process_counts_are_those_of_the_soak(world: &World, findings: &Findings) -> Law {
    let mut differences = Vec::new();
    let mut counted = 0;
    for (name, (begun, ended)) in world.ledger.rows() {
        counted += begun;
        let told = STATES.map(|(_, state)| {
            let key = vec![name.to_owned(), state.to_owned()];
            findings.delivered.processes.get(&key).copied().unwrap_or(0)
        });
        if told != ended || told.iter().sum::<u64>() != begun {
            let states = STATES.map(|(_, state)| state);
            differences.push(format!(
                "{name}: {begun} began and ended as {ended:?}, exported {told:?} {states:?}"
            ));
        }
    }
    Law {
        text: "process.count = spawns counted, by name and state",
        holds: differences.is_empty(),
        figures: match differences.is_empty() {
            true => format!("{counted} processes of the soak"),
            false => differences.join("; "),
        },
    }
}

fn the_shutdown_was_complete(findings: &Findings) -> Law {
    Law {
        text: "the shutdown was complete",
        holds: findings.report.completed,
        figures: format!(
            "{} lost at its deadline",
            findings.report.spans.dropped.shutdown_deadline
        ),
    }
}

fn nothing_is_held(findings: &Findings) -> Law {
    let text = |held: Option<Held>| match held {
        None => "unknown".to_owned(),
        Some(held) => format!("{} and {}", held.descriptors, held.threads),
    };
    Law {
        text: "descriptors and threads are back to those of the start",
        holds: findings.held_before == findings.held_after,
        figures: format!(
            "{} before, {} after",
            text(findings.held_before),
            text(findings.held_after)
        ),
    }
}

fn memory_does_not_grow(findings: &Findings) -> Law {
    let Memory { warm, end, .. } = findings.memory;
    Law {
        text: "memory at the end <= when warm + 64 MiB",
        holds: end <= warm + MOST_GROWTH,
        figures: format!("{} KiB <= {} KiB + 64 MiB", end, warm),
    }
}

fn nobody_stalls(world: &World) -> Law {
    let stalls = &world.stalls;
    let longest = [&stalls.task, &stalls.first_poll, &stalls.spawn].map(|stall| stall.get());
    let longest = longest.into_iter().max().unwrap_or_default();
    let machine = stalls.machine.get();
    Law {
        text: "nobody is kept for longer than 2 s + what the machine keeps everybody",
        holds: longest <= LONGEST_STALL + machine,
        figures: format!("{longest:?} <= 2 s + {machine:?}"),
    }
}

fn no_panic_but_ours(findings: &Findings) -> Law {
    let mut panics = BTreeMap::<&str, u64>::new();
    for panic in &findings.panics {
        *panics.entry(panic).or_default() += 1;
    }
    Law {
        text: "nothing panics that was not made to",
        holds: panics.is_empty(),
        figures: match panics.is_empty() {
            true => "none".to_owned(),
            false => format!("{panics:?}"),
        },
    }
}
