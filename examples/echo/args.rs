//! What was asked for on the command line?

use std::ffi::OsString;

pub const HELP: &str = "\
Starts a TCP server that echoes, and clients that check it, and prints what was recorded.

Usage: echo [OPTIONS]

  --clients N      how many clients there are at a time; default: 32
  --messages N     how many messages each sends; default: 100
  --size N         how many bytes a message has; default: 1024
  -h, --help       prints this

Without OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER, spans and metrics are printed.

Exit status: 0; 1 if not every byte came back; 2 if the command line is not understood.
";

pub enum Request {
    Help,
    Run(Args),
}

pub struct Args {
    pub clients: usize,
    pub messages: usize,
    pub size: usize,
}

/// Reads the command line.
///
/// # Errors
///
/// A line that says what was wrong with it.
pub fn parse() -> Result<Request, String> {
    let mut parser = lexopt::Parser::from_env();
    let mut args = Args {
        clients: 32,
        messages: 100,
        size: 1024,
    };
    while let Some(arg) = parser.next().map_err(see_help)? {
        let (option, number) = match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Request::Help),
            lexopt::Arg::Long("clients") => ("clients", &mut args.clients),
            lexopt::Arg::Long("messages") => ("messages", &mut args.messages),
            lexopt::Arg::Long("size") => ("size", &mut args.size),
            other => return Err(see_help(other.unexpected())),
        };
        *number = positive(option, parser.value().map_err(see_help)?)?;
    }
    Ok(Request::Run(args))
}

fn see_help(error: lexopt::Error) -> String {
    format!("{error}; see --help")
}

fn positive(option: &str, value: OsString) -> Result<usize, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    number
        .filter(|&number| number > 0)
        .ok_or_else(|| format!("--{option} is {value:?}; accepted: a whole number from 1"))
}
