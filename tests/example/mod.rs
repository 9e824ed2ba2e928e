//! How do tests run an example? As a user does, without the settings of whoever runs the tests.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// The example's program, with no variable of OpenTelemetry set.
pub fn example(name: &str) -> Command {
    let mut command = Command::new(program(name));
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(variable);
        }
    }
    // A poll of a debug build on a busy machine may take long enough to be told of.
    command.env("OTEL_RUST_EXECUTOR_STALL", "off");
    command
}

/// Builds the example, which takes cargo a moment when it is built. What lies beside this test may
/// be older than the sources: cargo builds examples for some of the ways to start a test only.
fn program(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    let known = built.entry(name.to_owned());
    known.or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--message-format=json",
            "--example",
            name,
        ])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the example {name} does not build");
    // A line of JSON for each thing that was built; only the example is a program.
    let messages = String::from_utf8(output.stdout).expect("JSON is text");
    let path = messages
        .lines()
        .filter(|line| line.contains(&format!("\"name\":\"{name}\"")))
        .find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    PathBuf::from(path.expect("cargo says where the example is"))
}

/// What was printed, as text.
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the example starts");
    let text = |bytes| String::from_utf8(bytes).expect("what an example prints is text");
    Ran {
        status: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

impl Ran {
    /// The number that stands before these words.
    pub fn number(&self, words: &str) -> u64 {
        let at = self.stdout.find(words);
        let before =
            &self.stdout[..at.unwrap_or_else(|| panic!("no {words:?} in\n{}", self.stdout))];
        let number = before.split_whitespace().next_back().unwrap_or_default();
        number
            .parse()
            .unwrap_or_else(|_| panic!("{number:?} stands before {words:?}"))
    }

    /// The rows of a table of metrics: attributes, and the last column.
    pub fn table(&self, metric: &str) -> Vec<(&str, &str)> {
        let mut lines = self.stdout.lines();
        lines
            .find(|line| line.starts_with(metric))
            .unwrap_or_else(|| panic!("no table of {metric} in\n{}", self.stdout));
        lines
            .take_while(|line| line.starts_with("  "))
            .map(|line| {
                line.trim()
                    .rsplit_once("  ")
                    .expect("a row has two columns")
            })
            .map(|(attributes, value)| (attributes.trim(), value))
            .collect()
    }

    /// How many processes were counted in all.
    pub fn process_count(&self) -> u64 {
        let counts = self.table("process.count ").into_iter();
        counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    }
}
