//! Trace and span ids: random, unique for all practical purposes, not secret.
//!
//! Each thread has a generator of its own (wyrand: one addition, one multiplication), seeded from
//! the standard library's random keys, the number of the thread and that of the process. A forked
//! child begins with the parent's state; so the state says in which process it was seeded, and is
//! seeded anew in another.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use opentelemetry::{SpanId, TraceId};
use telemetry_rt_clock::ticks;

thread_local! {
    static STATE: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

fn next() -> u64 {
    let (state, process) = STATE.get();
    let process_now = std::process::id();
    let seed = match process == process_now {
        true => state.wrapping_add(0xa076_1d64_78bd_642f),
        false => new_seed(process_now),
    };
    STATE.set((seed, process_now));
    let product = u128::from(seed) * u128::from(seed ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

#[cold]
fn new_seed(process: u32) -> u64 {
    // A fork copies the random keys, too: the time tells children with the same number apart.
    RandomState::new().hash_one((std::thread::current().id(), process, ticks()))
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
    fn a_forked_child_does_not_go_on_where_its_parent_was() {
        let of_parent = new_trace_id();
        let (state, process) = STATE.get();
        STATE.set((state, process + 1));
        let of_child = new_trace_id();
        assert_eq!(STATE.get().1, std::process::id());
        STATE.set((state, process));
        assert_ne!(of_child, new_trace_id());
        assert_ne!(of_child, of_parent);
    }

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
