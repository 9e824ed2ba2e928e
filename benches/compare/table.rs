//! What is written to the terminal: how each contender fared in a workload, and in the end all
//! ratios in one table.

use std::fmt::Write;

use crate::contest::{Figure, Outcome, Series};
use crate::statistics::Quartiles;

/// One workload, a line for each contender.
pub fn block(outcome: &Outcome) -> String {
    let mut text = String::new();
    let event = &outcome.event;
    let baseline = &outcome.series[0];
    for (figure, name, unit) in event.figures() {
        let _ = writeln!(text, "{name}, workers: {}", event.workers);
        for series in &outcome.series {
            let _ = writeln!(text, "  {}", line(series, baseline, figure, unit));
        }
    }
    text
}

fn line(series: &Series, baseline: &Series, figure: Figure, unit: &str) -> String {
    let name = series.contender;
    if let Some(failure) = &series.failure {
        return format!("{name:<14} failed: {failure}");
    }
    if let Some(excuse) = series.excuse {
        return format!("{name:<14} does not take part: {excuse}");
    }
    let Some(own) = series.quartiles(figure) else {
        return format!("{name:<14} has no samples");
    };
    let mut line = format!("{name:<14} {}", spread(own, unit));
    if let Some(ratio) = series.ratio(baseline, figure) {
        let Quartiles { q1, median, q3 } = ratio;
        let _ = write!(line, "   {median:>6.2} x [{q1:.2} – {q3:.2}]");
    }
    if let (Figure::Cpu, Some(wall)) = (figure, series.quartiles(Figure::Wall)) {
        let _ = write!(line, "   wall {} {unit}", short(wall.median));
    }
    if let Some(books) = series.books {
        let _ = write!(line, "   dropped {}", books.ledger.dropped);
    }
    if let Some(complaint) = series.complaint() {
        let _ = write!(line, "   WRONG: {complaint}");
    }
    line
}

fn spread(quartiles: Quartiles, unit: &str) -> String {
    let Quartiles { q1, median, q3 } = quartiles;
    let (q1, median, q3) = (short(q1), short(median), short(q3));
    format!("{median:>8} {unit} [{q1} – {q3}]")
}

/// Three digits that count, or all before the point.
fn short(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// All ratios: a line for each workload, a column for each contender.
pub fn summary(outcomes: &[Outcome]) -> String {
    let Some(first) = outcomes.first() else {
        return String::new();
    };
    let contenders: Vec<&str> = first.series.iter().map(|one| one.contender).collect();
    let mut text = format!("{:<34}", "ratio to tokio, medians (workers)");
    for (index, contender) in contenders.iter().enumerate() {
        let heading = if index == 0 { "tokio" } else { contender };
        let _ = write!(text, " {heading:>13}");
    }
    let _ = writeln!(text, " {:>9}", "dropped");
    for outcome in outcomes {
        for row in rows(outcome) {
            let _ = writeln!(text, "{row}");
        }
    }
    text
}

fn rows(outcome: &Outcome) -> Vec<String> {
    let event = &outcome.event;
    let figures = event.figures().into_iter();
    let row = |(figure, name, unit): (Figure, String, &str)| {
        let mut row = format!("{:<34}", format!("{name} ({})", event.workers));
        let baseline = &outcome.series[0];
        for (index, series) in outcome.series.iter().enumerate() {
            let cell = match (index, series.failure.is_some()) {
                (_, true) => None,
                (0, _) => series
                    .quartiles(figure)
                    .map(|own| format!("{} {unit}", short(own.median))),
                _ => series
                    .ratio(baseline, figure)
                    .map(|ratio| format!("{:.2}", ratio.median)),
            };
            let _ = write!(
                row,
                " {:>13}",
                cell.unwrap_or_else(|| absent(series).to_owned())
            );
        }
        let _ = write!(row, " {:>9}", dropped(outcome));
        row
    };
    figures.map(row).collect()
}

fn absent(series: &Series) -> &'static str {
    match series.excuse {
        Some(_) => "–",
        None => "failed",
    }
}

/// Spans that were lost: of each contender that makes some, in their order.
fn dropped(outcome: &Outcome) -> String {
    let series = outcome.series.iter();
    let books = series.filter_map(|series| series.books);
    let with_spans = books.filter(|books| books.ledger.spans.is_some());
    let dropped = with_spans.map(|books| books.ledger.dropped.to_string());
    dropped.collect::<Vec<_>>().join("/")
}
