#[telemetry_rt::main(flavour = "multi_thread", threads = 4)]
async fn main() {}
