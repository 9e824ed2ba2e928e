//! What was asked for on the command line?

use std::ffi::OsString;
use std::path::PathBuf;

use crate::report::shown;

pub const HELP: &str = "\
Prints the SHA-256 of every file below a folder, and what the runtime recorded meanwhile.

Usage: quickstart [OPTIONS] [FOLDER]

  FOLDER             by default the current one, without its folder `target`, which cargo
                     fills; symbolic links are not followed
  --manifest FILE    writes the sums to FILE, for `sha256sum --check FILE`
  --flight FILE      writes what each thread did last to FILE, for https://ui.perfetto.dev
  --with-failures    adds a file that cannot be read, and tasks that panic, are aborted,
                     time out and return an error
  -h, --help         prints this

Without OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER, spans and metrics are printed.
With `otlp` they are sent to a collector: see OTEL_EXPORTER_OTLP_ENDPOINT.

Exit status: 0; 1 if a file could not be read; 2 if the command line is not understood.
";

pub enum Request {
    Help,
    Hash(Args),
}

pub struct Args {
    pub folder: PathBuf,
    /// A folder that is not looked into.
    pub left_out: Option<PathBuf>,
    pub manifest: Option<PathBuf>,
    pub flight: Option<PathBuf>,
    pub with_failures: bool,
}

/// Reads the command line.
///
/// # Errors
///
/// A line that says what was wrong with it.
pub fn parse() -> Result<Request, String> {
    let mut parser = lexopt::Parser::from_env();
    let (mut folder, mut manifest, mut flight, mut with_failures) = (None, None, None, false);
    while let Some(arg) = parser.next().map_err(see_help)? {
        match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Request::Help),
            lexopt::Arg::Long("manifest") => {
                manifest = Some(PathBuf::from(parser.value().map_err(see_help)?));
            }
            lexopt::Arg::Long("flight") => {
                flight = Some(PathBuf::from(parser.value().map_err(see_help)?));
            }
            lexopt::Arg::Long("with-failures") => with_failures = true,
            lexopt::Arg::Value(value) if folder.is_none() => folder = Some(existing(value)?),
            other => return Err(see_help(other.unexpected())),
        }
    }
    let left_out = folder.is_none().then(|| PathBuf::from("./target"));
    Ok(Request::Hash(Args {
        folder: folder.unwrap_or_else(|| PathBuf::from(".")),
        left_out,
        manifest,
        flight,
        with_failures,
    }))
}

fn see_help(error: lexopt::Error) -> String {
    format!("{error}; see --help")
}

fn existing(folder: OsString) -> Result<PathBuf, String> {
    let folder = PathBuf::from(folder);
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(folder),
        Ok(_) => Err(format!("{}: not a folder", shown(&folder))),
        Err(error) => Err(format!("{}: {error}", shown(&folder))),
    }
}
