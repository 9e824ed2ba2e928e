//! Tasks of ten milliseconds each, eight at a time: something to be looked at while it runs.
//!
//! ```text
//! OTEL_METRICS_EXPORTER=prometheus cargo run --example ticks -- 60
//! curl http://localhost:9464/metrics
//! ```
//!
//! The number is of seconds; ten without it. `scripts/ticks-with-prometheus.sh` has a real
//! Prometheus look at it.

use std::env::args;
use std::io;
use std::process::ExitCode;

use telemetry_rt::runtime::Runtime;
use telemetry_rt::task::JoinSet;
use telemetry_rt::time::{Duration, Instant, sleep};

/// How many tasks there are at a time.
const LANES: usize = 8;
/// The program was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let seconds = args().nth(1).map_or(Ok(10), |text| text.parse());
    match seconds.map(Duration::from_secs) {
        Ok(time) => run(time).map_or_else(failed, |()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("ticks: the number of seconds is not understood: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(time: Duration) -> io::Result<()> {
    Runtime::new()?.block_on(ticks(time));
    Ok(())
}

fn failed(error: io::Error) -> ExitCode {
    eprintln!("ticks: the runtime does not start: {error}");
    ExitCode::FAILURE
}

/// Each task that ends makes place for the next.
async fn ticks(time: Duration) {
    let start = Instant::now();
    let mut tasks: JoinSet<()> = (0..LANES).map(|_| ten_milliseconds()).collect();
    while tasks.join_next().await.is_some() {
        if start.elapsed() < time {
            tasks.spawn(ten_milliseconds());
        }
    }
}

async fn ten_milliseconds() {
    sleep(Duration::from_millis(10)).await;
}
