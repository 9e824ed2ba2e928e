//! Who takes part, and how each is started: in this process, or as a child.

mod count;
mod on_tokio;
mod otel_api;
mod ours;
mod recording;
mod sdk;
mod smol;
mod tokio_metrics;
mod tracing_otel;

mod built;

use crate::station::{Here, Station};
use crate::there::There;

use built::Built;
use on_tokio::{OnTokio, Plain};
use otel_api::ByHand;
use ours::Ours;
use recording::{Full, Metrics};
use smol::Smol;
use tokio_metrics::Monitored;
use tracing_otel::Traced;

/// What all others are compared with.
pub type Baseline = OnTokio<Plain>;

/// Those that take part unless others are asked for, the one that they are compared with first.
pub const BY_DEFAULT: [&str; 9] = [
    "tokio",
    "smol",
    "inert",
    "metrics",
    "full",
    "tokio-metrics",
    "dial9",
    "otel-api",
    "tracing-otel",
];

/// tokio again. What it differs by is noise.
const CONTROL: &str = "control";

/// All contenders.
pub fn names() -> Vec<&'static str> {
    let mut names = BY_DEFAULT.to_vec();
    names.push(CONTROL);
    names
}

/// A contender that runs in this process; `None` if there is none of the name.
pub fn here(name: &str) -> Option<Box<dyn Station>> {
    Some(match name {
        "tokio" | CONTROL => Box::new(Here::<OnTokio<Plain>>::new()),
        "smol" => Box::new(Here::<Smol>::new()),
        "metrics" => Box::new(Here::<Ours<Metrics>>::new()),
        "full" => Box::new(Here::<Ours<Full>>::new()),
        "tokio-metrics" => Box::new(Here::<OnTokio<Monitored>>::new()),
        "otel-api" => Box::new(Here::<OnTokio<ByHand>>::new()),
        "tracing-otel" => Box::new(Here::<OnTokio<Traced>>::new()),
        _ => return None,
    })
}

/// Why a contender does not take part in a workload, where that is known beforehand.
pub fn excuse(name: &str, workload: &str) -> Option<&'static str> {
    match (name, workload) {
        ("tracing-otel", "spawn_many_remote_busy2") => Some(
            "each span is the child of its spawner's, and tracing-subscriber closes a chain of \
             spans recursively: with tasks that spawn the next for ever the stack overflows",
        ),
        _ => None,
    }
}

/// A contender, however it is started.
///
/// # Errors
///
/// When it cannot be built or started.
pub fn start(name: &str) -> Result<Box<dyn Station>, String> {
    match here(name) {
        Some(station) => Ok(station),
        None => Ok(Box::new(child(name)?)),
    }
}

/// A contender in a process of its own.
///
/// # Errors
///
/// When it cannot be built or started.
pub fn child(name: &str) -> Result<There, String> {
    if let Some(built) = Built::named(name) {
        return There::start(&built.program()?, &[]);
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    There::start(&program, &["--child", name])
}
