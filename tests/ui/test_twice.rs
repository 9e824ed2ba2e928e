#[telemetry_rt::test]
#[test]
async fn works() {}

fn main() {}
