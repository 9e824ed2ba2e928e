//! Tests of what `compare` and its contenders share. They are here because a benchmark without the
//! standard harness runs none.

use crate::child::obey;
use crate::quantile::quantile;
use crate::runtime::Ledger;
use crate::station::{Books, Sample, Station};

#[test]
fn a_quantile_between_two_numbers_is_in_proportion_between_them() {
    let numbers = [1.0, 2.0, 4.0];
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0];
    let found = shares.map(|share| quantile(&numbers, share));
    assert_eq!(found, [1.0, 1.5, 2.0, 3.0, 4.0]);
    assert_eq!(quantile(&[7.0], 0.999), 7.0);
}

fn books(started: u64, processes: Option<u64>, spans: Option<u64>, exported: u64) -> Books {
    Books {
        started,
        ledger: Ledger {
            processes,
            spans,
            exported,
            dropped: 3,
        },
    }
}

#[test]
fn books_that_balance_are_not_complained_of() {
    for right in [
        books(10, Some(10), Some(10), 7),
        books(10, Some(10), None, 0),
        books(10, None, Some(9), 6),
        books(10, None, None, 0),
    ] {
        assert_eq!(right.complaint(), None, "{right:?}");
    }
}

#[test]
fn whatever_is_not_recorded_is_complained_of() {
    for (wrong, complaint) in [
        (
            books(10, Some(9), Some(9), 6),
            "10 processes ran, 9 were counted",
        ),
        (
            books(10, Some(10), Some(9), 6),
            "10 processes ran, 9 had spans",
        ),
        (
            books(10, Some(10), Some(10), 6),
            "10 spans ended, 6 were exported and 3 dropped",
        ),
    ] {
        assert_eq!(wrong.complaint().as_deref(), Some(complaint));
    }
}

#[test]
fn books_of_two_sittings_add_up_to_those_of_both() {
    let both = books(10, Some(10), None, 1).and(books(4, Some(5), None, 2));
    let sum = Ledger {
        processes: Some(15),
        spans: None,
        exported: 3,
        dropped: 6,
    };
    assert_eq!((both.started, both.ledger), (14, sum));
}

/// Says what it is asked, and gives one sample.
#[derive(Default)]
struct Scripted(Vec<String>);

impl Station for Scripted {
    fn begin(&mut self, workload: &str, workers: usize) -> Result<(), String> {
        self.0.push(format!("{workload} {workers}"));
        Ok(())
    }

    fn sample(&mut self, size: usize) -> Result<Sample, String> {
        Ok(Sample {
            operations: size,
            cpu: 1.5,
            wall: 2.0,
            figures: vec![4.0, 0.25],
        })
    }

    fn end(&mut self) -> Result<Option<Books>, String> {
        Err("it does not end".to_owned())
    }
}

#[test]
fn each_command_has_its_answer_and_an_error_its_reason() {
    let mut station = Scripted::default();
    let mut say = |line| obey(&mut station, line);
    assert_eq!(say("begin yield_one 2"), Ok("begun".to_owned()));
    assert_eq!(say("sample 8"), Ok("sample 8 1.5 2 4 0.25".to_owned()));
    assert_eq!(say("end"), Err("it does not end".to_owned()));
    assert!(say("sample many").unwrap_err().contains("\"many\""));
    assert!(say("go home").unwrap_err().contains("\"go home\""));
    assert_eq!(station.0, ["yield_one 2"]);
}
