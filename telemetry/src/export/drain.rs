//! The thread that empties the rings.
//!
//! It must never wait for the network or for a lock that is held for long: rings are short, and
//! what does not fit is lost. So it moves records as they are and leaves their conversion to the
//! exporting thread, and fills whole chunks of the queue.
//!
//! How often it looks depends on what it finds. A sleep costs it 5 to 10 µs, which is nothing for a
//! thousand spans and much for ten; so it sleeps longer when it finds few, from 1 to 50 ms, and a
//! worker whose ring is a quarter full unparks it before its time.

use std::sync::Arc;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use telemetry_rt_clock::instant;

use super::calendar::Calendar;
use super::queue::{End, Order, Queue};
use crate::record::{Recorder, SpanRecord};

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Records that are dated by one calendar, and moved between two looks at the orders.
const PASS: usize = 4096;

pub(super) struct Drain {
    recorder: Recorder,
    queue: Arc<Queue>,
    spans: Vec<SpanRecord>,
    /// How many records a worker's ring has room for.
    ring: usize,
}

impl Drain {
    pub(super) fn new(recorder: Recorder, queue: Arc<Queue>, ring: usize) -> Drain {
        Drain {
            recorder,
            queue,
            spans: Vec::new(),
            ring,
        }
    }

    pub(super) fn run(mut self) {
        let _quiet = Context::enter_telemetry_suppressed_scope();
        let mut pause = SHORTEST_PAUSE;
        loop {
            // Asked for before the rings are looked at: what ended before the order is found.
            match self.queue.order() {
                Order::GoOn => {
                    let moved = self.pass();
                    if moved < PASS {
                        pause = self.next_pause(pause, moved);
                        park_timeout(pause);
                    }
                }
                Order::Flush(ticket) => {
                    self.empty_once();
                    self.queue.drained(ticket);
                }
                Order::Stop(deadline) => return self.empty_until(deadline),
            }
        }
    }

    /// Moves what fits into one pass, and drops what the queue refuses.
    fn pass(&mut self) -> usize {
        let mut moved = 0;
        let mut calendar = None;
        while moved < PASS {
            let asked = self.queue.room_of_chunk();
            let found = self.recorder.drain_spans(&mut self.spans, asked);
            if found > 0 {
                let calendar = *calendar.get_or_insert_with(Calendar::now);
                self.queue.offer(&mut self.spans, calendar);
            }
            moved += found;
            if found < asked {
                break;
            }
        }
        moved
    }

    /// Moves as much as waits now. What ends meanwhile may stay: a flush must come to an end.
    fn empty_once(&mut self) {
        let mut waiting = self.recorder.waiting_spans();
        while waiting > 0 {
            let moved = self.pass();
            waiting = if moved == 0 {
                0
            } else {
                waiting.saturating_sub(moved)
            };
        }
    }

    /// The same again when it has brought enough, and not much of what a ring has room for.
    fn next_pause(&self, pause: Duration, moved: usize) -> Duration {
        if moved <= self.ring / 16 {
            (pause * 2).min(LONGEST_PAUSE)
        } else if moved < self.ring / 8 {
            pause
        } else {
            SHORTEST_PAUSE
        }
    }

    /// What is left at the deadline stays in the rings, where it is counted as lost.
    fn empty_until(&mut self, deadline: Instant) {
        while instant() < deadline && self.recorder.drain_spans(&mut self.spans, PASS) > 0 {
            self.queue
                .offer_until(&mut self.spans, Calendar::now(), deadline);
        }
    }
}

impl Drop for Drain {
    /// However it ended: the exporting thread must not wait for it.
    fn drop(&mut self) {
        self.queue.drain_ended(End::of_this_thread());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::export::{Account, InMemory, Otel};
    use crate::record::{Ending, Lineage, Meta, Outcome, ProcessType, Spawning};
    use std::panic::Location;

    static META: Meta = Meta::of::<(), ()>(ProcessType::Task);

    /// A recorder with so many ended spans in its ring, numbered from zero.
    pub(in crate::export) fn recorder(spans: u64) -> Recorder {
        let otel = Otel::builder().exporter(InMemory::new()).build();
        let recorder = Recorder::new(otel.recorder_config(1));
        let worker = recorder.worker(0);
        for id in 0..spans {
            let mut record = recorder.spawned(Spawning {
                meta: &META,
                name: None,
                site: Location::caller(),
                lineage: Lineage::Inherit,
            });
            let process = &mut record.process(id, ProcessType::Task);
            drop(worker.ended(process, Ending::Returned(Outcome::Finished)));
        }
        recorder
    }

    #[test]
    fn at_the_deadline_the_rest_stays_in_the_rings() {
        for (left, stays) in [(Duration::ZERO, 9), (Duration::from_secs(60), 0)] {
            let queue = Arc::new(Queue::new(100, 10));
            let mut drain = Drain::new(recorder(9), Arc::clone(&queue), 8192);
            drain.empty_until(instant() + left);
            assert_eq!(drain.recorder.waiting_spans(), stays);
            let recorder = drain.recorder.clone();
            drop(drain);
            let account = Account::of(&recorder, &queue);
            assert!(account.is_balanced(), "{account:?}");
            assert_eq!(account.dropped.shutdown_deadline, stays as u64);
        }
    }
    #[test]
    fn it_sleeps_longer_while_it_finds_little_whatever_the_size_of_rings() {
        let millis = Duration::from_millis;
        for (ring, moved, next) in [
            (8192, 0, millis(8)),
            (8192, 512, millis(8)),
            (8192, 600, millis(4)),
            (8192, 1024, millis(1)),
            (4, 0, millis(8)),
            (4, 1, millis(1)),
        ] {
            let queue = Arc::new(Queue::new(100, 10));
            let drain = Drain::new(recorder(0), queue, ring);
            assert_eq!(drain.next_pause(millis(4), moved), next, "{ring} {moved}");
            let longest = drain.next_pause(LONGEST_PAUSE, 0);
            assert_eq!(longest, LONGEST_PAUSE);
        }
    }
}
