//! How is a test run in a process of its own, with variables set? As this program again.

use std::process::Command;

/// Runs an ignored test of this program with these variables; what it wrote to standard error.
#[track_caller]
pub fn in_child(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("1 passed"), "{report}{errors}");
    errors
}

/// Asserts that there is one warning among what was written, and that it says all of this.
#[track_caller]
pub fn assert_one_warning(errors: &str, parts: &[&str]) {
    let warnings = errors
        .lines()
        .filter(|line| line.starts_with("telemetry_rt: "));
    let warnings: Vec<&str> = warnings.collect();
    let [warning] = warnings[..] else {
        panic!("there is not one warning: {warnings:?}");
    };
    for part in parts {
        assert!(warning.contains(part), "{warning}");
    }
}
