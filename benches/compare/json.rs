//! All figures, for machines.

use serde::Serialize;

use crate::contest::{Figure, Outcome, Series};
use crate::statistics::Quartiles;

#[derive(Serialize)]
struct Document {
    /// What the shape of this document is.
    version: u32,
    baseline: &'static str,
    rows: Vec<Row>,
}

/// A workload with a number of workers.
#[derive(Serialize)]
struct Row {
    workload: String,
    workers: usize,
    samples: usize,
    unit: &'static str,
    contenders: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    contender: &'static str,
    /// In the row's unit: of processor time, where that is measured.
    value: Option<Quartiles>,
    /// To the baseline, round by round.
    ratio: Option<Quartiles>,
    wall_nanos: Option<Quartiles>,
    dropped: Option<u64>,
    processes: Option<u64>,
    exported: Option<u64>,
    failure: Option<String>,
    excuse: Option<&'static str>,
}

/// The document as text.
pub fn document(outcomes: &[Outcome], baseline: &'static str) -> String {
    let document = Document {
        version: 1,
        baseline,
        rows: outcomes.iter().flat_map(rows).collect(),
    };
    serde_json::to_string_pretty(&document).expect("its keys are texts")
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let figures = outcome.event.figures().into_iter();
    let row = |(figure, workload, unit)| Row {
        workload,
        workers: outcome.event.workers,
        samples: outcome.event.samples,
        unit,
        contenders: outcome
            .series
            .iter()
            .map(|series| cell(series, &outcome.series[0], figure))
            .collect(),
    };
    figures.map(row).collect()
}

fn cell(series: &Series, baseline: &Series, figure: Figure) -> Cell {
    let ledger = series.books.map(|books| books.ledger);
    let spans = ledger.filter(|ledger| ledger.spans.is_some());
    Cell {
        contender: series.contender,
        value: series.quartiles(figure),
        ratio: series.ratio(baseline, figure),
        wall_nanos: series.quartiles(Figure::Wall),
        dropped: spans.map(|ledger| ledger.dropped),
        processes: ledger.and_then(|ledger| ledger.processes),
        exported: spans.map(|ledger| ledger.exported),
        failure: series.complaint(),
        excuse: series.excuse,
    }
}
