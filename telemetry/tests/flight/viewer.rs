//! Reads a trace as a viewer does: event by event in the order of time, with a stack of slices for
//! each track. Panics at what a viewer would drop or hang on the wrong slice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a viewer shows.
#[derive(Default)]
pub struct Viewed {
    pub tracks: Vec<String>,
    /// The names of slices.
    pub names: Vec<String>,
    depths: Vec<(u64, usize)>,
    /// Which poll's task (none outside of one) and slice each arrow leaves, and whose poll it
    /// enters; in the order of their numbers.
    pub arrows: Vec<(Option<u64>, String, u64)>,
    /// Where they end, in the same order.
    pub arrow_ends_at: Vec<String>,
}

impl Viewed {
    /// How deep the slices of a track lie, in the order they start.
    pub fn depths(&self, track: u64) -> Vec<usize> {
        let of_track = self.depths.iter().filter(|(own, _)| *own == track);
        of_track.map(|(_, depth)| *depth).collect()
    }
}

#[derive(Clone)]
struct Slice {
    start: u64,
    end: u64,
    name: String,
    task: Option<u64>,
}

fn nanos(micros: &Value) -> u64 {
    let micros = micros
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {micros}"));
    assert!(micros >= 0.0);
    (micros * 1e3).round() as u64
}

pub fn view(file: &Value) -> Viewed {
    let mut events: Vec<&Value> = file["traceEvents"].as_array().unwrap().iter().collect();
    let order: Vec<u64> = drawn(&events).map(|event| nanos(&event["ts"])).collect();
    assert!(order.is_sorted(), "written in the order of time");
    events.sort_by_key(|event| (event.get("ts").map_or(0, nanos), shortness(event)));

    let mut viewed = Viewed::default();
    let mut stacks: BTreeMap<u64, Vec<Slice>> = BTreeMap::new();
    let mut starts: BTreeMap<u64, (u64, Slice)> = BTreeMap::new();
    let mut ended: BTreeMap<u64, (Slice, Slice)> = BTreeMap::new();
    for event in events {
        let tid = event["tid"].as_u64().unwrap_or(0);
        let stack = stacks.entry(tid).or_default();
        match event["ph"].as_str().unwrap() {
            "M" if event["name"] == "thread_name" => {
                viewed
                    .tracks
                    .push(format!("{tid} {}", event["args"]["name"]));
            }
            "M" => {}
            "X" => {
                let slice = slice(event);
                push(stack, slice.clone());
                viewed.depths.push((tid, stack.len() - 1));
                viewed.names.push(slice.name);
            }
            "i" => push(stack, slice(event)),
            "s" => {
                let at = nanos(&event["ts"]);
                let from = stack.last().expect("an arrow starts in a slice").clone();
                assert!(
                    (from.start..=from.end).contains(&at),
                    "{event} in {}",
                    from.name
                );
                let id = event["id"].as_u64().unwrap();
                assert!(starts.insert(id, (at, from)).is_none(), "twice: {event}");
            }
            "f" => {
                let at = nanos(&event["ts"]);
                assert_eq!(event["bp"], "e");
                let id = event["id"].as_u64().unwrap();
                let (started, from) = starts.remove(&id).expect("its start comes first");
                let to = stack.last().expect("an arrow ends in a slice").clone();
                assert!(started <= at, "{event}");
                assert_eq!(to.start, at, "{event} ends in {}", to.name);
                ended.insert(id, (from, to));
            }
            other => panic!("phase {other}"),
        }
    }
    assert!(
        starts.is_empty(),
        "arrows without an end: {:?}",
        starts.keys()
    );
    for (_, (from, to)) in ended {
        viewed
            .arrows
            .push((from.task, from.name, to.task.expect("into a poll")));
        viewed
            .arrow_ends_at
            .push((to.start as f64 / 1e3).to_string());
    }
    viewed
}

/// Of what begins at the same time, Perfetto takes the longest slice first, and all else as it is
/// written.
fn shortness(event: &Value) -> u64 {
    u64::MAX - event.get("dur").map_or(0, nanos)
}

fn drawn<'a>(events: &'a [&'a Value]) -> impl Iterator<Item = &'a Value> {
    let tids: BTreeSet<u64> = events
        .iter()
        .filter_map(|event| event["tid"].as_u64())
        .collect();
    assert!(!tids.contains(&0));
    events.iter().copied().filter(|event| event["ph"] != "M")
}

fn slice(event: &Value) -> Slice {
    let start = nanos(&event["ts"]);
    let length = event.get("dur").map_or(0, nanos);
    Slice {
        start,
        end: start + length,
        name: event["name"].as_str().unwrap().to_owned(),
        task: match event["cat"].as_str().unwrap() {
            "task" | "future" | "blocking" | "poll" => event["args"]["task"].as_u64(),
            _ => None,
        },
    }
}

/// Slices that have ended go from the stack; what has no length stays until something with length
/// comes, or later.
fn push(stack: &mut Vec<Slice>, slice: Slice) {
    let both_short = |top: &Slice| top.start == top.end && slice.start == slice.end;
    while let Some(top) = stack.last() {
        if top.end < slice.start || top.end == slice.start && !both_short(top) {
            stack.pop();
            continue;
        }
        assert!(
            slice.end <= top.end,
            "{} {}..{} overlaps {} {}..{}",
            slice.name,
            slice.start,
            slice.end,
            top.name,
            top.start,
            top.end,
        );
        break;
    }
    stack.push(slice);
}
