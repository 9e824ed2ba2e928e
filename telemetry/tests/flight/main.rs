//! Flight records as files: what is drawn, how it hangs together, and where it is kept.

mod dumps;
mod hand_made;
mod viewer;

use std::collections::BTreeSet;

use hand_made::{Hand, kind};
use serde_json::{Value, json};
use telemetry_rt_telemetry::export::flight::{Program, to_perfetto};
use telemetry_rt_telemetry::record::{FlightRecord, LaneKind, ProcessType, Waiting, WakeCause};
use viewer::{Viewed, view};

fn program() -> Program {
    Program {
        name: "shop".to_owned(),
        pid: 42,
    }
}

fn text(record: &FlightRecord) -> String {
    let mut text = Vec::new();
    to_perfetto(record, &program(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// What a viewer makes of it, having checked that everything nests and pairs.
fn viewed(record: &FlightRecord) -> Viewed {
    view(&serde_json::from_str(&text(record)).unwrap())
}

/// The events of a record without the names of tracks, as one value each.
fn drawn(record: &FlightRecord) -> Vec<Value> {
    let file: Value = serde_json::from_str(&text(record)).unwrap();
    let events = file["traceEvents"].as_array().unwrap();
    let drawn = events.iter().filter(|event| event["ph"] != "M");
    drawn.cloned().collect()
}

/// A worker that wakes a task of another one, which steals, polls it, and is still at it.
fn small() -> FlightRecord {
    let mut hand = Hand::new(vec![
        kind(0, ProcessType::Task, "serve"),
        kind(1, ProcessType::Blocking, "hash"),
    ]);
    hand.lane(LaneKind::Worker(0), "worker-0", 0)
        .start(0, 1, 0, WakeCause::Driver)
        .woke(0, 2)
        .end(1_500, 1, Some(Waiting::Io))
        .park(1_600)
        .unpark(3_000)
        .woke(3_000, 1)
        .start(3_000, 1, 0, WakeCause::Driver)
        .end(4_250, 1, None);
    hand.lane(LaneKind::Worker(1), "worker-1", 7)
        .end(900, 9, Some(Waiting::Timer))
        .stole(1_000, 0, 3)
        .start(1_001, 2, 0, WakeCause::Task);
    hand.lane(LaneKind::Blocking, "", 0)
        .start(2_000, 3, 1, WakeCause::Spawn)
        .end(2_000_001, 3, None);
    hand.taken(2_000_100)
}

#[test]
fn the_whole_file_of_a_small_record() {
    let record = small();
    let file: Value = serde_json::from_str(&text(&record)).unwrap();
    let other = &file["otherData"];
    let said = format!(
        ",\"displayTimeUnit\":\"ns\",\"otherData\":{{\"writer\":\"telemetry_rt {}\",\"service\":\"shop\",\
         \"pid\":42,\"start\":{},\"start_unix_ns\":{},\"taken\":{},\"overwritten\":7}}}}\n",
        env!("CARGO_PKG_VERSION"),
        other["start"],
        other["start_unix_ns"],
        other["taken"],
    );
    let site = kind(0, ProcessType::Task, "").site.unwrap();
    let (file, line) = (site.file(), site.line());
    let task =
        format!("\"type\":\"task\",\"function\":\"shop::serve\",\"spawned_at\":\"{file}:{line}\"");
    let blocking = format!(
        "\"type\":\"blocking\",\"function\":\"shop::hash\",\"spawned_at\":\"{file}:{line}\""
    );
    let expected = format!(
        r#"{{"traceEvents":[
{{"ph":"M","name":"process_name","pid":42,"args":{{"name":"shop"}}}},
{{"ph":"M","name":"process_labels","pid":42,"args":{{"labels":"telemetry_rt"}}}},
{{"ph":"M","name":"thread_name","pid":42,"tid":1,"args":{{"name":"worker-0"}}}},
{{"ph":"M","name":"thread_sort_index","pid":42,"tid":1,"args":{{"sort_index":0}}}},
{{"ph":"M","name":"thread_name","pid":42,"tid":2,"args":{{"name":"worker-1"}}}},
{{"ph":"M","name":"thread_sort_index","pid":42,"tid":2,"args":{{"sort_index":1}}}},
{{"ph":"M","name":"thread_name","pid":42,"tid":3,"args":{{"name":"blocking"}}}},
{{"ph":"M","name":"thread_sort_index","pid":42,"tid":3,"args":{{"sort_index":2}}}},
{{"ph":"X","name":"serve","cat":"task","ts":0.0,"dur":1.5,"pid":42,"tid":1,"args":{{"task":1,{task},"woken_by":"driver","then":"io"}}}},
{{"ph":"i","name":"woke","cat":"wake","ts":0.0,"pid":42,"tid":1,"s":"t","args":{{"task":2,"name":"serve"}}}},
{{"ph":"i","name":"overwritten","cat":"lost","ts":0.9,"pid":42,"tid":2,"s":"t","args":{{"moments":7}}}},
{{"ph":"X","name":"task 9","cat":"poll","ts":0.9,"dur":0.0,"pid":42,"tid":2,"args":{{"task":9,"then":"timer","truncated":true}}}},
{{"ph":"i","name":"stole","cat":"steal","ts":0.999,"pid":42,"tid":2,"s":"t","args":{{"victim":0,"tasks":3}}}},
{{"ph":"X","name":"serve","cat":"task","ts":1.001,"dur":1999.099,"pid":42,"tid":2,"args":{{"task":2,{task},"woken_by":"task","running":true}}}},
{{"ph":"X","name":"parked","cat":"park","ts":1.6,"dur":1.4,"pid":42,"tid":1,"cname":"thread_state_sleeping"}},
{{"ph":"X","name":"hash","cat":"blocking","ts":2.0,"dur":1998.001,"pid":42,"tid":3,"args":{{"task":3,{blocking},"woken_by":"spawn","then":"ended"}}}},
{{"ph":"X","name":"wake","cat":"wake","ts":2.999,"dur":0.0,"pid":42,"tid":1}},
{{"ph":"s","name":"wake","cat":"wake","ts":2.999,"pid":42,"tid":1,"id":1}},
{{"ph":"X","name":"serve","cat":"task","ts":3.0,"dur":1.25,"pid":42,"tid":1,"args":{{"task":1,{task},"woken_by":"driver","then":"ended"}}}},
{{"ph":"f","name":"wake","cat":"wake","ts":3.0,"pid":42,"tid":1,"id":1,"bp":"e"}}
]"#
    ) + &said;
    assert_eq!(text(&record), expected);
    viewed(&record);
}

#[test]
fn the_date_of_zero_is_that_of_the_first_moment() {
    let record = small();
    let file: Value = serde_json::from_str(&text(&record)).unwrap();
    let start = record.anchor.date(record.lanes[0].events[0].at);
    let nanos = start
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    assert_eq!(file["otherData"]["start_unix_ns"], nanos.to_string());
    let date = file["otherData"]["start"].as_str().unwrap();
    assert!(
        date.ends_with(&format!(".{:09}Z", nanos % 1_000_000_000)),
        "{date}"
    );
}

#[test]
fn a_record_of_nothing_is_a_file_of_nothing() {
    let record = Hand::new(Vec::new()).taken(0);
    assert_eq!(drawn(&record), Vec::<Value>::new());
    let mut hand = Hand::new(Vec::new());
    hand.lane(LaneKind::Worker(0), "idle", 0);
    assert_eq!(drawn(&hand.taken(5)), Vec::<Value>::new());
}

#[test]
fn names_from_anywhere_are_text_and_nothing_else() {
    let hostile = "</script>\"\\\n\u{1b}[31m\u{202e}\u{0} \u{1f980}";
    let mut hand = Hand::new(vec![
        kind(0, ProcessType::Task, hostile),
        kind(1, ProcessType::Task, ""),
        hand_made::overflow(2, ProcessType::Task),
    ]);
    hand.lane(LaneKind::Worker(0), hostile, 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .end(1, 1, None)
        .start(2, 2, 1, WakeCause::Spawn)
        .end(3, 2, None)
        .start(4, 3, 2, WakeCause::Spawn)
        .end(5, 3, None)
        .start(6, 4, 99, WakeCause::Spawn)
        .end(7, 4, None);
    let names: Vec<String> = drawn(&hand.taken(9))
        .iter()
        .map(|event| event["name"].as_str().unwrap().to_owned())
        .collect();
    let shown = "</script>\"\\\\n\\u{1b}[31m\\u{202e}\\u{0} \u{1f980}";
    assert_eq!(names, [shown, "unnamed", "overflow", "task 4"]);
}

/// Name, start and length of the slices, in the order they are written.
fn slices(record: &FlightRecord) -> Vec<(String, f64, f64)> {
    viewed(record);
    let slices = drawn(record).into_iter().filter(|event| event["ph"] == "X");
    slices
        .map(|slice| {
            let name = slice["name"].as_str().unwrap().to_owned();
            (
                name,
                slice["ts"].as_f64().unwrap(),
                slice["dur"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_lane_that_has_kept_nothing_but_ends() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::BlockOn, "main", 3)
        .end(10, 1, Some(Waiting::Io))
        .end(30, 2, None)
        .unpark(40)
        // No poll reaches over a park.
        .end(50, 3, None);
    let slice = |name: &str, ts, dur| (name.to_owned(), ts, dur);
    assert_eq!(
        slices(&hand.taken(60)),
        [
            // What is found last is furthest out.
            slice("parked", 0.0, 0.03),
            slice("task 2", 0.0, 0.02),
            slice("task 1", 0.0, 0.0),
            slice("task 3", 0.04, 0.0),
        ]
    );
}

#[test]
fn a_poll_whose_worker_moved_on_and_came_back_is_drawn_in_two_parts() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "blocks")]);
    hand.lane(LaneKind::Worker(0), "w", 5)
        .start(0, 1, 0, WakeCause::Spawn)
        .end(10, 1, Some(Waiting::Blocking))
        .end(30, 1, None)
        .start(30, 2, 0, WakeCause::Spawn)
        .end(40, 2, None);
    let slice = |ts, dur| ("blocks".to_owned(), ts, dur);
    let expected = [slice(0.0, 0.01), slice(0.01, 0.02), slice(0.03, 0.01)];
    assert_eq!(slices(&hand.taken(40)), expected);
}

#[test]
fn a_poll_within_a_poll_lies_within_its_slice_and_arrows_leave_from_the_inner_one() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::BlockOn, "main", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .start(10, 2, 0, WakeCause::Task)
        .woke(15, 3)
        .end(20, 2, Some(Waiting::Other))
        // Back in the outer poll, on top of which the viewer still sees the inner one.
        .woke(25, 2)
        .start(30, 2, 0, WakeCause::Task)
        .end(40, 2, None)
        .end(50, 1, None);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(16, 3, 0, WakeCause::Task)
        .end(18, 3, None);
    let viewed = viewed(&hand.taken(60));
    assert_eq!(viewed.depths(1), [0, 1, 1, 1]);
    let arrow = |from, name: &str, to| (from, name.to_owned(), to);
    // By the process that is woken.
    assert_eq!(
        viewed.arrows,
        [arrow(None, "wake", 2), arrow(Some(2), "serve", 3)]
    );
}

#[test]
fn a_process_that_ends_wakes_from_its_last_poll() {
    let mut hand = Hand::new(vec![
        kind(0, ProcessType::Task, "serve"),
        kind(1, ProcessType::Blocking, "hash"),
    ]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .end(10, 1, None)
        .woke(10, 2)
        .start(10, 2, 0, WakeCause::Task)
        .end(20, 2, Some(Waiting::Blocking))
        .start(80, 2, 0, WakeCause::Blocking)
        .end(90, 2, None);
    hand.lane(LaneKind::Blocking, "b", 0)
        .start(30, 3, 1, WakeCause::Spawn)
        .end(70, 3, None)
        .woke(75, 2);
    let viewed = viewed(&hand.taken(100));
    let arrow = |from, name: &str, to| (Some(from), name.to_owned(), to);
    assert_eq!(viewed.arrows, [arrow(1, "serve", 2), arrow(3, "hash", 2)]);
    assert_eq!(viewed.arrow_ends_at, ["0.01", "0.08"]);
}

#[test]
fn what_has_no_length_takes_no_arrow_from_the_poll_that_begins_with_it() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .park(0)
        .unpark(10)
        .woke(10, 1)
        .woke(10, 2)
        .start(10, 1, 0, WakeCause::Driver)
        .end(20, 1, None);
    hand.lane(LaneKind::Worker(1), "v", 0)
        .park(0)
        .unpark(15)
        .stole(15, 0, 1)
        .start(15, 2, 0, WakeCause::Timer)
        .end(20, 2, None);
    let viewed = viewed(&hand.taken(20));
    let arrow = |to| (None, "wake".to_owned(), to);
    assert_eq!(viewed.arrows, [arrow(1), arrow(2)]);
}

#[test]
fn a_task_that_wakes_itself_points_to_its_next_poll() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "yields")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .woke(0, 1)
        .end(10, 1, Some(Waiting::Other))
        .start(10, 1, 0, WakeCause::Task)
        .end(20, 1, None);
    let viewed = viewed(&hand.taken(20));
    assert_eq!(viewed.arrows, [(Some(1), "yields".to_owned(), 1)]);
    assert_eq!(viewed.arrow_ends_at, ["0.01"]);
}

#[test]
fn each_poll_answers_one_wake_and_what_no_lane_has_woken_answers_none() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .woke(0, 2)
        .woke(0, 2)
        .end(100, 1, None);
    hand.lane(LaneKind::Worker(1), "v", 0)
        .start(1, 2, 0, WakeCause::Spawn)
        .end(4, 2, Some(Waiting::Other))
        .start(5, 2, 0, WakeCause::Foreign)
        .end(6, 2, Some(Waiting::Other))
        .start(7, 2, 0, WakeCause::Task)
        .end(8, 2, Some(Waiting::Other))
        .start(50, 2, 0, WakeCause::Task)
        .end(60, 2, None);
    assert_eq!(viewed(&hand.taken(100)).arrow_ends_at, ["0.007", "0.05"]);
}

#[test]
fn a_wake_whose_poll_may_have_been_overwritten_has_no_arrow() {
    let record = |overwritten| {
        let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
        hand.lane(LaneKind::Worker(0), "w", 0)
            .start(0, 1, 0, WakeCause::Spawn)
            .woke(1, 2)
            .end(2, 1, None);
        hand.lane(LaneKind::Worker(1), "v", overwritten)
            .start(50, 2, 0, WakeCause::Task)
            .end(60, 2, None);
        hand.taken(100)
    };
    assert_eq!(viewed(&record(0)).arrows.len(), 1);
    assert_eq!(viewed(&record(1)).arrows.len(), 0);
    let marks = drawn(&record(1));
    assert!(
        marks
            .iter()
            .any(|event| event["name"] == "woke" && event["args"]["task"] == 2)
    );
}

#[test]
fn a_wake_and_its_poll_in_the_same_nanosecond_are_still_start_and_end() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(5, 2, 0, WakeCause::Task)
        .end(10, 2, None);
    hand.lane(LaneKind::Worker(1), "v", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .woke(5, 2)
        .end(9, 1, None);
    assert_eq!(viewed(&hand.taken(10)).arrows.len(), 1);
}

#[test]
fn many_wakes_at_once_outside_of_a_poll_hang_on_one_slice() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    let lane = hand.lane(LaneKind::Worker(0), "w", 0);
    for task in 1..=700 {
        lane.woke(0, task);
    }
    for task in 1..=700 {
        lane.start(10 * task, task, 0, WakeCause::Driver);
        lane.end(10 * task + 5, task, None);
    }
    let viewed = viewed(&hand.taken(8_000));
    assert_eq!(viewed.arrows.len(), 700);
    assert_eq!(
        viewed.names.iter().filter(|name| *name == "wake").count(),
        1
    );
}

#[test]
fn clocks_that_disagree_do_not_turn_a_lane_around() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "serve")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(100, 1, 0, WakeCause::Spawn)
        .woke(90, 2)
        .end(80, 1, None)
        .start(120, 2, 0, WakeCause::Task)
        .end(130, 2, None);
    // Taken before its last moment: the threads went on.
    assert_eq!(viewed(&hand.taken(110)).arrows.len(), 1);
}

#[test]
fn a_worker_that_parks_has_left_the_poll_whose_end_is_not_there() {
    let mut hand = Hand::new(vec![kind(0, ProcessType::Task, "blocks")]);
    hand.lane(LaneKind::Worker(0), "w", 0)
        .start(0, 1, 0, WakeCause::Spawn)
        .park(10)
        .unpark(20)
        .start(30, 2, 0, WakeCause::Spawn);
    let polls: Vec<_> = drawn(&hand.taken(50))
        .iter()
        .map(|event| (event["dur"].clone(), event["args"]["truncated"].clone()))
        .collect();
    let null = Value::Null;
    assert_eq!(
        polls,
        [
            (json!(0.01), json!(true)),
            (json!(0.01), null.clone()),
            (json!(0.02), null),
        ]
    );
}

#[test]
fn a_busy_runtime_nests_and_pairs_from_whatever_moment_its_rings_begin() {
    for lost in [0, 1, 2, 3, 50, 200] {
        let record = hand_made::busy(lost);
        let viewed = viewed(&record);
        assert!(viewed.arrows.len() > 100, "{lost}: {}", viewed.arrows.len());
        let tracks: BTreeSet<&str> = viewed.tracks.iter().map(String::as_str).collect();
        assert_eq!(tracks.len(), record.lanes.len());
    }
}

#[test]
fn the_same_record_gives_the_same_text() {
    let record = hand_made::busy(9);
    assert_eq!(text(&record), text(&record.clone()));
}

#[test]
fn an_output_that_fails_is_said() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = to_perfetto(&small(), &program(), Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Not a test: scripts/check-perfetto.sh opens what this writes.
#[test]
#[ignore = "writes a file where FLIGHT_RECORD says"]
fn write_a_busy_record() {
    let path = std::env::var_os("FLIGHT_RECORD").expect("FLIGHT_RECORD names the file to write");
    let file = std::fs::File::create(path).unwrap();
    let record = hand_made::busy(40);
    to_perfetto(&record, &program(), std::io::BufWriter::new(file)).unwrap();
}
