//! Which turns the exporting thread gets.

use super::*;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use telemetry_rt_clock::wall;

pub(in crate::export) fn span() -> SpanData {
    SpanData {
        span_context: SpanContext::NONE,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "user".into(),
        start_time: wall(),
        end_time: wall(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

/// The turns that the exporting thread gets, with one more span ended before each.
fn turns(queue: &Queue, schedule: &mut Schedule, count: usize) -> String {
    let letters = (0..count).map(|_| {
        queue.offer_user(span());
        let turn = queue.next(schedule);
        queue.settle(0, Taken::default());
        match turn {
            Turn::Spans(_) => 's',
            Turn::Metrics => 'm',
            Turn::Flush(ticket) => {
                queue.flushed(ticket);
                'f'
            }
            Turn::Stop => 'e',
        }
    });
    letters.collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_flush_comes_after_the_spans_before_it_and_before_all_others() {
    let queue = Queue::new(100, 1);
    (0..3).for_each(|_| queue.offer_user(span()));
    // Spans are due at every turn; that makes none of the new ones urgent.
    let mut schedule = Schedule::new(Duration::ZERO, HOUR);
    queue.drained(queue.ask_flush());
    let mut first = turns(&queue, &mut schedule, 2);
    // Neither does another flush, whose own turn comes after.
    queue.drained(queue.ask_flush());
    first += &turns(&queue, &mut schedule, 2);
    assert_eq!(first, "sssf");
    let waiting = queue.standing().in_flight as usize;
    let second = turns(&queue, &mut schedule, waiting + 2);
    assert_eq!(second, "s".repeat(waiting) + "fs");
}

#[test]
fn metrics_that_are_always_due_take_every_other_turn() {
    let queue = Queue::new(100, 1);
    let mut schedule = Schedule::new(HOUR, HOUR);
    schedule.metrics_every = Duration::ZERO;
    schedule.next_metrics = instant();
    assert_eq!(turns(&queue, &mut schedule, 6), "msmsms");
}

#[test]
fn the_pause_between_metrics_begins_when_they_are_exported() {
    let queue = Queue::new(100, 1);
    let mut schedule = Schedule::new(HOUR, HOUR);
    schedule.next_metrics = instant();
    assert_eq!(turns(&queue, &mut schedule, 1), "m");
    // As if the export had taken all the time until the next one.
    schedule.next_metrics = instant();
    assert_eq!(turns(&queue, &mut schedule, 3), "sss");
}

#[test]
fn a_shutdown_ends_though_spans_keep_coming() {
    let queue = Queue::new(100, 1);
    queue.offer_user(span());
    queue.stop(deadline_after(HOUR));
    queue.drain_ended(End::Well);
    let mut schedule = Schedule::new(Duration::ZERO, HOUR);
    assert_eq!(turns(&queue, &mut schedule, 2), "se");
    assert_eq!(queue.standing().books.dropped.shutdown_deadline, 2);
}
