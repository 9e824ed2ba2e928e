//! Does the first example do what its help says?

mod example;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use example::{Ran, example, run};
use serde_json::Value;
use tempfile::TempDir;

/// Names that make trouble.
const NAMES: &[&[u8]] = &[
    b"plain",
    b"with blanks at the end  ",
    b"new\nline",
    b"back\\slash and \\n",
    b"carriage\rreturn",
    b"*not a marker",
    b"\xff is no UTF-8",
    b"\x1b[31mred",
    b"-dash",
];

fn quickstart(args: &[&str], folder: &Path) -> Ran {
    run(example("quickstart").args(args).arg(folder))
}

/// A folder with all of those and more, and how many regular files it has.
fn folder() -> (TempDir, u64) {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b c/d");
    fs::create_dir_all(&deep).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(deep.join("large"), vec![7; 300_000]).unwrap();
    for name in NAMES {
        fs::write(folder.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    std::os::unix::fs::symlink("plain", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("..", deep.join("circle")).unwrap();
    let pipe = Command::new("mkfifo").arg(deep.join("pipe")).status();
    assert!(pipe.unwrap().success());
    (folder, NAMES.len() as u64 + 2)
}

#[test]
fn the_manifest_is_one_that_sha256sum_checks() {
    let (folder, files) = folder();
    let manifest = folder.path().join("sums");
    let ran = quickstart(&["--manifest", manifest.to_str().unwrap()], folder.path());
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ran.stdout
    );

    let mut check = Command::new("sha256sum");
    let check = check
        .args(["--check", "--strict"])
        .arg(&manifest)
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
    let checked = String::from_utf8_lossy(&check.stdout);
    assert_eq!(
        checked
            .lines()
            .filter(|line| line.ends_with(": OK"))
            .count() as u64,
        files
    );
}

#[test]
fn a_manifest_in_the_folder_is_not_part_of_itself() {
    let (folder, files) = folder();
    for _ in 0..2 {
        let manifest = folder.path().join("a/../sums");
        let ran = quickstart(&["--manifest", manifest.to_str().unwrap()], folder.path());
        assert_eq!(ran.number(" files,"), files);
    }
}

#[test]
fn each_file_has_a_span_for_its_task_and_one_for_its_hop() {
    let (folder, files) = folder();
    let ran = quickstart(&[], folder.path());
    assert_eq!(ran.number(" files,"), files);
    assert_eq!(ran.number(" processes:"), 2 * files + 1);
    assert_eq!(ran.number(" spans exported"), 2 * files + 1);
    assert_eq!(ran.number(" dropped"), 0);
    assert_eq!(ran.process_count(), 2 * files + 1);
    assert!(
        ran.stdout
            .contains("skipped: 2 symbolic links, 1 special files"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("  hash_file ") && ran.stdout.contains("    sha256_of "));
}

#[test]
fn a_flight_record_has_slices_of_the_task_and_of_its_hop() {
    let (folder, files) = folder();
    let place = tempfile::tempdir().unwrap();
    let flight = place.path().join("flight.json");
    let ran = quickstart(&["--flight", flight.to_str().unwrap()], folder.path());
    assert_eq!((ran.status, ran.number(" files,")), (Some(0), files));

    let json: Value = serde_json::from_slice(&fs::read(flight).unwrap()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let slices = |name: &str| {
        let is_slice = |event: &&Value| event["ph"] == "X" && event["name"] == name;
        events.iter().filter(is_slice).count() as u64
    };
    assert_eq!(slices("sha256_of"), files);
    // A poll that begins the hop, and one that has its result, unless that was there at once.
    let polls = slices("hash_file");
    assert!((files..=2 * files).contains(&polls), "{polls} polls");
}

/// Printed all at once, so that each span is seen below its parent.
#[test]
fn more_files_than_a_task_has_children_stay_in_one_trace() {
    // A task has 128 children in its trace; further ones, without `child`, begin their own.
    const FILES: usize = 140;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        fs::write(folder.path().join(number.to_string()), [7]).unwrap();
    }
    let ran = run(example("quickstart")
        .arg(folder.path())
        .env("OTEL_TRACES_EXPORTER", "console")
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000"));
    assert_eq!(ran.number(" spans exported"), 2 * FILES as u64 + 1);
    let lines = |start: &str| {
        ran.stdout
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(lines("quickstart "), 1, "{}", ran.stdout);
    assert_eq!(lines("  hash_file "), FILES, "{}", ran.stdout);
    assert_eq!(lines("    sha256_of "), FILES, "{}", ran.stdout);
}

#[test]
fn an_empty_folder_is_a_root_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ran = quickstart(&[], folder.path());
    assert_eq!((ran.status, ran.number(" spans exported")), (Some(0), 1));
}

#[test]
fn the_ways_of_ending_are_told_apart() {
    let (folder, files) = folder();
    let ran = run(example("quickstart")
        .arg("--with-failures")
        .arg(folder.path())
        .env("RUST_BACKTRACE", "1"));
    assert_eq!(ran.status, Some(1));
    // The file that cannot be read has a task and a hop; the panic is told without a backtrace.
    let expected = 2 * (files + 1) + 4 + 1;
    assert_eq!(ran.number(" processes:"), expected);
    assert_eq!(ran.number(" spans exported"), expected);
    assert_eq!(ran.process_count(), expected);
    let line = format!(
        "quickstart: {}: Is a directory (os error 21)\n",
        folder.path().display()
    );
    assert_eq!(ran.stderr, line);

    let counts = ran.table("process.count ");
    for row in [
        (
            "type=task name=panics state=exception error.type=panic",
            "1",
        ),
        ("type=task name=is_aborted state=cancelled", "1"),
        (
            "type=blocking name=sha256_of state=exception error.type=std::io::error::Error",
            "1",
        ),
    ] {
        assert!(counts.contains(&row), "no {row:?} in {counts:#?}");
    }
    for part in [
        "name=times_out state=timeout",
        "name=returns_err state=exception",
    ] {
        assert!(
            counts.iter().any(|(row, _)| row.contains(part)),
            "no {part:?} in {counts:#?}"
        );
    }
    for part in [
        "! panicked: this task panics on purpose",
        "! its time was up",
        "is_aborted  cancelled",
        "returns_err exception this task returns an error on purpose",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in {}", ran.stdout);
    }
}

#[test]
fn a_wrong_command_line_is_answered_by_one_line() {
    for (args, part) in [
        (
            vec!["no/such/folder"],
            "no/such/folder: No such file or directory",
        ),
        (vec!["Cargo.toml"], "Cargo.toml: not a folder"),
        (vec!["--unknown"], "'--unknown'"),
        (vec!["--manifest"], "'--manifest'"),
        (vec!["src", "tests"], "\"tests\""),
    ] {
        let ran = run(example("quickstart").args(&args));
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(
            ran.stderr.starts_with("quickstart: ") && ran.stderr.contains(part),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_manifest_that_cannot_be_written_is_said_before_anything_is_read() {
    let ran = run(example("quickstart").args(["--manifest", "no/such/sums", "src"]));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr.starts_with("quickstart: no/such/sums: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_that_has_read_enough_is_no_reason_to_panic() {
    let mut child = example("quickstart")
        .arg("src")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_collector_that_is_not_there_costs_one_warning_and_no_more_than_the_deadlines() {
    let (folder, files) = folder();
    // An endpoint asks for metrics, too, unless they are turned off.
    for metrics in [None, Some("none")] {
        let mut command = example("quickstart");
        command
            .arg(folder.path())
            .env("OTEL_TRACES_EXPORTER", "otlp")
            // Where nobody listens.
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .envs(metrics.map(|metrics| ("OTEL_METRICS_EXPORTER", metrics)));
        let start = Instant::now();
        let ran = run(&mut command);
        let time = start.elapsed();

        assert_eq!(ran.status, Some(0));
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("http://127.0.0.1:9/v1/traces"),
            "{}",
            ran.stderr
        );
        // Five seconds for the flush, five for the end of the runtime.
        assert!(time < Duration::from_secs(12), "it took {time:?}");
        assert_eq!(ran.number(" files,"), files);
        assert_eq!(ran.number(" spans exported"), 0);
    }
}

#[test]
fn an_environment_that_turns_everything_off_is_obeyed() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let ran = run(example("quickstart").arg("src").env(name, value));
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
        assert!(
            ran.stdout.contains("nothing was recorded"),
            "{}",
            ran.stdout
        );
        assert!(!ran.stdout.contains("hash_file"), "{}", ran.stdout);
    }
}
