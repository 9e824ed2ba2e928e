//! Spans and metrics as text.
//!
//! Names and attributes may come from anywhere, so whatever would move a cursor or change a color
//! is escaped before it reaches a terminal.

mod tree;

pub use tree::{Siblings, Snapshot, TreeOptions, snapshot_tree, sort_as_tree, span_tree};

use std::fmt::Write;
use std::time::Duration;

use opentelemetry::KeyValue;

use super::metric::{HistogramPoint, Metric, MetricData, Number, NumberPoint};
use crate::record::Kind;

/// A duration with three digits and the unit that suits it.
pub(super) fn duration(duration: Duration) -> String {
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
                    .map(|point| histogram_row(point, bounds, &metric.unit))
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
    let mut lines = vec![vec![title(metric)]];
    lines[0].extend(heads.iter().map(|&head| head.to_owned()));
    lines.extend(rows);
    // The rest are numbers.
    write_rows(text, &lines, |column| column == 0);
}

/// The name and the unit, and the scope if it is not ours.
fn title(metric: &Metric) -> String {
    let title = format!("{} [{}]", escaped(&metric.name), escaped(&metric.unit));
    match metric.scope.name() {
        "telemetry_rt" | "" => title,
        scope => format!("{title} of {}", escaped(scope)),
    }
}

/// Writes rows of equal length with their columns aligned: to the left those that `is_text` says
/// so of, to the right the others, which hold numbers.
pub(super) fn write_rows(text: &mut String, rows: &[Vec<String>], is_text: impl Fn(usize) -> bool) {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = match is_text(column) {
                true => write!(line, "{gap}{cell:<width$}"),
                false => write!(line, "{gap}{cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn histogram_row(point: &HistogramPoint, bounds: &[f64], unit: &str) -> Vec<String> {
    let text = |value: f64| match Duration::try_from_secs_f64(value) {
        Ok(time) if unit == "s" => duration(time),
        // To three places, as no unit is known that would suit it better.
        _ => ((value * 1e3).round() / 1e3).to_string(),
    };
    vec![
        label(&point.attributes),
        point.count.to_string(),
        text(point.sum / point.count.max(1) as f64),
        text(quantile(point, bounds, 0.5)),
        text(quantile(point, bounds, 0.99)),
        point.max.map_or_else(|| "-".to_owned(), text),
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

/// Where processes of a kind are spawned: `file:line`.
pub(super) fn spawn_site(kind: &Kind) -> Option<String> {
    let site = kind.site?;
    Some(format!("{}:{}", escaped(site.file()), site.line()))
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
