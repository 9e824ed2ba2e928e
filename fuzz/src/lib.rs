//! What is fuzzed, one function each: bytes from outside into whatever reads them, and orders of
//! steps that the bytes name into whatever has to bear any order.
//!
//! Those that need what is private stand beside it, in files named `fuzz.rs`, and are there only with
//! `--cfg fuzzing`, which `cargo fuzz` sets.
#![cfg(fuzzing)]

mod environment;
mod http_context;
mod http_server;
mod http_world;
mod propagation;

pub use environment::{environment, variables};
pub use http_context::http_context;
pub use http_server::http_server;
pub use propagation::propagation;
pub use telemetry_rt_executor::{fuzz_memory as memory, fuzz_tasks as tasks};
pub use telemetry_rt_reactor::time::fuzz_wheel as timers;
pub use telemetry_rt_telemetry::export::fuzz::{
    grpc_reply, grpc_status, http_reply, prometheus_request,
};

/// A target: what it does with bytes.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: [(&str, Target); 11] = [
    ("environment", environment),
    ("propagation", propagation),
    ("http_reply", http_reply),
    ("grpc_reply", grpc_reply),
    ("grpc_status", grpc_status),
    ("prometheus_request", prometheus_request),
    ("timers", timers),
    ("tasks", tasks),
    ("memory", memory),
    ("http_server", http_server),
    ("http_context", http_context),
];
