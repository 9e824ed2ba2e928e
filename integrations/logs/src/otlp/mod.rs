//! How do records get to a collector?
//!
//! ```text
//! layer.rs     takes records of `tracing`; the work is `opentelemetry-appender-tracing`'s
//! logger.rs    what that writes into: names of the conventions, and the door of the queue
//! batches.rs   the SDK's, which the logger writes into past its provider, too
//! account.rs   how many records are where, and how many are lost
//! exporter.rs  what the thread of the SDK's batches calls; the work is `opentelemetry-otlp`'s
//! client.rs    one request, by `ureq`
//! settings.rs  what the variables say that those crates read without a word
//! ```
//!
//! The queue and the thread are those of the SDK's `BatchLogProcessor`, which says nothing of what
//! it drops unless its own events are compiled in. So records are counted at the door: no more are
//! let in than there is room for, and the queue behind it is never full.

mod account;
mod batches;
mod client;
mod exporter;
mod layer;
mod logger;
mod settings;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_off.rs"]
mod tls;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchConfigBuilder, BatchLogProcessor, SdkLoggerProvider};
use telemetry_rt::__private::warn;

use account::Account;
use batches::Batches;
use exporter::Counted;
use layer::Bridge;
use logger::Loggers;
use settings::{Endpoint, Queue};

/// The way of records to a collector.
#[derive(Debug)]
pub struct Export {
    provider: SdkLoggerProvider,
    batches: Batches,
    account: Arc<Account>,
}

impl Export {
    /// Starts the thread that sends. `None`, with a warning, when there is nowhere to send to.
    pub fn start(resource: Resource) -> Option<Export> {
        let started = Endpoint::from_variables().and_then(|endpoint| {
            let queue = Queue::from_variables();
            let account = Arc::new(Account::new(queue.size));
            let exporter = Counted::new(&endpoint, account.clone())?;
            let batches = batches(exporter, &queue, &resource);
            Ok(Export {
                provider: provider(batches.clone(), resource),
                batches,
                account,
            })
        });
        started
            .inspect_err(|error| warn(format_args!("{error}; no logs are sent")))
            .ok()
    }

    pub fn layer(&self) -> Bridge {
        Bridge::new(Loggers {
            provider: self.provider.clone(),
            batches: self.batches.clone(),
            account: self.account.clone(),
        })
    }

    pub fn lost(&self) -> u64 {
        self.account.lost()
    }

    pub fn flush(&self) {
        // What fails is counted and told by the exporter.
        if let Err(error) = self.provider.force_flush() {
            drop(error);
        }
        self.account.tell_refused();
    }

    /// Sends what waits, and no more after that.
    pub fn end(&self, within: Duration) {
        self.account.close();
        let ended = self.provider.shutdown_with_timeout(within);
        self.account.tell_refused();
        if ended.is_err() {
            self.account.tell_left(within);
        }
    }
}

fn batches(exporter: Counted, queue: &Queue, resource: &Resource) -> Batches {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(queue.size)
        .with_max_export_batch_size(queue.batch)
        .with_scheduled_delay(queue.delay);
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(config.build());
    Batches::new(processor.build(), resource)
}

fn provider(batches: Batches, resource: Resource) -> SdkLoggerProvider {
    SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(batches)
        .build()
}
