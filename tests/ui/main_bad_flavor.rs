#[telemetry_rt::main(flavor = "threaded")]
async fn main() {}
