//! The live processes of a runtime, as a table for people and as JSON for programs.

use std::fmt::{self, Write};
use std::io;
use std::time::Duration;

use serde::Serialize;

use super::date::Utc;
use super::render::{duration, escaped, spawn_site, write_rows};
use super::span_data::name_of;
use crate::record::{Activity, Kind, TaskDump, TaskView, Waiting};

impl TaskDump {
    /// The processes as a table with aligned columns, by their number, below a line that counts
    /// them by what they are doing.
    ///
    /// `for` is how long a process has been in its state: for one that is idle, how long it has
    /// waited for what `waits for` names. In brackets behind `idle` stands what most of it was spent
    /// on.
    ///
    /// ```text
    /// 2 tasks: 0 scheduled, 1 running, 1 idle (2026-11-21T07:45:12.000000000Z)
    /// id  name   type  state    for      age     polls  busy     scheduled  idle           waits for  …
    ///  3  serve  task  idle     1.20 ms  4.00 s      7  80.0 µs  12.0 µs    3.99 s (io)    io
    ///  4  load   task  running  15.0 µs  2.00 s      1  15.0 µs  3.00 µs    0 ns           -
    /// ```
    pub fn to_table(&self) -> String {
        let mut text = self.totals();
        let mut rows = vec![HEADS.map(|(head, _)| head.to_owned()).to_vec()];
        rows.extend(self.sorted().into_iter().map(|task| self.row(task)));
        if rows.len() > 1 {
            write_rows(&mut text, &rows, |column| HEADS[column].1 == Column::Text);
        }
        text
    }

    /// The processes as a JSON array of objects, by their number.
    ///
    /// Durations are whole nanoseconds, in members whose names end in `_ns`; ids of traces and spans
    /// are hexadecimal; what is not known is `null`.
    pub fn to_json(&self) -> String {
        let mut json = Vec::new();
        self.write_json(&mut json)
            .expect("memory takes whatever is written");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Writes what [`to_json`](TaskDump::to_json) returns, one process a line, piece by piece.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_json(&self, mut out: impl io::Write) -> io::Result<()> {
        out.write_all(b"[")?;
        for (index, task) in self.sorted().into_iter().enumerate() {
            let before: &[u8] = if index == 0 { b"\n" } else { b",\n" };
            out.write_all(before)?;
            serde_json::to_writer(&mut out, &self.object(task))?;
        }
        out.write_all(b"\n]\n")
    }

    fn sorted(&self) -> Vec<&TaskView> {
        let mut tasks: Vec<&TaskView> = self.tasks.iter().collect();
        tasks.sort_by_key(|task| task.id);
        tasks
    }

    fn totals(&self) -> String {
        let count = |activity| {
            let tasks = self.tasks.iter();
            tasks.filter(|task| task.activity == activity).count()
        };
        let mut text = match self.tasks.len() {
            1 => "1 task:".to_owned(),
            tasks => format!("{tasks} tasks:"),
        };
        let states = [Activity::Scheduled, Activity::Running, Activity::Idle];
        for (index, state) in states.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma} {} {}", count(state), state.as_str());
        }
        let date = Utc::of(self.anchor.date(self.at)).to_text();
        text + &format!(" ({date})\n")
    }

    fn row(&self, task: &TaskView) -> Vec<String> {
        let times = self.times(task);
        vec![
            task.id.to_string(),
            kind(task).map_or_else(|| "?".to_owned(), |kind| escaped(name_of(kind))),
            type_of(task).unwrap_or("?").to_owned(),
            task.activity.as_str().to_owned(),
            text_of(times.in_state),
            text_of(times.age),
            task.polls.to_string(),
            text_of(times.busy),
            text_of(times.scheduled),
            idle_text(&times),
            or_dash(task.waiting.map(Waiting::as_str)),
            or_dash(task.worker),
            or_dash(task.parent),
            or_dash(task.trace_id),
            or_dash(kind(task).and_then(spawn_site)),
        ]
    }

    fn object<'a>(&self, task: &'a TaskView) -> Object<'a> {
        let times = self.times(task);
        let [
            idle_other_ns,
            idle_io_ns,
            idle_timer_ns,
            idle_blocking_ns,
            idle_join_ns,
        ] = times.idle;
        let site = kind(task).and_then(|kind| kind.site);
        Object {
            id: task.id,
            name: kind(task).map(name_of),
            process_type: type_of(task),
            function: kind(task)
                .filter(|kind| !kind.is_overflow())
                .map(|kind| kind.path),
            state: task.activity.as_str(),
            in_state_ns: times.in_state,
            age_ns: times.age,
            polls: task.polls,
            wakes: task.wakes,
            migrations: task.migrations,
            busy_ns: times.busy,
            scheduled_ns: times.scheduled,
            idle_ns: times.all_idle(),
            idle_other_ns,
            idle_io_ns,
            idle_timer_ns,
            idle_blocking_ns,
            idle_join_ns,
            waits_for: task.waiting.map(Waiting::as_str),
            worker: task.worker,
            parent: task.parent,
            trace_id: task.trace_id.map(|id| id.to_string()),
            span_id: task.span_id.map(|id| id.to_string()),
            spawn_file: site.map(|site| site.file()),
            spawn_line: site.map(|site| site.line()),
        }
    }

    fn times(&self, task: &TaskView) -> Times {
        let scale = self.anchor.scale();
        Times {
            in_state: scale.nanos(self.at.since(task.since)),
            age: scale.nanos(self.at.since(task.spawned)),
            busy: scale.nanos(task.busy),
            scheduled: scale.nanos(task.scheduled),
            idle: task.idle.map(|ticks| scale.nanos(ticks)),
        }
    }
}

/// The table, see [`TaskDump::to_table`].
impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_table())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Text,
    Number,
}

const HEADS: [(&str, Column); 15] = [
    ("id", Column::Number),
    ("name", Column::Text),
    ("type", Column::Text),
    ("state", Column::Text),
    ("for", Column::Number),
    ("age", Column::Number),
    ("polls", Column::Number),
    ("busy", Column::Number),
    ("scheduled", Column::Number),
    ("idle", Column::Number),
    ("waits for", Column::Text),
    ("worker", Column::Number),
    ("parent", Column::Number),
    ("trace id", Column::Text),
    ("spawned at", Column::Text),
];

/// The times of a process, in nanoseconds.
struct Times {
    in_state: u64,
    age: u64,
    busy: u64,
    scheduled: u64,
    idle: [u64; Waiting::COUNT],
}

impl Times {
    fn all_idle(&self) -> u64 {
        self.idle.iter().sum()
    }

    /// What most of the idle time was spent on.
    fn main_reason(&self) -> Option<Waiting> {
        let longest = Waiting::ALL
            .into_iter()
            .max_by_key(|&reason| self.idle[reason as usize])?;
        (self.idle[longest as usize] > 0).then_some(longest)
    }
}

/// A process as it stands in the JSON.
#[derive(Serialize)]
struct Object<'a> {
    id: u64,
    name: Option<&'a str>,
    #[serde(rename = "type")]
    process_type: Option<&'static str>,
    function: Option<&'a str>,
    state: &'static str,
    in_state_ns: u64,
    age_ns: u64,
    polls: u32,
    wakes: u32,
    migrations: u16,
    busy_ns: u64,
    scheduled_ns: u64,
    idle_ns: u64,
    idle_other_ns: u64,
    idle_io_ns: u64,
    idle_timer_ns: u64,
    idle_blocking_ns: u64,
    idle_join_ns: u64,
    waits_for: Option<&'static str>,
    worker: Option<u16>,
    parent: Option<u64>,
    trace_id: Option<String>,
    span_id: Option<String>,
    spawn_file: Option<&'a str>,
    spawn_line: Option<u32>,
}

fn kind(task: &TaskView) -> Option<&Kind> {
    task.kind.as_deref()
}

fn type_of(task: &TaskView) -> Option<&'static str> {
    kind(task).map(|kind| kind.process_type.as_str())
}

fn text_of(nanos: u64) -> String {
    duration(Duration::from_nanos(nanos))
}

fn idle_text(times: &Times) -> String {
    let idle = text_of(times.all_idle());
    match times.main_reason() {
        Some(reason) => format!("{idle} ({})", reason.as_str()),
        None => idle,
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
