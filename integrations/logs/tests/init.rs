//! A process has one subscriber: what does the second hear?

use telemetry_rt_logs::{Format, Logs};

#[test]
fn the_second_is_told_of_the_first() {
    let wrong = Logs::builder().filter("shop=loud").init().unwrap_err();
    assert!(wrong.is_filter() && !wrong.is_taken());
    assert!(
        wrong
            .to_string()
            .starts_with("the filter is \"shop=loud\"; accepted: directives such as"),
        "{wrong}"
    );

    let first = Logs::builder().format(Format::None).init().unwrap();
    let second = telemetry_rt_logs::init().unwrap_err();
    assert!(second.is_taken());
    assert!(
        second
            .to_string()
            .starts_with("another subscriber of `tracing` was installed before"),
        "{second}"
    );
    assert_eq!(first.lost(), 0);
    drop(first);
    // The process still has a subscriber: that of the first.
    assert!(telemetry_rt_logs::init().unwrap_err().is_taken());
}
