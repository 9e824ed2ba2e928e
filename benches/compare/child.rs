//! A contender in a process of its own, and the words in which it is told what to do.
//!
//! | to the child | from the child |
//! |---|---|
//! | `begin WORKLOAD WORKERS` | `begun` |
//! | `sample SIZE` | `sample OPERATIONS CPU WALL FIGURE…` |
//! | `end` | `ended`, or `ended STARTED PROCESSES SPANS EXPORTED DROPPED` with `-` for none |
//! | | `failed REASON` instead of any of them |
//!
//! One line each way at a time. The child ends when nothing comes any more.

use std::io;
use std::str::FromStr;

use crate::station::{Books, Sample, Station};

/// Does what comes in on stdin, until its end.
pub fn serve(station: &mut dyn Station) {
    for line in io::stdin().lines() {
        let line = line.expect("the parent writes text");
        let answer = obey(station, &line).unwrap_or_else(|reason| format!("failed {reason}"));
        println!("{}", answer.replace('\n', " "));
    }
}

/// Does what one line says, and answers.
///
/// # Errors
///
/// Why it was not done.
pub fn obey(station: &mut dyn Station, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["begin", workload, workers] => {
            station.begin(workload, parse(workers)?)?;
            Ok("begun".to_owned())
        }
        ["sample", size] => Ok(sample_line(&station.sample(parse(size)?)?)),
        ["end"] => Ok(books_line(station.end()?)),
        _ => Err(format!("{line:?} is no command")),
    }
}

fn sample_line(sample: &Sample) -> String {
    let Sample {
        operations,
        cpu,
        wall,
        figures,
    } = sample;
    let figures = figures.iter().map(|figure| format!(" {figure}"));
    let figures: String = figures.collect();
    format!("sample {operations} {cpu} {wall}{figures}")
}

fn books_line(books: Option<Books>) -> String {
    let Some(Books { started, ledger }) = books else {
        return "ended".to_owned();
    };
    let or_none = |number: Option<u64>| number.map_or("-".to_owned(), |some| some.to_string());
    format!(
        "ended {started} {} {} {} {}",
        or_none(ledger.processes),
        or_none(ledger.spans),
        ledger.exported,
        ledger.dropped
    )
}

/// A number, as it is written in a line.
pub fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    let parsed = word.parse();
    parsed.map_err(|_| format!("{word:?} is not the number that belongs there"))
}
