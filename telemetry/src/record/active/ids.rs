//! Trace and span ids: random, unique for all practical purposes, not secret.
//!
//! Each thread has a generator of its own (wyrand: one addition, one multiplication), seeded from
//! the standard library's random keys and the number of the thread. A forked child begins with the
//! parent's state, so it counts a generation up when it is forked off, and a state of an older
//! generation is seeded anew.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::{SpanId, TraceId};
use telemetry_rt_clock::ticks;

/// How often this process, or one it descends from, was forked off another.
static GENERATION: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The state, and its generation; no thread is born with one.
    static STATE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

#[inline]
fn next() -> u64 {
    let (state, generation) = STATE.get();
    // Relaxed: only written while a child has but this one thread.
    let generation_now = GENERATION.load(Ordering::Relaxed);
    let seed = match generation == generation_now {
        true => state.wrapping_add(0xa076_1d64_78bd_642f),
        false => new_seed(),
    };
    STATE.set((seed, generation_now));
    let product = u128::from(seed) * u128::from(seed ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

#[cold]
fn new_seed() -> u64 {
    watch_forks();
    // A fork copies the random keys, too: process and time tell children of one parent apart.
    let process = std::process::id();
    RandomState::new().hash_one((std::thread::current().id(), process, ticks()))
}

/// Sees to it that children know that they are children.
fn watch_forks() {
    extern "C" fn in_the_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the function does what may be done between fork and exec, an atomic addition,
        // and is there for as long as the process.
        let refused = unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
        debug_assert_eq!(refused, 0, "there is no memory for a pointer");
    });
}

#[inline]
fn next_nonzero() -> u64 {
    loop {
        match next() {
            0 => continue,
            number => return number,
        }
    }
}

#[inline]
pub(super) fn new_trace_id() -> TraceId {
    TraceId::from(u128::from(next_nonzero()) << 64 | u128::from(next()))
}

#[inline]
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
        let (state, generation) = STATE.get();
        // As the child finds it.
        STATE.set((state, generation - 1));
        let of_child = new_trace_id();
        assert_eq!(STATE.get().1, generation);
        STATE.set((state, generation));
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
