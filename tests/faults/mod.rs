//! Programs that faults are done to: this very test binary, run once more with one of its ignored
//! tests, so that limits, signals and clocks are those of a process of its own.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// After this long a program hangs. None needs a tenth of it, however busy the machine is.
pub const HANGS: Duration = Duration::from_secs(60);

/// A program that runs.
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ended: mpsc::Sender<()>,
}

/// Starts the ignored test `name`. It is killed if it hangs.
pub fn start(name: &str, variables: &[(&str, &str)]) -> Program {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (ended, end) = mpsc::channel();
    let process = child.id();
    thread::spawn(move || {
        if end.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a program hangs and is killed");
            send(process, libc::SIGKILL);
        }
    });
    Program {
        child,
        lines,
        ended,
    }
}

/// Runs a program to its good end, and returns what it said.
#[track_caller]
pub fn run(name: &str, variables: &[(&str, &str)]) -> Said {
    let mut program = start(name, variables);
    let said = Said(program.rest());
    let status = program.wait();
    assert!(status.success(), "{name}: {status}, {said:?}");
    said
}

/// Sends a signal to a process that this one has started.
pub fn send(process: u32, signal: libc::c_int) {
    // SAFETY: sends a signal, and touches no memory.
    assert_eq!(unsafe { libc::kill(process as libc::pid_t, signal) }, 0);
}

impl Program {
    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that it says.
    #[track_caller]
    pub fn next(&mut self) -> String {
        self.next_if_any().expect("the program says no more")
    }

    fn next_if_any(&mut self) -> Option<String> {
        let said = |line: String| line.split_once("says: ").map(|(_, said)| said.to_owned());
        self.lines.by_ref().find_map(|line| said(line.unwrap()))
    }

    /// All lines of its output up to one with `part` in it; up to its end if there is none.
    pub fn lines_until(&mut self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.lines.by_ref().map(Result::unwrap) {
            let is_last = line.contains(part);
            lines.push(line);
            if is_last {
                break;
            }
        }
        lines
    }

    /// All that it says until it ends.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_if_any()).collect()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let _ = self.ended.send(());
        status
    }
}

/// What a program has said.
#[derive(Debug)]
pub struct Said(pub Vec<String>);

impl Said {
    /// The number behind a name.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| panic!("{name}: {text}"))
    }

    /// The text behind a name.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find_map(|line| line.strip_prefix(name));
        let found = found.and_then(|rest| rest.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

// ----- for programs -----

/// Tells the test something.
pub fn say(what: impl std::fmt::Display) {
    println!("says: {what}");
}

/// Tells the test a value.
pub fn say_value(name: &str, value: impl std::fmt::Display) {
    say(format_args!("{name}={value}"));
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    // Without the one that the directory is read by.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Sets the soft limit of a resource of this process.
pub fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the place for the limits is there.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut limit) }, 0);
    limit.rlim_cur = to;
    // SAFETY: the limits are whole.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// The processor time of this process.
pub fn processor_time() -> Duration {
    // SAFETY: numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the place for the usage is there.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) }, 0);
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}
