//! Which processes stand as examples for the durations around theirs.
//!
//! Workers know nothing of this. The exporting thread sees each sampled span of a process on its
//! way out and keeps the latest of each kind, outcome and decade of durations: so a rare slow
//! process stays visible beside many fast ones, and the memory has a bound.

use parking_lot::Mutex;

use super::calendar::Calendar;
use super::metric::Exemplar;
use super::queue::Chunk;
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
    kept: Mutex<Kept>,
}

/// By kind and outcome, in the order of their numbers.
#[derive(Debug, Default)]
struct Kept {
    by_place: Vec<Option<Box<ByDecade>>>,
    /// One bit for each decade of which this batch has brought one already.
    seen: Vec<u16>,
}

impl Exemplars {
    pub(super) fn new(filter: ExemplarFilter) -> Exemplars {
        Exemplars {
            filter,
            kept: Mutex::default(),
        }
    }

    /// Looks through spans that are about to be exported. From the last one on: what comes first
    /// then is the latest, and of all others only their decade is asked for.
    pub(super) fn note(&self, batch: &[Chunk]) {
        if self.filter == ExemplarFilter::AlwaysOff {
            return;
        }
        let mut kept = self.kept.lock();
        kept.seen.fill(0);
        for (records, calendar) in batch.iter().rev().flat_map(|chunk| chunk.sections().rev()) {
            for record in records.iter().rev() {
                // A poll may be exported like a process, but is not counted as one.
                if record.poll.is_none() {
                    kept.note(record, calendar);
                }
            }
        }
    }

    /// Adds the processes of this kind that ended so, where they are later than those in `latest`.
    pub(super) fn add_to(&self, latest: &mut ByDecade, kind: u32, outcome: Outcome) {
        let kept = self.kept.lock();
        let Some(Some(by_decade)) = kept.by_place.get(place_of(kind, outcome)) else {
            return;
        };
        for (latest, own) in latest.iter_mut().zip(&**by_decade) {
            let is_later = own.map(|own| own.time) > latest.map(|latest| latest.time);
            *latest = if is_later { *own } else { *latest };
        }
    }
}

impl Kept {
    #[inline]
    fn note(&mut self, record: &SpanRecord, calendar: &Calendar) {
        let nanos = calendar.scale().nanos(record.end.since(record.start));
        let decade = decade_of(nanos);
        let place = place_of(record.kind, record.outcome);
        let is_new = match self.seen.get_mut(place) {
            Some(seen) => {
                let before = *seen;
                *seen |= 1 << decade;
                before != *seen
            }
            None => true,
        };
        if is_new {
            self.keep(place, decade, exemplar_of(record, nanos, calendar));
        }
    }

    #[cold]
    fn keep(&mut self, place: usize, decade: usize, exemplar: Exemplar) {
        if place >= self.seen.len() {
            self.seen.resize(place + 1, 0);
            self.by_place.resize_with(place + 1, || None);
            self.seen[place] = 1 << decade;
        }
        self.by_place[place].get_or_insert_default()[decade] = Some(exemplar);
    }
}

fn place_of(kind: u32, outcome: Outcome) -> usize {
    kind as usize * Outcome::COUNT + outcome as usize
}

fn exemplar_of(record: &SpanRecord, nanos: u64, calendar: &Calendar) -> Exemplar {
    Exemplar {
        value: nanos as f64 / 1e9,
        time: calendar.date(record.end),
        trace_id: record.trace_id,
        span_id: record.span_id,
    }
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
