//! The contender `dial9`: tokio with `--cfg tokio_unstable`, recorded by dial9 into memory.
//!
//! It has no call that waits for its drain, so what that does after a sample is not measured.
#![expect(dead_code, reason = "`compare` uses the rest of what it shares")]

#[path = "../../compare/child.rs"]
mod child;
#[path = "../../compare/load.rs"]
mod load;
#[path = "../../compare/measure.rs"]
mod measure;
#[path = "../../compare/contenders/on_tokio.rs"]
mod on_tokio;
#[path = "../../compare/quantile.rs"]
mod quantile;
#[path = "../../compare/runtime.rs"]
mod runtime;
#[path = "../../compare/station.rs"]
mod station;
#[path = "../../compare/workloads/mod.rs"]
mod workloads;

use std::future::Future;
use std::time::Duration;

use dial9::{Dial9HandleTokioExt, MemoryBuffer, Recorder, TokioAttachOptions};
use on_tokio::{Instrument, OnTokio};
use runtime::Ledger;
use station::Here;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// As in dial9's own benchmark of its overhead.
const BUFFER: u64 = 64 << 20;

struct Dial9(Recorder);

impl Instrument for Dial9 {
    fn start(builder: Builder) -> (Runtime, Dial9) {
        let buffer = MemoryBuffer::new(BUFFER).expect("there is memory");
        let recorder = dial9::recorder(buffer).build();
        let options = TokioAttachOptions::builder()
            .runtime_name("compare")
            .task_tracking_enabled(true)
            .build();
        let runtime = recorder.handle().attach_tokio_runtime(builder, options);
        (runtime.expect("tokio starts"), Dial9(recorder))
    }

    /// Spawning does it.
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        future
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        dial9::spawn(future)
    }

    fn spawn_on<F>(runtime: &Runtime, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        dial9::spawn_in(runtime.handle(), future)
    }

    fn finish(self) -> Option<Ledger> {
        self.0.graceful_shutdown(Duration::from_secs(5));
        None
    }
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == load::ARGUMENT) {
        return load::serve();
    }
    child::serve(&mut Here::<OnTokio<Dial9>>::new());
    Ok(())
}
