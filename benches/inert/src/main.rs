//! The contender `inert`: telemetry_rt without the feature `telemetry`, which in one program with
//! the others would be on for all.
#![expect(dead_code, reason = "`compare` uses the rest of what it shares")]

#[path = "../../compare/child.rs"]
mod child;
#[path = "../../compare/load.rs"]
mod load;
#[path = "../../compare/measure.rs"]
mod measure;
#[path = "../../compare/contenders/ours.rs"]
mod ours;
#[path = "../../compare/quantile.rs"]
mod quantile;
#[path = "../../compare/runtime.rs"]
mod runtime;
#[path = "../../compare/station.rs"]
mod station;
#[path = "../../compare/workloads/mod.rs"]
mod workloads;

#[cfg(test)]
mod tests;

use ours::{Ours, Recording};
use runtime::Ledger;
use station::Here;
use telemetry_rt::runtime::{Builder, Runtime};

/// Records nothing.
struct Inert;

impl Recording for Inert {
    fn start(_: &mut Builder) -> Inert {
        Inert
    }

    fn settle(&self, _: &Runtime) {}

    fn finish(self, runtime: Runtime) -> Option<Ledger> {
        drop(runtime);
        None
    }
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == load::ARGUMENT) {
        return load::serve();
    }
    child::serve(&mut Here::<Ours<Inert>>::new());
    Ok(())
}
