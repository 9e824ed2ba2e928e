#[telemetry_rt::test]
async fn works(answer: u32) {
    assert_eq!(answer, 42);
}

fn main() {}
