#[telemetry_rt::main]
fn main() {}
