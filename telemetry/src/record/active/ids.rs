//! Trace and span ids: random, unique for all practical purposes, not secret.
//!
//! Each thread has a generator of its own (wyrand: one addition, one multiplication), seeded from
//! the standard library's per-process random keys and the number of the thread.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use opentelemetry::{SpanId, TraceId};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
}

fn next() -> u64 {
    STATE.with(|state| {
        let seed = state.get().wrapping_add(0xa076_1d64_78bd_642f);
        state.set(seed);
        let product = u128::from(seed) * u128::from(seed ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    })
}

fn next_nonzero() -> u64 {
    loop {
        match next() {
            0 => continue,
            number => return number,
        }
    }
}

pub(super) fn new_trace_id() -> TraceId {
    TraceId::from(u128::from(next_nonzero()) << 64 | u128::from(next()))
}

pub(super) fn new_span_id() -> SpanId {
    SpanId::from(next_nonzero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_several_threads_do_not_meet() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    (0..10_000)
                        .map(|_| (new_trace_id(), new_span_id()))
                        .collect()
                })
            })
            .collect();
        let ids: Vec<(TraceId, SpanId)> = threads
            .into_iter()
            .flat_map(|thread| -> Vec<_> { thread.join().unwrap() })
            .collect();
        assert_eq!(
            ids.iter().map(|id| id.0).collect::<HashSet<_>>().len(),
            40_000
        );
        assert_eq!(
            ids.iter().map(|id| id.1).collect::<HashSet<_>>().len(),
            40_000
        );
        assert!(
            ids.iter()
                .all(|id| id.0 != TraceId::INVALID && id.1 != SpanId::INVALID)
        );
    }
}
