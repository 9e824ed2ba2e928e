//! Rules of the codebase that no compiler knows: which floor may use which, where `unsafe` may
//! stand, where time is read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate and the crates of the workspace that it may use. `ARCHITECTURE.md` draws this.
const FLOORS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("reactor", &["clock"]),
    ("telemetry", &["clock"]),
    ("executor", &["clock", "reactor", "telemetry"]),
    ("macros", &[]),
    (
        ".",
        &["clock", "executor", "macros", "reactor", "telemetry"],
    ),
    // Integrations stand on the facade, which is no floor.
    ("integrations/http", &[]),
    ("integrations/logs", &[]),
];

fn is_integration(name: &str) -> bool {
    name.starts_with("integrations/")
}

/// The files that may hold `unsafe`, and what for.
const UNSAFE: &[(&str, &str)] = &[
    ("clock/src/lib.rs", "the time stamp counter"),
    ("executor/src/memory/blocks.rs", "links in free blocks"),
    ("executor/src/memory/chunk.rs", "carving blocks"),
    ("executor/src/memory/fork.rs", "hearing of a fork"),
    ("executor/src/memory/mod.rs", "memory of any layout"),
    ("executor/src/memory/region.rs", "memory of chunks"),
    ("executor/src/memory/store.rs", "making chunks"),
    ("executor/src/memory/thread.rs", "a thread's own blocks"),
    ("executor/src/registry.rs", "live tasks under the lock"),
    (
        "executor/src/runtime/context.rs",
        "a current runtime that is not counted",
    ),
    (
        "executor/src/scheduler/current.rs",
        "the worker on the stack of its thread",
    ),
    (
        "executor/src/scheduler/queue.rs",
        "tasks as the words that a thief may read in vain",
    ),
    (
        "executor/src/scheduler/tasks.rs",
        "a scheduler without a count",
    ),
    ("executor/src/sync/spin.rs", "the promise of a lock"),
    ("executor/src/task/cell.rs", "the allocation of a task"),
    ("executor/src/task/harness.rs", "a poll"),
    ("executor/src/task/join.rs", "reading the output"),
    ("executor/src/task/raw.rs", "references and wakers"),
    (
        "reactor/src/context.rs",
        "a current handle that is not counted",
    ),
    ("reactor/src/held.rs", "a reference that is not counted"),
    (
        "reactor/src/io/tokio_io.rs",
        "reading into uninitialised buffers",
    ),
    ("telemetry/src/record/active/ids.rs", "hearing of a fork"),
    ("telemetry/src/record/active/ring.rs", "the slots of a ring"),
    (
        "telemetry/src/record/active/thread.rs",
        "the lane of a thread, without a destructor",
    ),
];

/// The one file that reads clocks.
const TIME: &str = "clock/src/lib.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below the `src` folders, with their path from the root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (floor, _) in FLOORS {
        collect(&root().join(floor).join("src"), &mut files);
    }
    files.sort();
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy();
            let text = fs::read_to_string(&path).unwrap();
            (name.trim_start_matches("./").to_owned(), text)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The lines of a file that are code of the product: no comments, nothing from the unit tests on,
/// nothing in files that hold nothing but tests.
fn product_lines<'a>(name: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let only_tests = ["tests.rs", "fuzz.rs", "loom.rs", "testing.rs"]
        .iter()
        .any(|end| name.ends_with(end))
        || name.contains("model");
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .take_while(move |(_, line)| {
            !only_tests && !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test")
        })
        .filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn each_floor_uses_only_those_below_it() {
    for (floor, allowed) in FLOORS {
        let manifest = fs::read_to_string(root().join(floor).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("\n[")
            .filter(|section| section.starts_with("dependencies]"));
        let used: BTreeSet<&str> = dependencies
            .flat_map(str::lines)
            .filter_map(|line| line.strip_prefix("telemetry_rt-"))
            .map(|line| line.split(['.', ' ', '=']).next().unwrap())
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let wrong: Vec<_> = used.difference(&allowed).collect();
        assert!(wrong.is_empty(), "{floor} uses {wrong:?}");
    }
}

#[test]
fn the_floors_build_without_tokio() {
    let is_below = |floor: &str| floor != "." && !is_integration(floor);
    for (floor, _) in FLOORS.iter().filter(|(floor, _)| is_below(floor)) {
        let manifest = fs::read_to_string(root().join(floor).join("Cargo.toml")).unwrap();
        let normal = manifest
            .split("\n[")
            .filter(|section| section.starts_with("dependencies]"));
        for line in normal
            .flat_map(str::lines)
            .filter(|line| line.starts_with("tokio"))
        {
            assert!(line.contains("optional = true"), "{floor}: {line}");
        }
    }
}

#[test]
fn the_recording_floor_knows_neither_the_sdk_nor_the_exporters() {
    for (name, text) in sources() {
        let forbidden: &[&str] = match name.as_str() {
            name if name.starts_with("telemetry/src/record") => {
                &["opentelemetry_sdk", "crate::export", "super::export"]
            }
            name if name.starts_with("executor/") => &["opentelemetry", "::export"],
            name if name.starts_with("reactor/") => &["telemetry_rt_telemetry", "opentelemetry"],
            _ => &[],
        };
        for (number, line) in product_lines(&name, &text) {
            for word in forbidden {
                assert!(!line.contains(word), "{name}:{number} names {word}: {line}");
            }
        }
    }
}

#[test]
fn unsafe_stands_in_the_listed_files_only_and_each_of_them_needs_to_be_listed() {
    let mut found = BTreeSet::new();
    for (name, text) in sources() {
        for (number, line) in product_lines(&name, &text) {
            let code = line.split("//").next().unwrap_or("");
            let forms = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe trait",
                "unsafe extern",
            ];
            if forms.iter().any(|form| code.contains(form)) {
                let listed = UNSAFE.iter().any(|(file, _)| *file == name);
                assert!(listed, "{name}:{number} has unsafe code: {line}");
                found.insert(name.clone());
            }
        }
    }
    let listed: BTreeSet<String> = UNSAFE.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, listed, "a listed file has no unsafe code any more");
}

#[test]
fn time_is_read_in_one_file() {
    let mut reads = 0;
    for (name, text) in sources() {
        for (number, line) in product_lines(&name, &text) {
            // Integrations read the facade's `Instant`, as users do.
            let ours = is_integration(&name) || name.starts_with("reactor/src/time/");
            let read = ["std::time::Instant::now", "SystemTime::now", "_rdtsc"]
                .iter()
                .any(|call| line.contains(call))
                || (line.contains(".elapsed()") && !is_integration(&name))
                || (line.contains("Instant::now()") && !ours);
            if read {
                assert_eq!(name, TIME, "{name}:{number} reads a clock: {line}");
                reads += 1;
            }
        }
    }
    assert!(reads >= 3, "the check has lost sight of {TIME}");
}

#[test]
fn every_file_says_what_it_is_about() {
    for (name, text) in sources() {
        let first = text.lines().next().unwrap_or("");
        assert!(first.starts_with("//!"), "{name} begins with {first:?}");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (name, text) in sources() {
        let lines = product_lines(&name, &text).count();
        assert!(lines <= 500, "{name} has {lines} lines of code");
    }
}
