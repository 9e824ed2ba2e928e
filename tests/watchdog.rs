//! The watchdog: a poll that does not end is told once, and what the runtime did last is written
//! down after a stall, after a panic, and when somebody asks by a signal.
//!
//! Warnings, signals and variables belong to a whole program, so each case is a process of its own:
//! this very test binary, which runs one of the programs below and prints what it sees.
#![cfg(all(feature = "telemetry", feature = "tokio-io", unix))]

mod observed;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use observed::{Observed, text, wait_until};
use telemetry_rt::otel::{Otel, set_diagnostics};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, block_in_place};
use telemetry_rt::time::sleep;
use tempfile::TempDir;

const STALL: &str = "OTEL_RUST_EXECUTOR_STALL";
const FOLDER: &str = "OTEL_RUST_EXECUTOR_FLIGHT_DIR";
const SIGNAL: &str = "OTEL_RUST_EXECUTOR_FLIGHT_SIGNAL";

/// So long is a stall here, and so often is it looked for four times.
const THRESHOLD: Duration = Duration::from_millis(20);
const SHORT: (&str, &str) = (STALL, "20ms");

/// How a warning of a stall begins.
const STALLED: &str = "a poll has been running for ";

// ----- running a program -----

/// What a program has printed, line by line, without what the test harness says.
struct Printed(Vec<String>);

#[track_caller]
fn run(program: &str, variables: &[(&str, &str)]) -> Printed {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", program, "--ignored", "--nocapture"]);
    for name in [STALL, FOLDER, SIGNAL] {
        command.env_remove(name);
    }
    let output = command
        .env("OTEL_SERVICE_NAME", "shop")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once("says: "));
    Printed(lines.map(|(_, line)| line.to_owned()).collect())
}

impl Printed {
    fn with(&self, part: &str) -> Vec<&str> {
        let lines = self.0.iter().filter(|line| line.contains(part));
        lines.map(String::as_str).collect()
    }

    #[track_caller]
    fn only(&self, part: &str) -> &str {
        let lines = self.with(part);
        assert_eq!(lines.len(), 1, "{part:?} in {:?}", self.0);
        lines[0]
    }
}

/// The files in a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten();
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    paths.sort();
    paths
}

// ----- what programs do -----

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn say(line: &str) {
    println!("says: {line}");
}

/// Prints warnings from now on.
fn listen() {
    set_diagnostics(|line| {
        say(&format!("warning: {line}"));
        WARNINGS.lock().unwrap().push(line.to_owned());
    });
}

fn warnings(part: &str) -> usize {
    let warnings = WARNINGS.lock().unwrap();
    warnings.iter().filter(|line| line.contains(part)).count()
}

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

fn two_workers() -> Observed {
    listen();
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    Observed::new(builder)
}

/// Keeps its thread until the stall was told, and then for as long as ten more could be.
fn is_stuck(name: &'static str) {
    wait_until(|| warnings(&format!("{name:?}")) > 0);
    thread::sleep(10 * THRESHOLD);
}

/// Runs the runtime to its end, and prints how many stalls were counted, and the traces.
fn end(observed: Observed) {
    let seen = observed.end();
    say(&format!(
        "counted: {}",
        seen.total("executor.polls.stalled", &[])
    ));
    for span in &seen.spans {
        let (id, trace) = (text(span, "task.id"), span.span_context.trace_id());
        say(&format!("span: {} {id} {trace}", span.name));
    }
}

/// The names of the threads of this process.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

fn is_watched() -> bool {
    threads().iter().any(|name| name == "rt-watchdog")
}

/// As `is_watched`, just after the start of a runtime: a thread takes its name a little later.
fn is_watched_soon() -> bool {
    (0..50).any(|_| {
        thread::sleep(Duration::from_millis(1));
        is_watched()
    })
}

// ----- stalls -----

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_stalls() {
    let observed = two_workers();
    observed.runtime.block_on(async {
        say(&format!("line: {}", line!() + 1));
        let stuck = named("stuck").spawn(async { is_stuck("stuck") });
        stuck.await.unwrap();
    });
    end(observed);
}

#[test]
fn a_stuck_poll_is_told_once_with_its_task_and_counted() {
    let printed = run("program_stalls", &[SHORT]);
    let told = printed.only(STALLED);
    let line = printed.only("line: ").trim_start_matches("line: ");
    let span = printed.only("span: stuck ");
    let [_, _, id, trace] = span.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{span}");
    };
    let expected = format!(
        ": task {id} \"stuck\", spawned at {}:{line}, trace {trace}",
        file!()
    );
    assert!(told.ends_with(&expected), "{told} instead of {expected}");
    assert!(told.contains(" on worker "), "{told}");
    let elapsed = told
        .split(STALLED)
        .nth(1)
        .unwrap()
        .split(" on ")
        .next()
        .unwrap();
    let (number, unit) = elapsed.split_once(' ').unwrap();
    let millis = number.parse::<f64>().unwrap() * if unit == "s" { 1_000.0 } else { 1.0 };
    assert!(unit.ends_with('s') && millis >= 20.0, "{told}");
    assert_eq!(printed.only("counted"), "counted: 1");
}

#[test]
fn a_stall_is_written_into_the_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let printed = run("program_stalls", &[SHORT, (FOLDER, path)]);
    let records = files(folder.path(), ".perfetto.json");
    assert_eq!(records.len(), 1, "{records:?}");
    let record = records[0].to_str().unwrap();
    assert!(
        Path::new(record)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("shop-")
    );
    assert!(printed.only(STALLED).ends_with(&format!("is in {record}")));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let slice = events
        .iter()
        .find(|event| event["name"] == "stuck" && event["ph"] == "X");
    assert_eq!(slice.unwrap()["args"]["running"], true);
    assert_eq!(json["otherData"]["service"], "shop");
    let tables = files(folder.path(), ".tasks.txt");
    let table = fs::read_to_string(&tables[0]).unwrap();
    let row = table.lines().find(|line| line.contains(" stuck ")).unwrap();
    assert!(row.contains(" running "), "{table}");
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_stalls_everywhere() {
    let observed = two_workers();
    async fn stuck_root() {
        is_stuck("stuck_root");
    }
    let tasks = ["first", "second"]
        .map(|name| named(name).spawn_on(async move { is_stuck(name) }, observed.runtime.handle()));
    observed.runtime.block_on(stuck_root());
    observed.runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        // Another poll of the same task would be another stall.
        let twice = named("twice").spawn(async {
            is_stuck("twice");
            task::yield_now().await;
            wait_until(|| warnings("\"twice\"") == 2);
        });
        twice.await.unwrap();
    });
    end(observed);
}

#[test]
fn each_stuck_poll_is_told_on_its_own() {
    let printed = run("program_stalls_everywhere", &[SHORT]);
    for (name, times) in [("first", 1), ("second", 1), ("stuck_root", 1), ("twice", 2)] {
        let told = printed.with(STALLED);
        let told = told
            .iter()
            .filter(|line| line.contains(&format!("{name:?}")));
        assert_eq!(told.count(), times, "{name} in {:?}", printed.0);
    }
    assert_eq!(printed.only("counted"), "counted: 5");
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_blocks() {
    let observed = two_workers();
    observed.runtime.block_on(async {
        let function = named("function").spawn_blocking(|| thread::sleep(10 * THRESHOLD));
        let in_place = named("in_place").spawn(async {
            block_in_place(|| thread::sleep(10 * THRESHOLD));
        });
        let sleeps = named("sleeps").spawn(sleep(10 * THRESHOLD));
        function.await.unwrap();
        in_place.await.unwrap();
        sleeps.await.unwrap();
    });
    end(observed);
}

#[test]
fn what_may_block_is_never_told() {
    let printed = run("program_blocks", &[SHORT]);
    // On a machine that is busy otherwise, other polls may stall.
    for name in ["function", "in_place", "sleeps"] {
        let told = printed.with(STALLED);
        let told = told.iter().any(|line| line.contains(&format!("{name:?}")));
        assert!(!told, "{:?}", printed.0);
    }
}

// ----- panics and the signal -----

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_panics() {
    let observed = two_workers();
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let written = || files(&folder, ".tasks.txt").len();
    let until_refused = env::var_os("UNTIL_REFUSED").is_some();
    observed.runtime.block_on(async {
        let mut goes_on = true;
        while goes_on {
            let before = written();
            let panics = named("panics").spawn(async { panic!("on purpose") });
            assert!(panics.await.is_err());
            // One after the other: panics that come at once are written once.
            while written() == before && warnings("not written") == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            goes_on = until_refused && warnings("not written") == 0;
        }
    });
    end(observed);
}

#[test]
fn a_panic_is_written_into_the_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let printed = run("program_panics", &[(STALL, "off"), (FOLDER, path)]);
    let record = files(folder.path(), ".perfetto.json");
    assert_eq!(record.len(), 1);
    assert!(
        fs::read_to_string(&record[0])
            .unwrap()
            .contains("\"panics\"")
    );
    let told = printed.only("after a panic");
    assert!(told.ends_with(record[0].to_str().unwrap()), "{told}");
}

#[test]
fn no_more_than_sixteen_records_are_written_for_one_cause() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    // So short that it is looked often; stalls that there may be are written beside the panics.
    let variables = [(STALL, "4ms"), (FOLDER, path), ("UNTIL_REFUSED", "")];
    let printed = run("program_panics", &variables);
    let stalls = printed.with(STALLED).len();
    let records = files(folder.path(), ".perfetto.json").len();
    assert!(
        (16..=16 + stalls).contains(&records),
        "{records}, {stalls} stalls"
    );
    assert_eq!(files(folder.path(), ".tasks.txt").len(), records);
    assert_eq!(
        files(folder.path(), "").len(),
        2 * records,
        "nothing is left over"
    );
    let refused = printed.with("is not written");
    assert!(refused[0].contains("16"), "{refused:?}");
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_is_asked() {
    let observed = two_workers();
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let signal = match &*env::var(SIGNAL).unwrap() {
        "SIGUSR1" => libc::SIGUSR1,
        "SIGQUIT" => libc::SIGQUIT,
        other => panic!("{other}"),
    };
    observed.runtime.block_on(async {
        named("waits").spawn(std::future::pending::<()>());
        observed::idle("waits").await;
        for times in 1..=2 {
            // SAFETY: the watchdog has a handler for it.
            assert_eq!(unsafe { libc::raise(signal) }, 0);
            wait_until(|| files(&folder, ".tasks.txt").len() == times);
        }
    });
    end(observed);
}

#[test]
fn a_signal_writes_what_there_is() {
    for signal in ["SIGUSR1", "SIGQUIT"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let printed = run(
            "program_is_asked",
            &[(SIGNAL, signal), (FOLDER, path), (STALL, "off")],
        );
        assert_eq!(files(folder.path(), ".perfetto.json").len(), 2);
        assert_eq!(printed.with("after the signal").len(), 2);
        let table = fs::read_to_string(&files(folder.path(), ".tasks.txt")[0]).unwrap();
        assert!(table.contains(" waits "), "{table}");
    }
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_warns() {
    listen();
    for warning in Otel::from_env().warnings() {
        say(warning);
    }
}

#[test]
fn a_signal_without_a_folder_and_a_signal_that_is_none_are_warnings() {
    let printed = run("program_warns", &[(SIGNAL, "SIGUSR1")]);
    assert!(
        !printed.with("the signal is ignored").is_empty(),
        "{:?}",
        printed.0
    );
    let printed = run("program_warns", &[(SIGNAL, "SIGKILL"), (FOLDER, "/tmp")]);
    let accepted = "accepted: SIGUSR1, SIGUSR2, SIGQUIT, SIGHUP";
    assert!(!printed.with(accepted).is_empty(), "{:?}", printed.0);
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_cannot_write() {
    let observed = two_workers();
    observed.runtime.block_on(async {
        let stuck = named("stuck").spawn(async { is_stuck("stuck") });
        stuck.await.unwrap();
    });
    end(observed);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let printed = run("program_cannot_write", &[SHORT, (FOLDER, path)]);
    let told = printed.only(STALLED);
    assert!(
        told.contains("before a stall is not written") && told.contains(path),
        "{told}"
    );
}

// ----- whether and how long there is one -----

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_looks_for_the_watchdog() {
    listen();
    let exporting = Observed::one_thread();
    say(&format!("exporting: {}", is_watched_soon()));
    drop(exporting.end());
    say(&format!("ended: {}", is_watched()));
    let otel = Otel::from_variables(&|name| env::var(name).ok());
    let runtime = Builder::new_current_thread().otel(otel).build().unwrap();
    say(&format!("not exporting: {}", is_watched_soon()));
    runtime.block_on(async {
        let stuck = named("stuck").spawn(async { thread::sleep(5 * THRESHOLD) });
        stuck.await.unwrap();
    });
    say(&format!("told: {}", warnings(STALLED)));
    drop(runtime);
    let observed = Observed::one_thread();
    observed.runtime.shutdown_background();
    // Nobody has waited for it; but it ends.
    wait_until(|| !is_watched());
    say("in the background: false");
}

#[test]
fn there_is_a_watchdog_while_a_runtime_exports_and_no_longer() {
    // Its pause is long, and it ends at once all the same.
    let printed = run("program_looks_for_the_watchdog", &[(STALL, "1000s")]);
    assert_eq!(printed.only("exporting: t"), "exporting: true");
    assert_eq!(printed.only("ended"), "ended: false");
    assert_eq!(printed.only("not exporting"), "not exporting: false");
    assert_eq!(
        printed.only("in the background"),
        "in the background: false"
    );
}

#[test]
fn nothing_is_told_when_nothing_is_exported() {
    let printed = run("program_looks_for_the_watchdog", &[SHORT]);
    assert_eq!(printed.only("told: "), "told: 0");
}

#[test]
fn a_folder_is_worth_a_watchdog_by_itself_and_off_is_off() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let printed = run("program_looks_for_the_watchdog", &[SHORT, (FOLDER, path)]);
    assert_eq!(printed.only("not exporting"), "not exporting: true");
    assert_eq!(printed.only("told: "), "told: 1");
    let printed = run("program_looks_for_the_watchdog", &[(STALL, "off")]);
    assert_eq!(printed.with("exporting: t").len(), 0, "{:?}", printed.0);
    assert_eq!(printed.only("told: "), "told: 0");
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_forks() {
    listen();
    let observed = Observed::one_thread();
    assert!(is_watched_soon());
    // SAFETY: the child uses nothing that another thread may have locked, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(observed.runtime);
        }));
        // SAFETY: ends the child without its parent's destructors.
        unsafe { libc::_exit(i32::from(dropped.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's, and the place for its status is there.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    say(&format!("child: {}", libc::WEXITSTATUS(status)));
    end(observed);
}

#[test]
fn a_forked_child_that_drops_the_runtime_neither_panics_nor_waits() {
    let printed = run("program_forks", &[(STALL, "1000s")]);
    assert_eq!(printed.only("child"), "child: 0");
}
