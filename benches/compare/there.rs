//! A contender in a child process, seen from here. What is said is written in `child`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::child::parse;
use crate::runtime::Ledger;
use crate::station::{Books, Sample, Station};

/// The child.
pub struct There {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl There {
    /// Starts a program that [serves](crate::child::serve).
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<There, String> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(There {
            commands: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        })
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        let mut answer = String::new();
        let asked = writeln!(self.commands, "{command}")
            .and_then(|()| self.commands.flush())
            .and_then(|()| self.answers.read_line(&mut answer));
        match asked {
            Ok(length) if length > 0 => {}
            Ok(_) => return Err("its process has ended".to_owned()),
            Err(error) => return Err(format!("its process does not answer: {error}")),
        }
        let answer = answer.trim_end();
        match answer.strip_prefix("failed ") {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(answer.to_owned()),
        }
    }
}

impl Station for There {
    fn begin(&mut self, workload: &str, workers: usize) -> Result<(), String> {
        self.ask(&format!("begin {workload} {workers}")).map(drop)
    }

    fn sample(&mut self, size: usize) -> Result<Sample, String> {
        let answer = self.ask(&format!("sample {size}"))?;
        let words: Vec<&str> = answer.split(' ').collect();
        let ["sample", operations, cpu, wall, figures @ ..] = &words[..] else {
            return Err(format!("{answer:?} is no sample"));
        };
        Ok(Sample {
            operations: parse(operations)?,
            cpu: parse(cpu)?,
            wall: parse(wall)?,
            figures: figures
                .iter()
                .map(|word| parse(word))
                .collect::<Result<_, _>>()?,
        })
    }

    fn end(&mut self) -> Result<Option<Books>, String> {
        let answer = self.ask("end")?;
        let words: Vec<&str> = answer.split(' ').collect();
        match words[..] {
            ["ended"] => Ok(None),
            ["ended", started, processes, spans, exported, dropped] => Ok(Some(Books {
                started: parse(started)?,
                ledger: Ledger {
                    processes: parse_or_none(processes)?,
                    spans: parse_or_none(spans)?,
                    exported: parse(exported)?,
                    dropped: parse(dropped)?,
                },
            })),
            _ => Err(format!("{answer:?} are no books")),
        }
    }
}

impl Drop for There {
    /// What it still holds, a million tasks perhaps, need not be dropped one by one.
    fn drop(&mut self) {
        // It has ended by itself if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse_or_none(word: &str) -> Result<Option<u64>, String> {
    match word {
        "-" => Ok(None),
        number => parse(number).map(Some),
    }
}
