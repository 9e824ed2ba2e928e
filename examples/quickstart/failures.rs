//! In which ways can a task end, other than well? A task for each, and what its handle says.
//!
//! The runtime tells them apart without help: see the column `state` of the metrics, and what
//! stands behind `!` in the tree.

use std::fmt;
use std::future::pending;
use std::panic;

use telemetry_rt::task::{JoinError, yield_now};
use telemetry_rt::time::error::Elapsed;
use telemetry_rt::time::{Duration, timeout};

/// The name of a task, its state as the runtime records it, and what its handle said.
pub type Failure = (&'static str, &'static str, String);

/// Runs all of them, one after the other.
pub async fn all() -> Vec<Failure> {
    // Instead of the message and the backtrace that a panic prints: the handle has the message.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let panicked = telemetry_rt::spawn(panics()).await;
    panic::set_hook(hook);

    let aborted = telemetry_rt::spawn(is_aborted());
    yield_now().await;
    aborted.abort();

    vec![
        ("panics", "exception", said(panicked)),
        ("is_aborted", "cancelled", said(aborted.await)),
        (
            "times_out",
            "timeout",
            said(telemetry_rt::spawn(times_out()).await),
        ),
        (
            "returns_err",
            "exception",
            said(telemetry_rt::spawn(returns_err()).await),
        ),
    ]
}

async fn panics() -> Result<(), Refused> {
    panic!("this task panics on purpose")
}

async fn is_aborted() -> Result<(), Refused> {
    pending().await
}

async fn times_out() -> Result<(), Elapsed> {
    timeout(Duration::from_millis(5), pending()).await
}

async fn returns_err() -> Result<(), Refused> {
    yield_now().await;
    Err(Refused)
}

/// The error of a task that is not willing.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this task returns an error on purpose")
    }
}

impl std::error::Error for Refused {}

fn said<E: fmt::Display>(result: Result<Result<(), E>, JoinError>) -> String {
    match result {
        Ok(Ok(())) => "ended well, against all expectation".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}
