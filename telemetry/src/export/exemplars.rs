//! Which processes stand as examples for the durations around theirs.
//!
//! Workers know nothing of this. The exporting thread sees each sampled span of a process on its
//! way out and keeps the latest of each kind, outcome and decade of durations: so a rare slow
//! process stays visible beside many fast ones, and the memory has a bound.

use std::collections::HashMap;

use parking_lot::Mutex;
use telemetry_rt_clock::Anchor;

use super::metric::Exemplar;
use super::queue::Queued;
use crate::record::{Outcome, SpanRecord};

/// Which values become exemplars: `OTEL_METRICS_EXEMPLAR_FILTER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ExemplarFilter {
    /// Those of processes whose spans are sampled.
    #[default]
    TraceBased,
    /// None.
    AlwaysOff,
}

/// From 100 ns, and what is shorter, to 100 s, and what is longer.
const DECADES: usize = 10;
const FIRST_DECADE: u32 = 2;

/// The latest process of each decade of durations, short ones first.
pub(super) type ByDecade = [Option<Exemplar>; DECADES];

/// The latest of each kind, outcome and decade.
#[derive(Debug)]
pub(super) struct Exemplars {
    filter: ExemplarFilter,
    kept: Mutex<HashMap<(u32, Outcome), ByDecade>>,
}

impl Exemplars {
    pub(super) fn new(filter: ExemplarFilter) -> Exemplars {
        Exemplars {
            filter,
            kept: Mutex::default(),
        }
    }

    /// Looks through spans that are about to be exported.
    pub(super) fn note(&self, batch: &[Queued]) {
        if self.filter == ExemplarFilter::AlwaysOff {
            return;
        }
        let mut kept = self.kept.lock();
        for span in batch {
            // A poll may be exported like a process, but is not counted as one.
            if let Queued::Process(record, anchor) = span
                && record.poll.is_none()
            {
                let by_decade = kept.entry((record.kind, record.outcome)).or_default();
                keep(by_decade, record, *anchor);
            }
        }
    }

    /// Adds the processes of this kind that ended so, where they are later than those in `latest`.
    pub(super) fn add_to(&self, latest: &mut ByDecade, kind: u32, outcome: Outcome) {
        let kept = self.kept.lock();
        let Some(by_decade) = kept.get(&(kind, outcome)) else {
            return;
        };
        for (latest, own) in latest.iter_mut().zip(by_decade) {
            let is_later = own.map(|own| own.time) > latest.map(|latest| latest.time);
            *latest = if is_later { *own } else { *latest };
        }
    }
}

fn keep(by_decade: &mut ByDecade, record: &SpanRecord, anchor: Anchor) {
    let nanos = anchor.scale().nanos(record.end.since(record.start));
    by_decade[decade_of(nanos)] = Some(Exemplar {
        value: nanos as f64 / 1e9,
        time: anchor.date(record.end),
        trace_id: record.trace_id,
        span_id: record.span_id,
    });
}

fn decade_of(nanos: u64) -> usize {
    let decade = nanos.max(1).ilog10().saturating_sub(FIRST_DECADE) as usize;
    decade.min(DECADES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_same_number_of_digits_share_a_decade() {
        for (nanos, decade) in [
            (0, 0),
            (999, 0),
            (1_000, 1),
            (9_999, 1),
            (10_000, 2),
            (99_999_999_999, 8),
            (100_000_000_000, 9),
            (u64::MAX, 9),
        ] {
            assert_eq!(decade_of(nanos), decade, "{nanos}");
        }
    }
}
