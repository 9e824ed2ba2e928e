//! Timers: sleeping, timeouts, intervals; and a clock that tests can stop.

pub use telemetry_rt_reactor::time::*;
