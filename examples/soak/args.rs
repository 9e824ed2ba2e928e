//! What was asked for on the command line?

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use crate::load;

pub const HELP: &str = "\
Puts a runtime under mixed load, injects faults at random, and checks at the end that everything is
accounted for.

Usage: soak [OPTIONS]

  --minutes N      how long the load lasts; fractions are accepted; default: 1
  --seed S         what chance does; default: another one each time, which is printed
  --workers N      how many workers the runtime has; default: 2
  --only A,B       only these kinds of load, by their names in the table, lives and outside; the
                   collector is well, and nothing else goes wrong around it
  --miscount       counts one task that there is not, to show that it is noticed: the exit status is 1
  -h, --help       prints this

Exit status: 0 if every law holds; 1 if one does not; 2 if the command line is not understood.
";

pub enum Request {
    Help,
    Run(Args),
}

pub struct Args {
    pub length: Duration,
    pub seed: Option<u64>,
    pub workers: usize,
    /// Kinds of load. All, if there are none.
    pub only: Vec<String>,
    pub miscount: bool,
}

impl Args {
    pub fn wants(&self, kind: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == kind)
    }
}

/// Reads the command line.
///
/// # Errors
///
/// A line that says what was wrong with it.
pub fn parse() -> Result<Request, String> {
    let mut parser = lexopt::Parser::from_env();
    let mut args = Args {
        length: Duration::from_secs(60),
        seed: None,
        workers: 2,
        only: Vec::new(),
        miscount: false,
    };
    while let Some(arg) = parser.next().map_err(see_help)? {
        match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Request::Help),
            lexopt::Arg::Long("minutes") => {
                args.length = length(&parser.value().map_err(see_help)?)?;
            }
            lexopt::Arg::Long("seed") => {
                let value = parser.value().map_err(see_help)?;
                args.seed = Some(number("--seed", &value, "a whole number from 0")?);
            }
            lexopt::Arg::Long("workers") => {
                let value = parser.value().map_err(see_help)?;
                let accepted = "a whole number from 1";
                args.workers = number("--workers", &value, accepted)?;
                if args.workers == 0 {
                    return Err(not_accepted("--workers", &value, accepted));
                }
            }
            lexopt::Arg::Long("only") => {
                let value = parser.value().map_err(see_help)?;
                args.only = kinds(&value)?;
            }
            lexopt::Arg::Long("miscount") => args.miscount = true,
            other => return Err(see_help(other.unexpected())),
        }
    }
    Ok(Request::Run(args))
}

fn see_help(error: lexopt::Error) -> String {
    format!("{error}; see --help")
}

fn kinds(value: &OsString) -> Result<Vec<String>, String> {
    let known: Vec<_> = load::kinds().collect();
    let wanted = value.to_string_lossy();
    let wanted: Vec<_> = wanted
        .split(',')
        .map(|kind| kind.trim().to_owned())
        .collect();
    match wanted.iter().all(|kind| known.contains(&kind.as_str())) {
        true => Ok(wanted),
        false => Err(not_accepted("--only", value, &known.join(","))),
    }
}

/// The longest is a day.
fn length(value: &OsString) -> Result<Duration, String> {
    const ACCEPTED: &str = "a number of minutes above 0 and up to 1440, such as 0.2";
    let minutes: f64 = number("--minutes", value, ACCEPTED)?;
    match minutes > 0.0 && minutes <= 1440.0 {
        true => Ok(Duration::from_secs_f64(minutes * 60.0)),
        false => Err(not_accepted("--minutes", value, ACCEPTED)),
    }
}

fn number<N: FromStr>(option: &str, value: &OsString, accepted: &str) -> Result<N, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    number.ok_or_else(|| not_accepted(option, value, accepted))
}

fn not_accepted(option: &str, value: &OsString, accepted: &str) -> String {
    format!("{option} is {value:?}; accepted: {accepted}")
}
