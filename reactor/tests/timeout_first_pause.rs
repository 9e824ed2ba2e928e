//! A timeout that is older than the first pause of any clock. A file of its own, because a process has
//! but one such pause.

mod time_support;

use std::time::Duration;

use telemetry_rt_reactor::time::{pause, sleep, timeout};
use time_support::{MS, Runtime, config};

#[test]
fn real_time_that_passed_before_the_pause_is_not_taken_off_its_limit() {
    Runtime::new(config()).block_on(async {
        let limited = timeout(50 * MS, sleep(10 * MS));
        pause();
        std::thread::sleep(Duration::from_millis(200));
        assert!(limited.await.is_ok(), "no virtual time has passed");
    });
}
