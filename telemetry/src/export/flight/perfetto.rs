//! A flight record as the JSON that ui.perfetto.dev opens.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use super::axis::Axis;
use super::event::{Args, Event, Micros, OtherData, PollArgs};
use super::timeline::{Item, Of, Slice, What, items};
use crate::export::date::Utc;
use crate::export::render::{escaped, spawn_site};
use crate::export::span_data::name_of;
use crate::record::{FlightRecord, Kind, Lane, LaneKind, Moment, Waiting, WakeCause};

/// Whose flight record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of the service, or of the executable.
    pub name: String,
    /// The number of the operating system's process.
    pub pid: u32,
}

impl Program {
    /// This process, under this name.
    pub fn current(name: impl Into<String>) -> Program {
        Program {
            name: name.into(),
            pid: std::process::id(),
        }
    }
}

/// Writes a flight record in the Trace Event Format, for <https://ui.perfetto.dev>.
///
/// Each thread is a track, each poll a slice with the name of its process, each wake an arrow from
/// the slice in which it happened to the poll it led to. Times are microseconds since the first
/// moment of the record; `otherData` says which date that is. The same record gives the same text.
///
/// Cost: memory for some eighty bytes a moment; the text itself is written piece by piece, in many
/// small writes, so that `out` should be buffered.
///
/// # Errors
///
/// Those of `out`.
///
/// # Example
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// # let record: telemetry_rt_telemetry::record::FlightRecord = unimplemented!();
/// use telemetry_rt_telemetry::export::flight::{Program, to_perfetto};
///
/// let file = std::fs::File::create("shop.perfetto.json")?;
/// to_perfetto(&record, &Program::current("shop"), std::io::BufWriter::new(file))?;
/// # Ok(())
/// # }
/// ```
pub fn to_perfetto(record: &FlightRecord, program: &Program, out: impl Write) -> io::Result<()> {
    let axis = Axis::of(record);
    let mut writer = Writer {
        record,
        program,
        kind_of_task: kinds_of_tasks(record),
        out,
        first: true,
    };
    writer.start()?;
    writer.names()?;
    for item in items(record, &axis) {
        writer.item(&item)?;
    }
    writer.end(&axis)
}

/// Of which kind a process is: ends of polls and wakes do not say.
fn kinds_of_tasks(record: &FlightRecord) -> HashMap<u64, u32> {
    let events = record.lanes.iter().flat_map(|lane| &lane.events);
    events
        .filter_map(|event| match event.moment {
            Moment::PollStarted { task, kind, .. } => Some((task, kind)),
            _ => None,
        })
        .collect()
}

struct Writer<'a, W> {
    record: &'a FlightRecord,
    program: &'a Program,
    kind_of_task: HashMap<u64, u32>,
    out: W,
    first: bool,
}

impl<W: Write> Writer<'_, W> {
    fn start(&mut self) -> io::Result<()> {
        self.out.write_all(b"{\"traceEvents\":[")
    }

    fn end(mut self, axis: &Axis) -> io::Result<()> {
        self.out
            .write_all(b"\n],\"displayTimeUnit\":\"ns\",\"otherData\":")?;
        let other_data = self.other_data(axis);
        serde_json::to_writer(&mut self.out, &other_data)?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }

    fn other_data(&self, axis: &Axis) -> OtherData<'static> {
        let start = axis.date(&self.record.anchor);
        let since_1970 = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let lanes = self.record.lanes.iter();
        OtherData {
            writer: concat!("telemetry_rt ", env!("CARGO_PKG_VERSION")),
            service: escaped(&self.program.name).into(),
            pid: self.program.pid,
            start: Utc::of(start).to_text(),
            start_unix_ns: since_1970.as_nanos().to_string(),
            taken: Utc::of(self.record.anchor.date(self.record.at)).to_text(),
            overwritten: lanes.map(|lane| lane.overwritten).sum(),
        }
    }

    /// One event a line, so that two files can be compared.
    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        let before: &[u8] = if self.first { b"\n" } else { b",\n" };
        self.first = false;
        self.out.write_all(before)?;
        let event = Event {
            pid: self.program.pid,
            ..event
        };
        Ok(serde_json::to_writer(&mut self.out, &event)?)
    }

    fn names(&mut self) -> io::Result<()> {
        let name = escaped(&self.program.name).into();
        self.metadata("process_name", None, Args::Name { name })?;
        let labels = "telemetry_rt";
        self.metadata("process_labels", None, Args::Labels { labels })?;
        for (number, lane) in (0..).zip(&self.record.lanes) {
            let name = lane_name(lane);
            let sort_index = number;
            self.metadata("thread_name", Some(number), Args::Name { name })?;
            self.metadata(
                "thread_sort_index",
                Some(number),
                Args::SortIndex { sort_index },
            )?;
        }
        Ok(())
    }

    fn metadata(
        &mut self,
        what: &'static str,
        lane: Option<u32>,
        args: Args<'_>,
    ) -> io::Result<()> {
        self.event(Event {
            ph: "M",
            name: what.into(),
            tid: lane.map(thread_id),
            args: Some(args),
            ..Event::default()
        })
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let event = match item.what {
            What::Slice(slice) => self.slice(item.at, slice),
            What::ArrowStart(number) => arrow("s", number),
            What::ArrowEnd(number) => Event {
                bp: Some("e"),
                ..arrow("f", number)
            },
            What::Stole { victim, tasks } => mark("stole", "steal", Args::Stole { victim, tasks }),
            What::Woke { task } => {
                let name = title(task, self.kind(task)).into();
                mark("woke", "wake", Args::Woke { task, name })
            }
            What::Overwritten(moments) => {
                mark("overwritten", "lost", Args::Overwritten { moments })
            }
        };
        self.event(Event {
            ts: Some(Micros(item.at)),
            tid: Some(thread_id(item.lane)),
            ..event
        })
    }

    fn slice(&self, at: u64, slice: Slice) -> Event<'static> {
        let event = match slice.of {
            Of::Poll { task, start, then } => self.poll(slice, task, start, then),
            Of::Parked => parked(slice),
            Of::Wake => Event {
                name: "wake".into(),
                cat: Some("wake"),
                ..Event::default()
            },
        };
        Event {
            ph: "X",
            dur: Some(Micros(slice.end.saturating_sub(at))),
            ..event
        }
    }

    fn poll(
        &self,
        slice: Slice,
        task: u64,
        start: Option<(u32, WakeCause)>,
        then: Option<Option<Waiting>>,
    ) -> Event<'static> {
        let kind = match start {
            Some((kind, _)) => self.record.kinds.get(kind as usize).map(|kind| &**kind),
            None => self.kind(task),
        };
        let process_type = kind.map(|kind| kind.process_type.as_str());
        let args = PollArgs {
            task,
            process_type,
            function: kind
                .filter(|kind| !kind.is_overflow())
                .map(|kind| escaped(kind.path).into()),
            spawned_at: kind.and_then(spawn_site),
            woken_by: start.map(|(_, cause)| cause.as_str()),
            then: then.map(|waiting| waiting.map_or("ended", Waiting::as_str)),
            running: slice.running,
            truncated: slice.truncated,
        };
        Event {
            name: title(task, kind).into(),
            cat: Some(process_type.unwrap_or("poll")),
            args: Some(Args::Poll(args)),
            ..Event::default()
        }
    }

    fn kind(&self, task: u64) -> Option<&Kind> {
        let kind = *self.kind_of_task.get(&task)?;
        self.record.kinds.get(kind as usize).map(|kind| &**kind)
    }
}

/// What a slice is called.
fn title(task: u64, kind: Option<&Kind>) -> String {
    match kind.map(name_of) {
        None => format!("task {task}"),
        Some("") => "unnamed".to_owned(),
        Some(name) => escaped(name),
    }
}

/// The number of a lane's track. Zero would be the idle thread of the kernel.
fn thread_id(lane: u32) -> u32 {
    lane + 1
}

fn lane_name(lane: &Lane) -> Cow<'static, str> {
    match lane.kind {
        _ if !lane.name.is_empty() => escaped(&lane.name).into(),
        LaneKind::Worker(number) => format!("worker {number}").into(),
        LaneKind::BlockOn => "block_on".into(),
        LaneKind::Blocking => "blocking".into(),
    }
}

fn parked(slice: Slice) -> Event<'static> {
    let Slice {
        running, truncated, ..
    } = slice;
    Event {
        name: "parked".into(),
        cat: Some("park"),
        cname: Some("thread_state_sleeping"),
        args: (running || truncated).then_some(Args::Parked { running, truncated }),
        ..Event::default()
    }
}

fn arrow(phase: &'static str, number: u32) -> Event<'static> {
    Event {
        ph: phase,
        name: "wake".into(),
        cat: Some("wake"),
        id: Some(number),
        ..Event::default()
    }
}

fn mark<'a>(name: &'static str, category: &'static str, args: Args<'a>) -> Event<'a> {
    Event {
        ph: "i",
        name: name.into(),
        cat: Some(category),
        s: Some("t"),
        args: Some(args),
        ..Event::default()
    }
}
