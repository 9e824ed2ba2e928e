//! An error about a body points at the body, not at the attribute.

#[telemetry_rt::span]
async fn load() -> u32 {
    "seven"
}

#[telemetry_rt::main]
async fn main() -> Result<(), std::fmt::Error> {
    load().await;
}
