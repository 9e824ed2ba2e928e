//! Whose spans and metrics are these, and how are histograms divided?

use opentelemetry::InstrumentationScope;
use opentelemetry_semantic_conventions::SCHEMA_URL;

/// The scope of all that this crate makes.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("telemetry_rt-http")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// Seconds, as the conventions have them.
pub(crate) const DURATIONS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Bytes of bodies: powers of four from 64 to 64 MiB. The conventions leave it open.
pub(crate) const SIZES: [f64; 11] = [
    64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0,
    67108864.0,
];
