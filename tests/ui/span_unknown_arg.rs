#[telemetry_rt::span(skip(secret), attributes(order.id = 7))]
fn load(secret: &str) -> usize {
    secret.len()
}

fn main() {
    load("");
}
