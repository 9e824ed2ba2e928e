//! Spans and metrics as text.
//!
//! Names and attributes may come from anywhere, so whatever would move a cursor or change a color
//! is escaped before it reaches a terminal.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;

use super::metric::{HistogramPoint, Metric, MetricData, Number, NumberPoint};

/// What a tree of spans shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// How many lines are kept, counted from the end.
    pub most_lines: usize,
    /// Whether each span's length is shown; tests that compare trees leave it out.
    pub durations: bool,
}

impl Default for TreeOptions {
    fn default() -> TreeOptions {
        TreeOptions {
            most_lines: usize::MAX,
            durations: true,
        }
    }
}

/// Spans as an indented tree, one line each, in the order they started.
///
/// A root is a span without a parent; one whose parent is not among `spans` is shown as a root
/// that begins with `…`. An error is shown behind `!`.
///
/// ```text
/// serve 12.3 ms
///   fetch 8.1 ms ! returned Err(app::Gone)
/// ```
pub fn span_tree(spans: &[SpanData], options: TreeOptions) -> String {
    let tree = Tree::of(spans, options);
    let mut lines = Vec::new();
    for &root in &tree.roots {
        tree.write(root, &mut lines);
    }
    last_lines(lines, options.most_lines)
}

fn last_lines(lines: Vec<String>, most: usize) -> String {
    let cut = lines.len().saturating_sub(most);
    let mut text = String::new();
    if cut > 0 {
        let _ = writeln!(text, "({cut} lines before)");
    }
    for line in &lines[cut..] {
        text += line;
        text.push('\n');
    }
    text
}

struct Tree<'a> {
    spans: &'a [SpanData],
    roots: Vec<usize>,
    children: HashMap<(TraceId, SpanId), Vec<usize>>,
    options: TreeOptions,
}

impl<'a> Tree<'a> {
    fn of(spans: &'a [SpanData], options: TreeOptions) -> Tree<'a> {
        let known: HashSet<_> = spans.iter().map(identity).collect();
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&index| spans[index].start_time);
        let mut tree = Tree {
            spans,
            roots: Vec::new(),
            children: HashMap::new(),
            options,
        };
        for index in order {
            let parent = parent(&spans[index]);
            match known.contains(&parent) && parent != identity(&spans[index]) {
                true => tree.children.entry(parent).or_default().push(index),
                false => tree.roots.push(index),
            }
        }
        tree
    }

    /// Writes a span and what is below it, with a stack of its own: traces may be deep.
    fn write(&self, root: usize, lines: &mut Vec<String>) {
        let mut stack = vec![(root, 0)];
        while let Some((index, depth)) = stack.pop() {
            lines.push(self.line(index, depth));
            if let Some(children) = self.children.get(&identity(&self.spans[index])) {
                stack.extend(children.iter().rev().map(|&child| (child, depth + 1)));
            }
        }
    }

    fn line(&self, index: usize, depth: usize) -> String {
        let span = &self.spans[index];
        let mut line = "  ".repeat(depth);
        if depth == 0 && span.parent_span_id != SpanId::INVALID {
            line += "… ";
        }
        line += &escaped(&span.name);
        if self.options.durations {
            let length = span.end_time.duration_since(span.start_time);
            line += &format!(" {}", duration(length.unwrap_or_default()));
        }
        if let Status::Error { description } = &span.status {
            line += &format!(" ! {}", escaped(description));
        }
        line
    }
}

fn identity(span: &SpanData) -> (TraceId, SpanId) {
    (span.span_context.trace_id(), span.span_context.span_id())
}

fn parent(span: &SpanData) -> (TraceId, SpanId) {
    (span.span_context.trace_id(), span.parent_span_id)
}

/// A duration with three digits and the unit that suits it.
fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    match value {
        _ if unit == "ns" => format!("{value:.0} {unit}"),
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Metrics as tables with aligned columns: one for each metric that has data.
///
/// Quantiles are read off the buckets: each is the upper bound of the bucket that it falls into,
/// but not more than the largest value.
pub fn metrics_table(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let (heads, rows) = match &metric.data {
            MetricData::Histogram { bounds, points } => (
                vec!["count", "mean", "p50", "p99", "max"],
                points
                    .iter()
                    .map(|point| histogram_row(point, bounds))
                    .collect(),
            ),
            MetricData::Sum { points, .. } | MetricData::Gauge { points } => {
                (vec!["value"], points.iter().map(number_row).collect())
            }
        };
        write_table(&mut text, metric, &heads, rows);
    }
    text
}

fn write_table(text: &mut String, metric: &Metric, heads: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let title = format!("{} [{}]", escaped(&metric.name), escaped(&metric.unit));
    let mut lines = vec![vec![title]];
    lines[0].extend(heads.iter().map(|&head| head.to_owned()));
    lines.extend(rows);
    let widths: Vec<usize> = (0..=heads.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for line in lines {
        let _ = write!(text, "{:<width$}", line[0], width = widths[0]);
        for (cell, width) in line[1..].iter().zip(&widths[1..]) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
}

fn histogram_row(point: &HistogramPoint, bounds: &[f64]) -> Vec<String> {
    let time = |value: f64| duration(Duration::try_from_secs_f64(value).unwrap_or_default());
    vec![
        label(&point.attributes),
        point.count.to_string(),
        time(point.sum / point.count.max(1) as f64),
        time(quantile(point, bounds, 0.5)),
        time(quantile(point, bounds, 0.99)),
        point.max.map_or_else(|| "-".to_owned(), time),
    ]
}

fn number_row(point: &NumberPoint) -> Vec<String> {
    let value = match point.value {
        Number::Int(number) => number.to_string(),
        Number::Float(number) => number.to_string(),
    };
    vec![label(&point.attributes), value]
}

/// The value below which the given part of all values lies.
fn quantile(point: &HistogramPoint, bounds: &[f64], part: f64) -> f64 {
    let rank = (part * point.count as f64).ceil().max(1.0) as u64;
    let largest = point.max.unwrap_or(f64::INFINITY);
    let mut seen = 0;
    for (in_bucket, bound) in point.buckets.iter().zip(bounds) {
        seen += in_bucket;
        if seen >= rank {
            return bound.min(largest);
        }
    }
    point.max.or(bounds.last().copied()).unwrap_or(0.0)
}

fn label(attributes: &[KeyValue]) -> String {
    let parts: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    format!("  {}", escaped(&parts.join(" ")))
}

/// The text with all control characters, and those that reverse the direction of writing,
/// spelled out.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_control() => safe.extend(character.escape_default()),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.extend(character.escape_unicode());
            }
            _ => safe.push(character),
        }
    }
    safe
}
