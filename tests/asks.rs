//! What users of async Rust ask of telemetry, and do not find: a test for each wish.
//!
//! `docs/asks.md` lists the wishes with the threads they come from, and says what of them is not
//! met. Here each comes out right once, from one end to the other; the details are tested where
//! they are built.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

#[path = "asks/context.rs"]
mod context;
#[path = "asks/health.rs"]
mod health;
#[path = "asks/latency.rs"]
mod latency;
#[path = "asks/sight.rs"]
mod sight;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use telemetry_rt::runtime::Builder;
use telemetry_rt::task;

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

fn two_workers() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    builder
}

/// The words of a file that are between these two.
fn between<'a>(text: &'a str, before: &str, after: &str) -> BTreeSet<&'a str> {
    let parts = text.split(before).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(after)?.0))
        .collect()
}

#[test]
fn the_page_names_each_of_these_tests_and_none_that_is_not_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let page = read("docs/asks.md");
    // Nothing else there is such a sentence.
    let named = page.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = named.filter(|word| word.matches('_').count() > 3).collect();
    let asks =
        ["context", "health", "latency", "sight"].map(|file| format!("tests/asks/{file}.rs"));
    let asks = asks.map(|file| read(&file)).concat();
    let tests = |text| between(text, "#[test]\nfn ", "(");
    let asks = tests(&asks);
    assert_eq!(asks.len(), 15);
    assert!(asks.is_subset(&named), "{:?}", asks.difference(&named));
    let defects = read("tests/python_defects.rs");
    let all = asks.union(&tests(&defects)).copied().collect();
    assert!(named.is_subset(&all), "{:?}", named.difference(&all));
}
