#[telemetry_rt::span]
struct Order {
    id: u64,
}

fn main() {
    let order = Order { id: 7 };
    drop(order.id);
}
