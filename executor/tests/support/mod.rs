//! Runtimes for tests, and deadlines after which a test has failed.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt_executor::{Config, Runtime, RuntimeFlavor};
use telemetry_rt_telemetry::record::Recorder;

/// After this long a test hangs. No test needs a tenth of it, however busy the machine is.
pub const HANGS: Duration = Duration::from_secs(60);

pub fn config(flavor: RuntimeFlavor, workers: usize) -> Config {
    let mut config = Config::new(flavor, workers);
    config.enable_io = true;
    config.enable_time = true;
    config
}

/// Starts a runtime with a recorder of its own.
pub fn start(config: Config) -> std::io::Result<Runtime> {
    #[cfg(feature = "telemetry")]
    let recorder = Recorder::new(telemetry_rt_telemetry::record::Config {
        workers: config.workers,
        ..Default::default()
    });
    #[cfg(not(feature = "telemetry"))]
    let recorder = Recorder::new(Default::default());
    Runtime::new(config, recorder)
}

pub fn multi_with(workers: usize, configure: impl FnOnce(&mut Config)) -> Runtime {
    let mut config = config(RuntimeFlavor::MultiThread, workers);
    configure(&mut config);
    start(config).unwrap()
}

pub fn multi(workers: usize) -> Runtime {
    multi_with(workers, |_| ())
}

pub fn current() -> Runtime {
    start(config(RuntimeFlavor::CurrentThread, 1)).unwrap()
}

/// Runs a test on every machine there is.
pub fn on_each(test: impl Fn(Runtime)) {
    for runtime in [current(), multi(1), multi(2), multi(4)] {
        test(runtime);
    }
}

/// Fails the test, with a message, if `test` has not ended after a while.
pub fn in_time(test: impl FnOnce() + Send + 'static) {
    within(HANGS, test);
}

/// As [`in_time`], after so long.
pub fn within(limit: Duration, test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(limit) {
        Ok(()) => {}
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}
