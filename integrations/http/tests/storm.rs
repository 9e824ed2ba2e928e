//! Does a server stay whole among clients that mean it ill, and would the storm notice if it did not?
//!
//! The storm is the example of that name; here it is a small one. Its laws are about counts, and
//! hold however slow the machine is.

#[path = "../../../tests/example/mod.rs"]
mod example;

use std::process::Command;

use example::{Ran, example, run};

fn storm(args: &[&str]) -> Ran {
    run(example("storm").args(["--connections", "300"]).args(args))
}

#[test]
fn a_small_storm_leaves_nothing_behind_and_each_request_has_a_span() {
    let ran = storm(&["--seconds", "2.5"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("BROKEN"), "{}", ran.stdout);
    let law = "holds   requests that began = durations: ";
    assert!(ran.stdout.contains(law), "{}", ran.stdout);
}

#[test]
fn one_request_too_many_is_noticed() {
    let ran = storm(&["--seconds", "0.2", "--storms", "1", "--miscount"]);
    assert_eq!(ran.status, Some(1), "{}{}", ran.stdout, ran.stderr);
    for law in [
        "requests that began = durations: ",
        "SERVER spans <= requests",
    ] {
        let broken = format!("this does not hold: {law}");
        assert!(ran.stderr.contains(&broken), "{}", ran.stderr);
    }
    assert_eq!(ran.stdout.matches("BROKEN").count(), 2, "{}", ran.stdout);
}

#[test]
fn few_descriptors_make_a_small_storm() {
    let mut command = example("storm");
    command.args(["--connections", "1000", "--seconds", "0.2", "--storms", "1"]);
    let ran = run(&mut with_descriptors(400, &command));
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    let said = "400 descriptors are allowed, which is enough for 217 of 1000 connections\n";
    assert!(ran.stdout.starts_with(said), "{}", ran.stdout);
}

/// The same command in a shell that allows so many.
fn with_descriptors(most: usize, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -n {most}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_wrong_command_line_is_answered_by_one_line() {
    for (args, complaint) in [
        (
            ["--seconds", "-1"],
            "--seconds is -1: expected a number above zero",
        ),
        (
            ["--storms", "0"],
            "--connections and --storms have to be above zero",
        ),
        (["--thunder", "1"], "--thunder"),
    ] {
        let ran = run(example("storm").args(args));
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(complaint), "{}", ran.stderr);
    }
}
