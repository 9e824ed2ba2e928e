//! Recording takes no lock: the floor that records has locks in the listed functions only, and none of
//! these is on the way of a spawn, a wake, a poll or an end that happened before.
//!
//! It is a list, like that of the files with `unsafe`: whoever takes a lock has to say here when.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FLOOR: &str = "telemetry/src/record";

/// The file, the function that locks, and when that is.
const LISTED: &[(&str, &str, &str)] = &[
    ("guests.rs", "all", "somebody asks for the numbers"),
    (
        "guests.rs",
        "give_back",
        "a pen that was kept for a thread goes",
    ),
    (
        "guests.rs",
        "take_or_make",
        "a thread is in its first `block_on`",
    ),
    (
        "health.rs",
        "ask",
        "somebody asks for numbers of the moment",
    ),
    ("health.rs", "observe", "a runtime is made"),
    ("kind.rs", "all", "somebody asks for all kinds"),
    (
        "kind.rs",
        "get",
        "a foreign span begins or ends, or somebody asks",
    ),
    (
        "kind.rs",
        "intern",
        "a thread spawns from a line for the first time, or by a name",
    ),
    ("kind.rs", "keep_name", "a task is spawned by a name"),
    ("kind.rs", "set_names", "somebody changes the lists"),
    ("lane.rs", "all", "somebody asks for a flight record"),
    ("lane.rs", "take", "a thread begins to work for a runtime"),
    ("recorder.rs", "drain_spans", "the drain comes"),
    (
        "recorder.rs",
        "waiting_spans",
        "somebody asks for the account",
    ),
    ("recorder.rs", "worker", "a runtime is made"),
];

/// What takes a lock; without a receiver, so that none is missed.
const TAKES: [&str; 7] = [
    ".lock()",
    ".read()",
    ".write()",
    ".try_lock()",
    ".try_read()",
    ".try_write()",
    ".wait(",
];

/// Methods of the floor's own that have such a name and take none.
const OTHERS: [&str; 2] = ["self.read()", "slot.read()"];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The lines of the product: neither comments nor what follows the beginning of the unit tests.
fn product(text: &str) -> impl Iterator<Item = &str> {
    let is_test =
        |line: &&str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
    let lines = text.lines().take_while(move |line| !is_test(line));
    lines.filter(|line| !line.trim_start().starts_with("//"))
}

/// The functions of a file that take a lock. A call that stands on a line of its own counts for the
/// function it is in, too.
fn lockers(text: &str) -> BTreeSet<String> {
    let mut function = String::new();
    let mut found = BTreeSet::new();
    for line in product(text) {
        if let Some(name) = declared(line) {
            function = name.to_owned();
        }
        let takes = TAKES.iter().any(|call| line.contains(call));
        if takes && !OTHERS.iter().any(|other| line.contains(other)) {
            found.insert(function.clone());
        }
    }
    found
}

/// The name of the function that a line begins.
fn declared(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = [
        "pub",
        "pub(super)",
        "pub(crate)",
        "const",
        "unsafe",
        "extern",
    ];
    let is_declaration = before.split_whitespace().all(|word| words.contains(&word));
    let name = after.split(['(', '<']).next()?;
    is_declaration.then_some(name)
}

#[test]
fn only_the_listed_functions_of_the_recording_floor_take_a_lock() {
    let mut paths = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(FLOOR),
        &mut paths,
    );
    assert!(paths.len() > 20, "the floor is not in {FLOOR} any more");
    let mut found = BTreeSet::new();
    for path in &paths {
        let file = path.file_name().unwrap().to_str().unwrap();
        // The twins of the checker's locks.
        if file == "sync.rs" {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        found.extend(
            lockers(&text)
                .into_iter()
                .map(|function| (file.to_owned(), function)),
        );
    }
    let listed: BTreeSet<_> = LISTED
        .iter()
        .map(|(file, function, _)| ((*file).to_owned(), (*function).to_owned()))
        .collect();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(new.is_empty(), "take a lock and are not listed: {new:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "are listed and take no lock: {gone:?}");
}

/// The functions at which recording begins must not be among those that lock.
#[test]
fn no_function_of_the_hot_path_is_listed() {
    let hot = [
        "woken",
        "woken_again",
        "answered",
        "spawned",
        "begin_span",
        "poll_started",
        "poll_ended",
        "drop_ended",
        "ended",
        "hand_over",
        "hand_over_shared",
        "hand_over_poll",
        "count",
        "parked",
        "unparked",
        "resumed",
        "paused",
        "stole",
        "write",
        "record",
        "enter",
        "leave",
    ];
    for (file, function, _) in LISTED {
        assert!(!hot.contains(function), "{function} in {file}");
    }
}

#[test]
fn a_lock_that_is_taken_is_found_whoever_takes_it() {
    let text = "
        pub(super) fn quiet(&self) -> u64 {
            // It does not .lock() anything.
            self.number.load(Relaxed)
        }

        pub fn loud<T>(&self) {
            self.all
                .lock()
                .push(1);
        }

        fn louder(&self) { let known = self.known.write(); }
#[cfg(test)]
mod tests {
    fn tests() { all.lock(); }
}";
    let expected = ["loud", "louder"].map(str::to_owned);
    assert_eq!(lockers(text), expected.into());
}
