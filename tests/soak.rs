//! Does the soak hold its own laws, and does it notice when one is broken?

mod example;

use example::{Ran, example, run};

fn soak(args: &[&str]) -> Ran {
    run(example("soak").args(["--minutes", "0.04"]).args(args))
}

/// The number at the end of the row with this name.
fn row(ran: &Ran, name: &str) -> u64 {
    let rows = ran
        .stdout
        .lines()
        .filter_map(|line| line.trim().rsplit_once(' '));
    let mut rows = rows.filter(|(words, _)| words.trim_end() == name);
    let (_, number) = rows
        .next()
        .unwrap_or_else(|| panic!("no row {name:?} in\n{}", ran.stdout));
    number.parse().unwrap()
}

#[test]
fn a_short_run_is_accounted_for() {
    let ran = soak(&["--seed", "5"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("--seed 5 --workers 2"),
        "{}",
        ran.stdout
    );
    let dropped = [
        "ring_full",
        "queue_full",
        "export_failed",
        "shutdown_deadline",
    ];
    let dropped = dropped.map(|cause| row(&ran, &format!("dropped: {cause}")));
    let exported = row(&ran, "exported");
    assert_eq!(
        row(&ran, "produced"),
        exported + dropped.iter().sum::<u64>()
    );
    assert!(exported > 0, "{}", ran.stdout);
    assert!(row(&ran, "spawn tree") > 0, "{}", ran.stdout);
    assert!(row(&ran, "panic in a poll") > 0, "{}", ran.stdout);
}

#[test]
fn one_task_too_many_is_noticed() {
    let ran = soak(&["--seed", "6", "--miscount"]);
    assert_eq!(ran.status, Some(1), "{}{}", ran.stdout, ran.stderr);
    let broken = "this does not hold: process.count = spawns counted, by name and state: leaf: ";
    assert!(ran.stderr.contains(broken), "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("BROKEN").count(), 1, "{}", ran.stdout);
}

#[test]
fn a_wrong_command_line_is_answered_by_one_line() {
    let wrong = [
        ["--minutes", "0"],
        ["--minutes", "long"],
        ["--minutes", "1e9"],
        ["--workers", "0"],
        ["--seed", "-1"],
        ["--unknown", "1"],
    ];
    for args in wrong {
        let ran = run(example("soak").args(args));
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("soak: "), "{}", ran.stderr);
    }
}
