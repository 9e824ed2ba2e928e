//! What has to hold at the end? Each law is held against two counts that were made independently.

use std::sync::atomic::Ordering::Relaxed;

use telemetry_rt_http::CloseReason;

use crate::count::total;
use crate::crowd::Row;
use crate::run::{Findings, Storm};

pub struct Law {
    pub text: &'static str,
    pub holds: bool,
    /// The figures of both sides.
    pub figures: String,
}

/// KiB that may be allocated for each connection at the peak, with all that the storm has the server
/// remember: requests, spans, heads and bodies.
const MOST_PER_CONNECTION: i64 = 64;
/// KiB that are there for other things than connections: the queue of spans, above all, and whatever
/// a machine that is short of time has piled up.
const MOST_BESIDES: i64 = 160 * 1024;
/// KiB that may be allocated after a storm more than after the one before: what the first one did not
/// happen to need, such as a series of a metric, or room of a task's memory.
const MOST_GROWTH: i64 = 4 * 1024;

pub fn judge(findings: &Findings) -> Vec<Law> {
    let mut laws = vec![
        every_request_has_a_duration(findings),
        every_request_has_a_span(findings),
        every_handler_is_gone(findings),
        no_request_is_active(findings),
        answers_were_given_to_requests(findings),
        every_connection_ended_for_a_reason(findings),
        no_connection_panicked(findings),
        connections_are_as_measured(findings),
        spans_are_accounted_for(findings),
        memory_does_not_grow(findings),
        everybody_was_there(findings),
    ];
    for storm in &findings.storms {
        laws.push(rest_is_rest(storm));
        laws.push(tasks_are_back(findings, storm));
        laws.push(descriptors_are_back(findings, storm));
        laws.push(memory_is_bounded(findings, storm));
        laws.push(memory_is_used_again(storm));
    }
    laws
}

fn equal(text: &'static str, one: i64, other: i64) -> Law {
    Law {
        text,
        holds: one == other,
        figures: format!("{one} = {other}"),
    }
}

fn began(findings: &Findings) -> i64 {
    findings.ended.counts.began.load(Relaxed) as i64
}

fn every_request_has_a_duration(findings: &Findings) -> Law {
    equal(
        "requests that began = durations",
        began(findings),
        total(&findings.ended.metrics, "http.server.request.duration"),
    )
}

/// What was dropped is not known by kind.
fn every_request_has_a_span(findings: &Findings) -> Law {
    let servers = findings.ended.counts.servers.load(Relaxed) as i64;
    let dropped = findings.ended.spans.spans.dropped.total() as i64;
    let began = began(findings);
    Law {
        text: "SERVER spans <= requests that began <= SERVER spans + dropped spans",
        holds: servers <= began && began <= servers + dropped,
        figures: format!("{servers} <= {began} <= {servers} + {dropped}"),
    }
}

fn every_handler_is_gone(findings: &Findings) -> Law {
    let counts = &findings.ended.counts;
    equal(
        "requests that reached a route = those that left it",
        counts.routed.load(Relaxed) as i64,
        counts.left.load(Relaxed) as i64,
    )
}

fn no_request_is_active(findings: &Findings) -> Law {
    let active = total(&findings.ended.metrics, "http.server.active_requests");
    equal("active requests at the end = 0", active, 0)
}

fn answers_were_given_to_requests(findings: &Findings) -> Law {
    let storms = findings.storms.iter().flat_map(|storm| &storm.rows);
    let rows = storms.chain(&findings.last);
    let answered: u64 = rows.map(|row| row.answered).sum();
    let began = began(findings);
    Law {
        text: "0 < answers that clients read <= requests that began",
        holds: answered > 0 && answered as i64 <= began,
        figures: format!("0 < {answered} <= {began}"),
    }
}

fn every_connection_ended_for_a_reason(findings: &Findings) -> Law {
    let report = &findings.ended.report;
    equal(
        "connections accepted = connections that ended, by reason",
        report.accepted as i64,
        report.closed_in_all() as i64,
    )
}

fn no_connection_panicked(findings: &Findings) -> Law {
    let panics = findings.ended.report.closed(CloseReason::Panic);
    equal("connections that ended by a panic = 0", panics as i64, 0)
}

fn connections_are_as_measured(findings: &Findings) -> Law {
    let metrics = &findings.ended.metrics;
    let closed = total(metrics, "http.server.connections.closed");
    let open = total(metrics, "http.server.connections.open");
    let reported = findings.ended.report.closed_in_all();
    Law {
        text: "connections: closed as in the report, and none open",
        holds: closed == reported as i64 && open == 0,
        figures: format!("{closed} = {reported}, {open} open"),
    }
}

fn spans_are_accounted_for(findings: &Findings) -> Law {
    let spans = findings.ended.spans.spans;
    let counts = &findings.ended.counts;
    let came = counts.servers.load(Relaxed) + counts.others.load(Relaxed);
    Law {
        text: "spans: produced = exported + dropped, and the exporter has all exported ones",
        holds: spans.is_balanced() && spans.in_flight == 0 && came == spans.exported,
        figures: format!(
            "{} = {} + {}, {came} came",
            spans.produced,
            spans.exported,
            spans.dropped.total()
        ),
    }
}

/// Of what is allocated. The allocator of the system keeps what was freed, the more the larger the
/// peak was; so of resident memory only a bound is a law.
fn memory_does_not_grow(findings: &Findings) -> Law {
    let after: Vec<i64> = findings
        .storms
        .iter()
        .map(|storm| storm.after.heap)
        .collect();
    let is_even = after
        .windows(2)
        .all(|pair| pair[1] <= pair[0] + MOST_GROWTH);
    Law {
        text: "allocated after a storm <= after the one before + 4 MiB",
        holds: is_even,
        figures: format!("{after:?} KiB"),
    }
}

/// A storm in which some kind of client did nothing would prove nothing of it.
fn everybody_was_there(findings: &Findings) -> Law {
    let absent = |row: &&Row| row.connections == 0;
    let rows = findings.storms.iter().flat_map(|storm| &storm.rows);
    let absent: Vec<&str> = rows.filter(absent).map(|row| row.kind.as_str()).collect();
    Law {
        text: "clients of each kind were there in both storms",
        holds: absent.is_empty(),
        figures: match absent.is_empty() {
            true => "none is missing".to_owned(),
            false => format!("missing: {absent:?}"),
        },
    }
}

fn rest_is_rest(storm: &Storm) -> Law {
    Law {
        text: "after a storm no request is active, and no connection open",
        holds: storm.open == (0, 0),
        figures: format!("{:?}", storm.open),
    }
}

fn tasks_are_back(findings: &Findings, storm: &Storm) -> Law {
    equal(
        "tasks after a storm = before",
        storm.after.tasks as i64,
        findings.before.tasks as i64,
    )
}

fn descriptors_are_back(findings: &Findings, storm: &Storm) -> Law {
    let (before, after) = (findings.before.descriptors, storm.after.descriptors);
    Law {
        text: "descriptors after a storm = before",
        holds: before == after,
        figures: format!("{after:?} = {before:?}"),
    }
}

fn memory_is_bounded(findings: &Findings, storm: &Storm) -> Law {
    let (before, peak) = (findings.before.heap, storm.peak.heap);
    let connections = storm.peak.tasks as i64;
    let most = before + connections * MOST_PER_CONNECTION + MOST_BESIDES;
    Law {
        text: "most that is allocated <= 64 KiB for each live task + 160 MiB",
        holds: peak <= most,
        figures: format!("{peak} <= {most} KiB"),
    }
}

/// Freed memory that the allocator keeps is used again: it is no more than was ever in use, and a part
/// that is lost in between.
fn memory_is_used_again(storm: &Storm) -> Law {
    let resident = storm.peak.resident as i64;
    let most = storm.peak.heap * 5 / 4 + MOST_BESIDES;
    Law {
        text: "most that is resident <= most that is allocated, a quarter more, + 160 MiB",
        holds: resident <= most,
        figures: format!("{resident} <= {most} KiB"),
    }
}
