//! Spans as an indented tree.
//!
//! The order of siblings must not depend on the machine. Processes are numbered when they are
//! spawned, so their numbers tell their order exactly. Their dates are converted from ticks a batch
//! at a time, which is right to some microseconds only; those of users' spans are as the clock gave
//! them. So each sort is put in its own order first, and by dates the two are only merged.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::iter::Peekable;

use opentelemetry::trace::{Event, Link, Status};
use opentelemetry::{KeyValue, SpanId, TraceId, Value};
use opentelemetry_sdk::trace::SpanData;

use super::{duration, escaped};

/// What a tree of spans shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// How many lines are kept, counted from the end.
    pub most_lines: usize,
    /// Whether each span's length is shown; tests that compare trees leave it out.
    pub durations: bool,
}

impl Default for TreeOptions {
    fn default() -> TreeOptions {
        TreeOptions {
            most_lines: usize::MAX,
            durations: true,
        }
    }
}

/// What a tree shows that is to be compared with another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Attributes that are shown, of spans, events and links, in this order.
    pub attributes: Vec<String>,
    /// Whether events are shown, each on a line of its own.
    pub events: bool,
    /// Whether links are shown, each on a line of its own.
    pub links: bool,
    /// The order of spans with the same parent, and of roots.
    pub siblings: Siblings,
}

/// The order of spans with the same parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Siblings {
    /// In the order they were spawned or begun.
    #[default]
    Started,
    /// By their lines in the tree, and then by the lines below them: for spans that begin at the
    /// same time on several threads.
    Text,
    /// In the order in which they are given.
    Given,
}

/// Spans as an indented tree, one line each, in the order they started.
///
/// A root is a span without a parent; one whose parent is not among `spans` is shown as a root
/// that begins with `…`. An error is shown behind `!`.
///
/// ```text
/// serve 12.3 ms
///   fetch 8.1 ms ! returned Err(app::Gone)
/// ```
pub fn span_tree(spans: &[SpanData], options: TreeOptions) -> String {
    let tree = Tree::of(spans, Shown::Measured(options));
    last_lines(tree.lines(), options.most_lines)
}

/// Spans as a tree that is the same whenever the program does the same: without durations and ids.
///
/// As [`span_tree`]; besides, processes that were cancelled are marked, attributes are shown in
/// braces, events behind `·` and links behind `→`, each of these where it is asked for.
///
/// ```text
/// serve {http.route=/pay}
///   · retried
///   fetch ! returned Err(app::Gone)
///   audit [cancelled]
/// ```
pub fn snapshot_tree(spans: &[SpanData], snapshot: &Snapshot) -> String {
    let tree = Tree::of(spans, Shown::Snapshot(snapshot));
    last_lines(tree.lines(), usize::MAX)
}

/// Puts spans into the order in which they stand in [`snapshot_tree`].
pub fn sort_as_tree(spans: &mut [SpanData], snapshot: &Snapshot) {
    let mut place_of = vec![0; spans.len()];
    let order = Tree::of(spans, Shown::Snapshot(snapshot)).order();
    for (place, &(index, _)) in order.iter().enumerate() {
        place_of[index] = place;
    }
    // Spans that are each other's ancestors are below no root. They stay behind the others.
    let seen: HashSet<usize> = order.iter().map(|&(index, _)| index).collect();
    let unseen = (0..spans.len()).filter(|index| !seen.contains(index));
    for (place, index) in unseen.enumerate() {
        place_of[index] = order.len() + place;
    }
    for index in 0..spans.len() {
        while place_of[index] != index {
            let place = place_of[index];
            spans.swap(index, place);
            place_of.swap(index, place);
        }
    }
}

fn last_lines(lines: Vec<String>, most: usize) -> String {
    let cut = lines.len().saturating_sub(most);
    let mut text = String::new();
    if cut > 0 {
        let _ = writeln!(text, "({cut} lines before)");
    }
    for line in &lines[cut..] {
        text += line;
        text.push('\n');
    }
    text
}

#[derive(Clone, Copy)]
enum Shown<'a> {
    Measured(TreeOptions),
    Snapshot(&'a Snapshot),
}

impl Shown<'_> {
    fn siblings(&self) -> Siblings {
        match self {
            Shown::Measured(_) => Siblings::Started,
            Shown::Snapshot(snapshot) => snapshot.siblings,
        }
    }

    /// The order in which spans are hung into the tree.
    fn order_of(&self, spans: &[SpanData]) -> Vec<usize> {
        match self.siblings() {
            Siblings::Started | Siblings::Text => in_order(spans),
            Siblings::Given => (0..spans.len()).collect(),
        }
    }
}

struct Tree<'a> {
    spans: &'a [SpanData],
    roots: Vec<usize>,
    children: HashMap<Identity, Vec<usize>>,
    names: HashMap<Identity, &'a str>,
    shown: Shown<'a>,
}

type Identity = (TraceId, SpanId);

impl<'a> Tree<'a> {
    fn of(spans: &'a [SpanData], shown: Shown<'a>) -> Tree<'a> {
        let names = spans.iter().map(|span| (identity(span), &*span.name));
        let mut tree = Tree {
            spans,
            roots: Vec::new(),
            children: HashMap::new(),
            names: names.collect(),
            shown,
        };
        for index in shown.order_of(spans) {
            let parent = parent(&spans[index]);
            match tree.names.contains_key(&parent) && parent != identity(&spans[index]) {
                true => tree.children.entry(parent).or_default().push(index),
                false => tree.roots.push(index),
            }
        }
        if shown.siblings() == Siblings::Text {
            tree.sort_by_text();
        }
        tree
    }

    /// All spans below a root, each with its depth: parents before their children. With a stack of
    /// its own, as traces may be deep.
    fn order(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::with_capacity(self.spans.len());
        let mut stack: Vec<_> = self.roots.iter().rev().map(|&root| (root, 0)).collect();
        while let Some((index, depth)) = stack.pop() {
            order.push((index, depth));
            let children = self.children_of(index).iter().rev();
            stack.extend(children.map(|&child| (child, depth + 1)));
        }
        order
    }

    fn children_of(&self, index: usize) -> &[usize] {
        let children = self.children.get(&identity(&self.spans[index]));
        children.map_or(&[], Vec::as_slice)
    }

    /// Sorts all siblings by what is written of them, from the leaves to the roots.
    fn sort_by_text(&mut self) {
        let mut texts = vec![String::new(); self.spans.len()];
        for (index, depth) in self.order().into_iter().rev() {
            if let Some(children) = self.children.get_mut(&identity(&self.spans[index])) {
                children.sort_by(|&one, &other| texts[one].cmp(&texts[other]));
            }
            let below = self.children_of(index).iter();
            let below: String = below.map(|&child| texts[child].as_str()).collect();
            texts[index] = self.lines_of(index, depth).join("\n") + "\n" + &below;
        }
        self.roots
            .sort_by(|&one, &other| texts[one].cmp(&texts[other]));
    }

    fn lines(&self) -> Vec<String> {
        let order = self.order().into_iter();
        order
            .flat_map(|(index, depth)| self.lines_of(index, depth))
            .collect()
    }

    /// The lines of one span, without those below it.
    fn lines_of(&self, index: usize, depth: usize) -> Vec<String> {
        let span = &self.spans[index];
        let indent = "  ".repeat(depth);
        let is_orphan = depth == 0 && span.parent_span_id != SpanId::INVALID;
        let orphan = if is_orphan { "… " } else { "" };
        let name = escaped(&span.name);
        let remarks = match self.shown {
            Shown::Measured(options) => length(span, options),
            Shown::Snapshot(snapshot) => remarks(span, snapshot),
        };
        let error = match &span.status {
            Status::Error { description } if description.is_empty() => " !".to_owned(),
            Status::Error { description } => format!(" ! {}", escaped(description)),
            Status::Unset | Status::Ok => String::new(),
        };
        let mut lines = vec![format!("{indent}{orphan}{name}{remarks}{error}")];
        if let Shown::Snapshot(snapshot) = self.shown {
            lines.extend(self.parts(span, snapshot, depth + 1));
        }
        lines
    }

    /// The lines of events and links.
    fn parts(&self, span: &SpanData, snapshot: &Snapshot, depth: usize) -> Vec<String> {
        let indent = "  ".repeat(depth);
        let events = span.events.iter().filter(|_| snapshot.events);
        let events = events.map(|event| event_line(event, snapshot));
        let links = span.links.iter().filter(|_| snapshot.links);
        let links = links.map(|link| self.link_line(link, snapshot));
        events
            .chain(links)
            .map(|line| format!("{indent}{line}"))
            .collect()
    }

    fn link_line(&self, link: &Link, snapshot: &Snapshot) -> String {
        let context = &link.span_context;
        let name = self.names.get(&(context.trace_id(), context.span_id()));
        let name = name.map_or_else(|| "…".to_owned(), |name| escaped(name));
        format!("→ {name}{}", in_braces(&link.attributes, snapshot))
    }
}

fn event_line(event: &Event, snapshot: &Snapshot) -> String {
    let attributes = in_braces(&event.attributes, snapshot);
    format!("· {}{attributes}", escaped(&event.name))
}

fn length(span: &SpanData, options: TreeOptions) -> String {
    let length = span.end_time.duration_since(span.start_time);
    match options.durations {
        true => format!(" {}", duration(length.unwrap_or_default())),
        false => String::new(),
    }
}

fn remarks(span: &SpanData, snapshot: &Snapshot) -> String {
    let state = find(&span.attributes, "task.state").map(Value::as_str);
    let state = match state.as_deref() {
        Some("cancelled") => " [cancelled]",
        _ => "",
    };
    state.to_owned() + &in_braces(&span.attributes, snapshot)
}

/// Those of the attributes that are asked for.
fn in_braces(attributes: &[KeyValue], snapshot: &Snapshot) -> String {
    let asked_for = snapshot.attributes.iter();
    let found: Vec<String> = asked_for
        .filter_map(|key| Some(format!("{key}={}", find(attributes, key)?)))
        .collect();
    match found.is_empty() {
        true => String::new(),
        false => format!(" {{{}}}", escaped(&found.join(", "))),
    }
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|found| found.key.as_str() == key);
    found.map(|attribute| &attribute.value)
}

// ----- the order of starting -----

/// The spans in the order they started: see the head of this file.
fn in_order(spans: &[SpanData]) -> Vec<usize> {
    let (mut numbered, mut others) = (Vec::new(), Vec::new());
    for (index, span) in spans.iter().enumerate() {
        match process_number(span) {
            Some(number) => numbered.push((number, index)),
            None => others.push(index),
        }
    }
    numbered.sort_unstable();
    others.sort_by_key(|&index| (spans[index].start_time, spans[index].name.as_ref()));
    let numbered = numbered.into_iter().map(|(_, index)| index).peekable();
    let others = others.into_iter().peekable();
    merged(spans, numbered, others)
}

/// The number of a process. What is below it may carry it, too, but not its type.
fn process_number(span: &SpanData) -> Option<i64> {
    find(&span.attributes, "task.type")?;
    match find(&span.attributes, "task.id")? {
        Value::I64(number) => Some(*number),
        _ => None,
    }
}

fn merged(
    spans: &[SpanData],
    mut one: Peekable<impl Iterator<Item = usize>>,
    mut other: Peekable<impl Iterator<Item = usize>>,
) -> Vec<usize> {
    let start = |index: &usize| spans[*index].start_time;
    let mut merged = Vec::with_capacity(spans.len());
    loop {
        let other_is_first = match (one.peek(), other.peek()) {
            (Some(one), Some(other)) => start(other) < start(one),
            (one, _) => one.is_none(),
        };
        let next = match other_is_first {
            true => other.next(),
            false => one.next(),
        };
        match next {
            Some(next) => merged.push(next),
            None => return merged,
        }
    }
}

fn identity(span: &SpanData) -> Identity {
    (span.span_context.trace_id(), span.span_context.span_id())
}

fn parent(span: &SpanData) -> Identity {
    (span.span_context.trace_id(), span.parent_span_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanKind, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use std::time::{Duration, UNIX_EPOCH};

    /// A span that a user began at `start`.
    fn users(id: u64, parent: u64, name: &'static str, start: u64) -> SpanData {
        let start_time = UNIX_EPOCH + Duration::from_micros(start);
        SpanData {
            span_context: context(id),
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time,
            end_time: start_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    fn context(id: u64) -> SpanContext {
        let (trace, span) = (TraceId::from(1), SpanId::from(id));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
    }

    /// A process that was dated `start`.
    fn process(id: u64, parent: u64, name: &'static str, start: u64) -> SpanData {
        let mut span = users(id, parent, name, start);
        span.attributes = vec![
            KeyValue::new("task.id", id as i64),
            KeyValue::new("task.type", "task"),
            KeyValue::new("task.state", "finished"),
        ];
        span
    }

    fn tree(spans: &[SpanData]) -> String {
        snapshot_tree(spans, &Snapshot::default())
    }

    #[test]
    fn processes_stand_as_they_were_numbered_and_other_spans_as_they_were_dated() {
        let spans = [
            users(9, 1, "late", 40),
            process(4, 1, "third", 12),
            process(3, 1, "second", 13),
            users(7, 1, "early", 5),
            process(2, 1, "first", 10),
            process(1, 0, "root", 0),
        ];
        let in_order = "root\n  early\n  first\n  second\n  third\n  late\n";
        assert_eq!(tree(&spans), in_order);
    }

    #[test]
    fn sorted_spans_stand_as_in_the_tree_and_those_without_a_root_behind() {
        let mut spans = [
            users(8, 9, "cycle", 0),
            process(3, 1, "second", 3),
            users(9, 8, "cycle", 0),
            users(5, 2, "below", 4),
            process(2, 1, "first", 2),
            process(1, 0, "root", 1),
        ];
        sort_as_tree(&mut spans, &Snapshot::default());
        let given = Snapshot {
            siblings: Siblings::Given,
            ..Snapshot::default()
        };
        assert_eq!(snapshot_tree(&spans, &given), tree(&spans));
        spans.swap(1, 3);
        assert_ne!(snapshot_tree(&spans, &given), tree(&spans));
        spans.swap(1, 3);
        let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(
            names,
            ["root", "first", "below", "second", "cycle", "cycle"]
        );
    }

    #[test]
    fn what_is_asked_for_is_shown() {
        let mut cancelled = process(2, 1, "task\n", 1);
        cancelled.attributes[2] = KeyValue::new("task.state", "cancelled");
        let attributes = vec![KeyValue::new("size", 3), KeyValue::new("key", "a b")];
        let mut root = users(1, 0, "root", 0);
        root.attributes = attributes.clone();
        root.status = Status::error("no");
        root.events.events = vec![Event::new("seen", UNIX_EPOCH, attributes.clone(), 0)];
        root.links.links = [2, 77]
            .map(|id| Link::new(context(id), attributes.clone(), 0))
            .into();
        let spans = [cancelled, root];
        assert_eq!(tree(&spans), "root ! no\n  task\\n [cancelled]\n");
        let mut silent = spans[1].clone();
        silent.status = Status::error("");
        assert_eq!(tree(&[silent]), "root !\n");
        let all = Snapshot {
            attributes: ["key", "none", "size"].map(str::to_owned).into(),
            events: true,
            links: true,
            siblings: Siblings::Started,
        };
        assert_eq!(
            snapshot_tree(&spans, &all),
            "\
root {key=a b, size=3} ! no
  · seen {key=a b, size=3}
  → task\\n {key=a b, size=3}
  → … {key=a b, size=3}
  task\\n [cancelled]
"
        );
    }
}
