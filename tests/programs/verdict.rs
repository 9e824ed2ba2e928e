//! What has to be true of what was recorded, given what happened?

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{Metric, Report};

use crate::observed::{self, Series, attribute, number, series, text};
use crate::world::{Ended, Fate, Kind, Output, World};

/// What is seen of a program that has run.
pub struct Seen {
    pub report: Report,
    pub spans: Vec<SpanData>,
    pub metrics: Vec<Metric>,
    /// Whether nothing was lost on purpose.
    pub is_whole: bool,
    /// How many futures within others are processes.
    pub futures: usize,
}

/// Tells the world all that is wrong.
pub fn judge(world: &World, fates: &[Fate], seen: &Seen) {
    let mut wrongs = Vec::new();
    for (number, fate) in fates.iter().enumerate() {
        judge_fate(number, fate, &mut wrongs);
    }
    judge_account(seen, &mut wrongs);
    judge_metrics(fates, seen, &mut wrongs);
    seen.spans
        .iter()
        .for_each(|span| judge_ledger(span, &mut wrongs));
    if seen.is_whole {
        judge_spans(fates, seen, &mut wrongs);
    }
    world
        .channels
        .iter()
        .for_each(|channel| channel.judge(world));
    wrongs.into_iter().for_each(|wrong| world.wrong(wrong));
}

impl Fate {
    fn is_process(&self) -> bool {
        matches!(self.kind, Some(Kind::Root | Kind::Task | Kind::Function))
    }

    /// The state and the type of the error that it is to be told with.
    fn told(&self) -> (&'static str, &'static str) {
        match self.ended {
            Some(Ended::Value) => ("finished", ""),
            Some(Ended::Refused) => ("exception", type_name::<Output>()),
            Some(Ended::Panicked) => ("exception", "panic"),
            None => ("cancelled", ""),
        }
    }
}

/// Everything is dropped once.
fn judge_fate(number: usize, fate: &Fate, wrongs: &mut Vec<String>) {
    if fate.is_process() && fate.drops != 1 {
        wrongs.push(format!("#{number} was dropped {} times", fate.drops));
    }
    if fate.outputs_made != fate.outputs_dropped {
        wrongs.push(format!("outputs of #{number} are left: {fate:?}"));
    }
}

/// The accounting law.
fn judge_account(seen: &Seen, wrongs: &mut Vec<String>) {
    let spans = seen.report.spans;
    let kept = seen.spans.len() as u64;
    let is_right = seen.report.completed && spans.is_balanced() && spans.in_flight == 0;
    let is_all = !seen.is_whole || (spans.produced == kept && spans.exported == kept);
    if !is_right || !is_all {
        wrongs.push(format!("of {kept} spans there is {:?}", seen.report));
    }
}

// ----- metrics -----

/// Each process is counted once, with how it ended.
fn judge_metrics(fates: &[Fate], seen: &Seen, wrongs: &mut Vec<String>) {
    let recorded = observed::Seen {
        spans: Vec::new(),
        metrics: seen.metrics.clone(),
    };
    let counts = recorded.counts();
    let durations = recorded.durations().iter();
    let durations: BTreeMap<Series, i64> = durations
        .map(|point| (series(&point.attributes), point.count as i64))
        .collect();
    if durations != counts {
        wrongs.push(format!("durations {durations:?}, counts {counts:?}"));
    }
    let futures: i64 = counts
        .iter()
        .filter(|(series, _)| series.0 == "future")
        .map(|(_, count)| count)
        .sum();
    if futures != seen.futures as i64 + 1 {
        let expected = seen.futures + 1;
        wrongs.push(format!("{futures} futures are counted, not {expected}"));
    }
    let counted: BTreeMap<_, _> = counts
        .into_iter()
        .filter(|(series, _)| series.0 != "future")
        .collect();
    let expected = expected_counts(fates);
    if counted != expected {
        wrongs.push(format!("counted {counted:?}, expected {expected:?}"));
    }
}

fn expected_counts(fates: &[Fate]) -> BTreeMap<Series, i64> {
    let mut counts = BTreeMap::new();
    for (number, fate) in fates.iter().enumerate() {
        let (kind, name) = match fate.kind {
            Some(Kind::Task) => ("task", format!("t{number}")),
            Some(Kind::Function) => ("blocking", format!("f{number}")),
            _ => continue,
        };
        let (state, error) = fate.told();
        let key = (kind.to_owned(), name, state.to_owned(), error.to_owned());
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

// ----- spans -----

/// Busy, scheduled and idle are the length, and idle is the sum of its reasons.
fn judge_ledger(span: &SpanData, wrongs: &mut Vec<String>) {
    if attribute(&span.attributes, "task.type").is_none() {
        return;
    }
    let Ok(length) = span.end_time.duration_since(span.start_time) else {
        return wrongs.push(format!("{} ends before it starts", span.name));
    };
    let parts = ["task.busy_ns", "task.scheduled_ns", "task.idle_ns"].map(|key| number(span, key));
    let sum: i64 = parts.iter().sum();
    let reasons = span.attributes.iter().filter(|kept| {
        let key = kept.key.as_str();
        key.starts_with("task.idle_") && key != "task.idle_ns"
    });
    let by_reason: i64 = reasons.map(|kept| number(span, kept.key.as_str())).sum();
    let is_right = parts.iter().all(|&part| part >= 0)
        && sum == length.as_nanos() as i64
        && by_reason == parts[2];
    if !is_right {
        let name = &span.name;
        wrongs.push(format!(
            "{name}, {length:?} long, has {parts:?}, idle {by_reason}"
        ));
    }
}

fn judge_spans(fates: &[Fate], seen: &Seen, wrongs: &mut Vec<String>) {
    judge_trace(&seen.spans, wrongs);
    let mut expected = seen.futures;
    for (number, fate) in fates.iter().enumerate() {
        if let Some(kind) = fate.kind {
            expected += 1;
            judge_span(number, kind, fate, &seen.spans, wrongs);
        }
    }
    if seen.spans.len() != expected {
        let names: Vec<_> = seen.spans.iter().map(|span| &span.name).collect();
        wrongs.push(format!(
            "{expected} spans are expected, there are {names:?}"
        ));
    }
}

/// There is one trace, one root, and every other parent.
fn judge_trace(spans: &[SpanData], wrongs: &mut Vec<String>) {
    let ids: BTreeSet<[u8; 8]> = spans
        .iter()
        .map(|span| span.span_context.span_id().to_bytes())
        .collect();
    let traces: Vec<TraceId> = spans
        .iter()
        .map(|span| span.span_context.trace_id())
        .collect();
    if ids.len() != spans.len() || traces.windows(2).any(|two| two[0] != two[1]) {
        wrongs.push(format!(
            "ids are twice, or there are several traces: {traces:?}"
        ));
    }
    let mut roots = 0;
    for span in spans {
        match span.parent_span_id {
            SpanId::INVALID => roots += 1,
            parent if ids.contains(&parent.to_bytes()) => {}
            _ => wrongs.push(format!("the parent of {} is nowhere", span.name)),
        }
    }
    if roots != 1 {
        wrongs.push(format!("there are {roots} roots"));
    }
}

fn judge_span(
    number: usize,
    kind: Kind,
    fate: &Fate,
    spans: &[SpanData],
    wrongs: &mut Vec<String>,
) {
    let name = match kind {
        Kind::Root => "Watched".to_owned(),
        Kind::Task => format!("t{number}"),
        Kind::Function => format!("f{number}"),
        Kind::Span => format!("s{number}"),
    };
    let mut found = spans.iter().filter(|span| span.name == name);
    let Some(span) = found.next() else {
        return wrongs.push(format!("{name} has no span"));
    };
    if found.next().is_some() {
        wrongs.push(format!("{name} has several spans"));
    }
    let (parent, own) = (fate.parent, span.parent_span_id);
    if parent.is_some_and(|parent| parent != own) {
        wrongs.push(format!("{name} is below {own}, not {parent:?}"));
    }
    if kind != Kind::Span {
        judge_process(&name, fate, span, wrongs);
    }
}

fn judge_process(name: &str, fate: &Fate, span: &SpanData, wrongs: &mut Vec<String>) {
    let told = (text(span, "task.state"), text(span, "error.type"));
    let (state, error) = fate.told();
    if (told.0.as_str(), told.1.as_str()) != (state, error) {
        wrongs.push(format!("{name} is told as {told:?}, and was {fate:?}"));
    }
    let polls = number(span, "task.polls");
    if polls != fate.polls as i64 {
        wrongs.push(format!("{name} is told to have {polls} polls: {fate:?}"));
    }
}
