//! Which spans leave together, and in what order.

use super::*;
use crate::export::drain::tests::recorder;
use crate::export::queue::tests::span;

/// So many records, numbered from `first`.
fn records(first: u64, count: usize) -> Vec<SpanRecord> {
    let mut records = Vec::new();
    recorder(count as u64).drain_spans(&mut records, count);
    for (record, id) in records.iter_mut().zip(first..) {
        record.task_id = id;
    }
    records
}

/// Two lists for batches of this size, with records that came in portions.
fn waiting(batch: usize, portions: &[usize]) -> Waiting {
    let mut waiting = Waiting::new(batch);
    let mut first = 0;
    for &portion in portions {
        waiting.push_records(&mut records(first, portion), Calendar::of_tests());
        first += portion as u64;
    }
    waiting
}

fn ids(taken: &Taken) -> Vec<u64> {
    let sections = taken.chunks.iter().flat_map(Chunk::sections);
    let records = sections.flat_map(|(records, _)| records);
    records.map(|record| record.task_id).collect()
}

/// How many records and users' spans each batch has, until nothing is left.
fn batches(waiting: &mut Waiting, most: usize) -> Vec<(usize, usize)> {
    let mut batches = Vec::new();
    while waiting.len() > 0 {
        let taken = waiting.take(most);
        batches.push((ids(&taken).len(), taken.users.len()));
    }
    batches
}

#[test]
fn however_records_come_batches_are_full_but_for_the_last() {
    for portions in [&[25][..], &[7, 18], &[1; 25], &[10, 10, 5], &[9, 1, 15]] {
        let mut waiting = waiting(10, portions);
        let all: Vec<u64> = (0..25).collect();
        for expected in all.chunks(10) {
            assert_eq!(ids(&waiting.take(10)), expected, "{portions:?}");
        }
        assert_eq!(waiting.len(), 0);
    }
}

#[test]
fn a_large_batch_is_made_of_several_chunks() {
    let mut waiting = waiting(1_300, &[1_000, 1_000, 1_000]);
    assert_eq!(
        batches(&mut waiting, 1_300),
        [(1_299, 0), (1_299, 0), (402, 0)]
    );
}

#[test]
fn the_drain_is_asked_for_what_makes_a_chunk_full() {
    let mut waiting = waiting(10, &[7]);
    assert_eq!(waiting.room_of_chunk(), 3);
    waiting.push_records(&mut records(7, 3), Calendar::of_tests());
    assert_eq!(waiting.room_of_chunk(), 10);
    waiting.take(10);
    assert_eq!(waiting.room_of_chunk(), 10);
}

#[test]
fn neither_kind_keeps_the_other_waiting() {
    for batch in [1, 2, 10] {
        let mut waiting = waiting(batch, &[4 * batch]);
        (0..4 * batch).for_each(|_| waiting.push_user(span()));
        let expected = [(batch, 0), (0, batch)].repeat(4);
        assert_eq!(batches(&mut waiting, batch), expected);
    }
    let mut few = waiting(10, &[3]);
    few.push_user(span());
    assert_eq!(batches(&mut few, 10), [(3, 1)]);
}

#[test]
fn what_was_urgent_has_left_when_nothing_is_urgent() {
    let mut waiting = waiting(10, &[45]);
    (0..15).for_each(|_| waiting.push_user(span()));
    waiting.hurry();
    let mut left = Vec::new();
    let mut users = 0;
    while waiting.is_urgent() {
        // More of both come than leave.
        (0..20).for_each(|_| waiting.push_user(span()));
        waiting.push_records(&mut records(1_000, 20), Calendar::of_tests());
        let taken = waiting.take(10);
        users += taken.users.len();
        left.extend(ids(&taken));
        assert!(left.len() + users <= 200, "it does not come to an end");
    }
    assert!((0..45).all(|id| left.contains(&id)) && users >= 15);
}

#[test]
fn users_spans_keep_their_order_however_much_room_there_is() {
    let mut waiting = Waiting::new(10);
    let name = |number: usize| number.to_string();
    for number in 0..45 {
        let name = name(number).into();
        waiting.push_user(SpanData { name, ..span() });
    }
    let mut names = Vec::new();
    for room in [0, 3, 10, 7, 1, 10, 10, 10] {
        let mut taken = Taken::default();
        waiting.take_users(room, &mut taken);
        assert_eq!(taken.users.len(), room.min(45 - names.len()));
        names.extend(taken.users.into_iter().map(|span| span.name));
        assert_eq!(waiting.len(), 45 - names.len());
    }
    assert_eq!(names, (0..45).map(name).collect::<Vec<_>>());
}

#[test]
fn memory_goes_round() {
    let mut waiting = waiting(10, &[10]);
    let place = |chunk: &Chunk| chunk.records.as_ptr();
    let mut taken = waiting.take(10);
    let first = place(&taken.chunks[0]);
    taken.clear();
    waiting.bring_back(&mut taken);
    // The drain gets it in exchange for what it brings next.
    let mut brought = records(0, 10);
    waiting.push_records(&mut brought, Calendar::of_tests());
    assert!(brought.is_empty() && brought.as_ptr() == first);
    let mut many = Taken::default();
    many.chunks.resize_with(100, Chunk::default);
    waiting.bring_back(&mut many);
    assert_eq!(waiting.spare.len(), MOST_SPARE);
}

#[test]
fn memory_of_users_spans_goes_round_as_well() {
    let mut waiting = Waiting::new(10);
    let mut places = Vec::new();
    for _ in 0..3 {
        (0..10).for_each(|_| waiting.push_user(span()));
        let mut taken = waiting.take(10);
        places.push(taken.users.as_ptr());
        taken.clear();
        waiting.bring_back(&mut taken);
    }
    assert_eq!(places, [places[0]; 3]);
}

#[test]
fn each_record_keeps_the_calendar_that_it_came_with() {
    let mut waiting = Waiting::new(10);
    let calendars = [Calendar::of_tests(), Calendar::now()];
    for (first, calendar) in [0, 4, 8].into_iter().zip([0, 1, 0]) {
        waiting.push_records(&mut records(first, 4), calendars[calendar]);
    }
    let mut dates = Vec::new();
    while waiting.len() > 0 {
        let taken = waiting.take(10);
        for (records, calendar) in taken.chunks.iter().flat_map(Chunk::sections) {
            let date = calendar.date(telemetry_rt_clock::Ticks(0));
            dates.extend(records.iter().map(|record| (record.task_id / 4 % 2, date)));
        }
    }
    assert_eq!(dates.len(), 12);
    for (which, date) in dates {
        let expected = calendars[which as usize].date(telemetry_rt_clock::Ticks(0));
        assert_eq!(date, expected);
    }
}
