//! The ceilings of `cargo bench --bench instructions`: that the check finds what is above them.
//! The benchmark itself has no harness to run tests with.

#[path = "../benches/instructions/table.rs"]
mod table;

use table::{Row, Table, Verdict, difference, verdict};

const TEXT: &str = "\
# A comment.
measured with: rustc 1.0.0, glibc 2.0, x86_64

spawn_join full 2000
spawn_join metrics 1000
";

fn row(workload: &str, mode: &str, instructions: u64) -> Row {
    Row {
        workload: workload.to_owned(),
        mode: mode.to_owned(),
        instructions,
    }
}

#[test]
fn more_than_three_percent_above_the_ceiling_is_found() {
    for (measured, ceiling, expected) in [
        (1031, Some(1000), Verdict::Above),
        (1030, Some(1000), Verdict::Near),
        (1000, Some(1000), Verdict::Near),
        (970, Some(1000), Verdict::Near),
        (969, Some(1000), Verdict::Below),
        (1000, None, Verdict::New),
    ] {
        assert_eq!(verdict(measured, ceiling), expected, "{measured}");
    }
    assert_eq!(difference(1100, 1000), 10.0);
}

#[test]
fn a_table_is_read_as_it_was_written() {
    let table = Table::parse(TEXT).unwrap();
    assert_eq!(table.tools, "rustc 1.0.0, glibc 2.0, x86_64");
    assert_eq!(table.ceiling("spawn_join", "metrics"), Some(1000));
    assert_eq!(table.ceiling("spawn_join", "tokio"), None);
    assert_eq!(Table::parse(&table.text()), Ok(table));
}

#[test]
fn rows_that_were_measured_anew_leave_the_others_as_they_are() {
    let mut table = Table::parse(TEXT).unwrap();
    table.replace(&[row("spawn_join", "metrics", 900), row("record", "full", 5)]);
    let expected = [
        row("spawn_join", "full", 2000),
        row("spawn_join", "metrics", 900),
        row("record", "full", 5),
    ];
    assert_eq!(table.rows, expected);
}

#[test]
fn a_line_that_is_not_understood_is_named() {
    for line in [
        "spawn_join full",
        "spawn_join full many",
        "spawn_join full 0",
        "spawn_join full 1 2",
        "spawn_join full 3",
    ] {
        let error = Table::parse(&format!("{TEXT}{line}\n")).unwrap_err();
        assert!(error.starts_with("line 6 "), "{error}");
    }
}

/// A ceiling that is missing would guard nothing, and nobody would see.
#[test]
fn the_table_of_this_repository_has_a_ceiling_for_each_mode_of_each_workload() {
    let table = Table::parse(include_str!("../benches/instructions.txt")).unwrap();
    assert!(table.tools.starts_with("rustc "), "{}", table.tools);
    assert!(table.rows.len() >= 20, "{table:?}");
    for row in &table.rows {
        for mode in ["full", "metrics"] {
            let ceiling = table.ceiling(&row.workload, mode);
            assert!(ceiling.is_some(), "{} {mode}", row.workload);
        }
    }
}
