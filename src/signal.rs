//! Signals of the operating system.

pub use telemetry_rt_reactor::signal::{ctrl_c, unix};
