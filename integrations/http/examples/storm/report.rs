//! What is printed at the end: who came, what became of them, what it cost, and the laws.

use std::fmt::Write as _;

use telemetry_rt_http::CloseReason;

use crate::count::{by_attribute, total};
use crate::crowd::Row;
use crate::laws::Law;
use crate::run::{Findings, Storm};

pub fn text(findings: &Findings, laws: &[Law]) -> String {
    let mut text = String::new();
    for (number, storm) in findings.storms.iter().enumerate() {
        let _ = writeln!(text, "clients of storm {}", number + 1);
        clients(&mut text, &storm.rows);
        figures(&mut text, findings, storm);
    }
    text += "clients while the server was shut down\n";
    clients(&mut text, &findings.last);
    server(&mut text, findings);
    text += "laws\n";
    for law in laws {
        let holds = if law.holds { "holds " } else { "BROKEN" };
        let _ = writeln!(text, "  {holds}  {}: {}", law.text, law.figures);
    }
    text
}

fn clients(text: &mut String, rows: &[Row]) {
    let head = [
        "connections",
        "requests",
        "answers",
        "closed by server",
        "refused",
    ];
    let [connections, sent, answered, closed, refused] = head;
    let _ = writeln!(
        text,
        "  {:<26} {connections:>12} {sent:>10} {answered:>10} {closed:>17} {refused:>8}",
        ""
    );
    for row in rows.iter().chain([&sum(rows)]) {
        let _ = writeln!(
            text,
            "  {:<26} {:>12} {:>10} {:>10} {:>17} {:>8}",
            row.kind, row.connections, row.sent, row.answered, row.closed, row.refused
        );
    }
}

fn sum(rows: &[Row]) -> Row {
    let of = |count: fn(&Row) -> u64| rows.iter().map(count).sum();
    Row {
        kind: "all".to_owned(),
        connections: of(|row| row.connections),
        sent: of(|row| row.sent),
        answered: of(|row| row.answered),
        closed: of(|row| row.closed),
        refused: of(|row| row.refused),
    }
}

fn figures(text: &mut String, findings: &Findings, storm: &Storm) {
    let answered: u64 = storm.rows.iter().map(|row| row.answered).sum();
    let per_second = answered as f64 / storm.length.as_secs_f64();
    row(
        text,
        "seconds",
        format!("{:.1}", storm.length.as_secs_f64()),
    );
    row(text, "answers a second", format!("{per_second:.0}"));
    row(text, "live tasks in the calm", storm.calm.tasks);
    row(text, "live tasks, most", storm.peak.tasks);
    row(text, "allocated in the calm, KiB", storm.calm.heap);
    row(text, "allocated, most, KiB", storm.peak.heap);
    row(text, "allocated afterwards, KiB", storm.after.heap);
    row(text, "memory in the calm, KiB", storm.calm.resident);
    row(text, "memory, most, KiB", storm.peak.resident);
    row(text, "memory afterwards, KiB", storm.after.resident);
    let calm = storm.calm;
    let each = |calm: u64, before: u64| {
        let grown = calm.saturating_sub(before) as f64;
        format!("{:.1}", grown / calm_tasks(storm))
    };
    let resident = each(calm.resident, findings.before.resident);
    row(text, "resident KiB a connection in the calm", resident);
    let allocated = each(calm.heap as u64, findings.before.heap as u64);
    row(text, "allocated KiB a connection in the calm", allocated);
}

fn calm_tasks(storm: &Storm) -> f64 {
    storm.calm.tasks.max(1) as f64
}

fn server(text: &mut String, findings: &Findings) {
    let ended = &findings.ended;
    *text += "server, from its start to its end\n";
    row(text, "allocated before, KiB", findings.before.heap);
    row(text, "memory before, KiB", findings.before.resident);
    row(text, "connections accepted", ended.report.accepted);
    row(text, "accepting failed", ended.report.accept_errors);
    for reason in CloseReason::ALL {
        let closed = ended.report.closed(reason);
        row(text, &format!("closed: {}", reason.as_str()), closed);
    }
    for (limit, hits) in by_attribute(&ended.metrics, "http.server.limits.hit", "limit") {
        row(text, &format!("limit hit: {limit}"), hits);
    }
    let duration = "http.server.request.duration";
    row(text, "requests", total(&ended.metrics, duration));
    let gone = by_attribute(&ended.metrics, duration, "telemetry_rt.http.outcome");
    for (outcome, count) in gone.iter().filter(|(outcome, _)| !outcome.is_empty()) {
        row(text, &format!("requests: {outcome}"), *count);
    }
    for (error, count) in by_attribute(&ended.metrics, duration, "error.type") {
        if !error.is_empty() {
            row(text, &format!("requests: error {error}"), count);
        }
    }
    row(
        text,
        "requests cut off at the end",
        ended.report.requests_cut_off,
    );
    spans(text, findings);
}

fn spans(text: &mut String, findings: &Findings) {
    let spans = findings.ended.spans.spans;
    row(text, "spans produced", spans.produced);
    row(text, "spans exported", spans.exported);
    for (cause, lost) in spans.dropped.by_cause() {
        row(text, &format!("spans dropped: {cause}"), lost);
    }
}

fn row(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "  {name:<40} {value:>12}");
}
