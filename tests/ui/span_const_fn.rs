#[telemetry_rt::span]
const fn double(number: u32) -> u32 {
    2 * number
}

fn main() {
    const FOUR: u32 = double(2);
    assert_eq!(FOUR, 4);
}
