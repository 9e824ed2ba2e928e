//! The SDK's batches, for the provider and for who writes into them past it.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogProcessor, SdkLogRecord};

/// Clones are the same.
#[derive(Clone, Debug)]
pub struct Batches(Arc<BatchLogProcessor>);

impl Batches {
    pub fn new(mut processor: BatchLogProcessor, resource: &Resource) -> Batches {
        // Now: the provider would tell it, but nobody changes what is shared.
        processor.set_resource(resource);
        Batches(Arc::new(processor))
    }
}

impl LogProcessor for Batches {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.emit(record, scope);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}
