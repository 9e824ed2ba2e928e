//! Who takes part, and how each is started: in this process, or as a child.

mod count;
mod null;
mod on_tokio;
mod ours;
mod recording;

use crate::child::There;
use crate::station::{Here, Station};

use on_tokio::{OnTokio, Plain};
use ours::Ours;
use recording::{Full, Metrics};

/// What all others are compared with.
pub type Baseline = OnTokio<Plain>;

/// All contenders by name, the one that the others are compared with first.
pub const NAMES: [&str; 3] = ["tokio", "metrics", "full"];

/// A contender that runs in this process; `None` if there is none of the name.
pub fn here(name: &str) -> Option<Box<dyn Station>> {
    Some(match name {
        "tokio" => Box::new(Here::<OnTokio<Plain>>::new()),
        "metrics" => Box::new(Here::<Ours<Metrics>>::new()),
        "full" => Box::new(Here::<Ours<Full>>::new()),
        _ => return None,
    })
}

/// A contender, however it is started.
///
/// # Errors
///
/// When it cannot be built or started.
pub fn start(name: &str) -> Result<Box<dyn Station>, String> {
    here(name).ok_or_else(|| format!("{name} is no contender"))
}

/// A contender in a process of its own, for one sample or more.
///
/// # Errors
///
/// When it cannot be built or started.
pub fn child(name: &str) -> Result<There, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    There::start(&program, &["--child", name])
}
