//! Task dumps as tables and as JSON.

use std::panic::Location;
use std::sync::Arc;

use opentelemetry::{SpanId, TraceId};
use serde_json::{Value, json};
use telemetry_rt_clock::{Anchor, Ticks};
use telemetry_rt_telemetry::record::{Activity, Kind, ProcessType, TaskDump, TaskView, Waiting};

const NOW: u64 = 10_000_000_000;

/// Makes views whose times are given in nanoseconds.
struct Maker {
    anchor: Anchor,
}

impl Maker {
    fn new() -> Maker {
        Maker {
            anchor: Anchor::now(),
        }
    }

    fn ticks(&self, nanos: u64) -> u64 {
        self.anchor.scale().ticks(nanos)
    }

    /// So long before the dump was taken.
    fn before(&self, nanos: u64) -> Ticks {
        Ticks(self.ticks(NOW) - self.ticks(nanos))
    }

    fn idle(&self, id: u64, name: &str, waiting: Waiting) -> TaskView {
        let mut idle = [0; Waiting::COUNT];
        idle[waiting as usize] = self.ticks(3_990_000_000);
        idle[Waiting::Join as usize] = self.ticks(1_000);
        TaskView {
            id,
            kind: Some(Arc::new(kind(name))),
            activity: Activity::Idle,
            spawned: self.before(4_000_000_000),
            since: self.before(1_200_000),
            polls: 7,
            wakes: 6,
            migrations: 2,
            busy: self.ticks(80_000),
            scheduled: self.ticks(12_000),
            idle,
            waiting: Some(waiting),
            worker: Some(1),
            parent: Some(1),
            trace_id: Some(TraceId::from(0xabc)),
            span_id: Some(SpanId::from(0xdef)),
        }
    }

    /// Spawned outside of any runtime, and never polled.
    fn unknown(&self, id: u64) -> TaskView {
        TaskView {
            id,
            kind: None,
            activity: Activity::Scheduled,
            spawned: self.before(50),
            since: self.before(50),
            polls: 0,
            wakes: 0,
            migrations: 0,
            busy: 0,
            scheduled: self.ticks(50),
            idle: [0; Waiting::COUNT],
            waiting: None,
            worker: None,
            parent: None,
            trace_id: None,
            span_id: None,
        }
    }

    fn dump(&self, tasks: Vec<TaskView>) -> TaskDump {
        TaskDump {
            at: self.before(0),
            anchor: self.anchor,
            tasks,
        }
    }
}

fn site() -> &'static Location<'static> {
    Location::caller()
}

fn kind(name: &str) -> Kind {
    Kind {
        index: 0,
        process_type: ProcessType::Task,
        name: name.to_owned().leak(),
        path: "shop::serve",
        error_type: None,
        site: Some(site()),
        traced: true,
    }
}

/// The table without the date in its first line.
fn table(dump: &TaskDump) -> String {
    let table = dump.to_table();
    let (first, rest) = table.split_once('\n').unwrap();
    let (totals, date) = first.split_once(" (").unwrap();
    assert!(date.ends_with("Z)") && date.contains('T'), "{date}");
    format!("{totals}\n{rest}")
}

#[test]
fn processes_are_a_table_by_their_number_with_a_line_of_totals() {
    let maker = Maker::new();
    let mut running = maker.idle(12, "load", Waiting::Io);
    running.activity = Activity::Running;
    running.waiting = None;
    running.parent = None;
    let dump = maker.dump(vec![
        running,
        maker.unknown(4),
        maker.idle(3, "serve", Waiting::Timer),
    ]);
    let site = format!("{}:{}", site().file(), site().line());
    let trace = "00000000000000000000000000000abc";
    let dash = "-                               ";
    assert_eq!(
        table(&dump),
        format!(
            "3 tasks: 1 scheduled, 1 running, 1 idle\n\
             id  name   type  state          for     age  polls     busy  scheduled            idle  waits for  worker  parent  trace id                          spawned at\n\
             \x203  serve  task  idle       1.20 ms  4.00 s      7  80.0 µs    12.0 µs  3.99 s (timer)  timer           1       1  {trace}  {site}\n\
             \x204  ?      ?     scheduled    50 ns   50 ns      0     0 ns      50 ns            0 ns  -               -       -  {dash}  -\n\
             12  load   task  running    1.20 ms  4.00 s      7  80.0 µs    12.0 µs     3.99 s (io)  -               1       -  {trace}  {site}\n"
        )
    );
    assert_eq!(dump.to_string(), dump.to_table());
}

#[test]
fn a_dump_of_nothing_is_a_line_and_an_empty_array() {
    let dump = Maker::new().dump(Vec::new());
    assert_eq!(table(&dump), "0 tasks: 0 scheduled, 0 running, 0 idle\n");
    assert_eq!(dump.to_json(), "[\n]\n");
}

#[test]
fn the_json_has_everything_with_its_unit() {
    let maker = Maker::new();
    let dump = maker.dump(vec![maker.unknown(9), maker.idle(3, "serve", Waiting::Io)]);
    let json: Value = serde_json::from_str(&dump.to_json()).unwrap();
    assert_eq!(
        json[0],
        json!({
            "id": 3,
            "name": "serve",
            "type": "task",
            "function": "shop::serve",
            "state": "idle",
            "in_state_ns": 1_200_000,
            "age_ns": 4_000_000_000_u64,
            "polls": 7,
            "wakes": 6,
            "migrations": 2,
            "busy_ns": 80_000,
            "scheduled_ns": 12_000,
            "idle_ns": 3_990_001_000_u64,
            "idle_other_ns": 0,
            "idle_io_ns": 3_990_000_000_u64,
            "idle_timer_ns": 0,
            "idle_blocking_ns": 0,
            "idle_join_ns": 1_000,
            "waits_for": "io",
            "worker": 1,
            "parent": 1,
            "trace_id": "00000000000000000000000000000abc",
            "span_id": "0000000000000def",
            "spawn_file": site().file(),
            "spawn_line": site().line(),
        })
    );
    assert_eq!(json[1]["id"], 9);
    assert_eq!(json[1]["name"], Value::Null);
    assert_eq!(json[1]["trace_id"], Value::Null);
}

#[test]
fn names_from_anywhere_do_not_move_the_cursor_and_stay_what_they_are_in_json() {
    let maker = Maker::new();
    let hostile = "a\n\u{1b}[2J\u{202e}\"";
    let dump = maker.dump(vec![maker.idle(3, hostile, Waiting::Io)]);
    let table = dump.to_table();
    assert!(table.contains("a\\n\\u{1b}[2J\\u{202e}\""), "{table}");
    assert_eq!(table.lines().count(), 3);
    let json: Value = serde_json::from_str(&dump.to_json()).unwrap();
    assert_eq!(json[0]["name"], hostile);
}

#[test]
fn what_exceeds_the_bound_on_names_is_called_overflow() {
    let maker = Maker::new();
    let mut task = maker.idle(3, "", Waiting::Io);
    task.kind = Some(Arc::new(Kind {
        site: None,
        ..kind("")
    }));
    let dump = maker.dump(vec![task]);
    assert!(dump.to_table().contains(" 3  overflow  task "), "{dump}");
    let json: Value = serde_json::from_str(&dump.to_json()).unwrap();
    assert_eq!(json[0]["name"], "overflow");
    assert_eq!(json[0]["function"], Value::Null);
    assert_eq!(json[0]["spawn_file"], Value::Null);
}
