//! What the thread of the SDK's batches calls: the library's exporter, and what became of the batch.

use std::sync::Arc;

use opentelemetry_otlp::{LogExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as Exporter};
use telemetry_rt::__private::warn;

use super::account::{Account, Records};
use super::client::{Client, Said};
use super::settings::{Endpoint, Unusable};

/// Sends batches, and counts and tells what is lost.
#[derive(Debug)]
pub struct Counted {
    inner: LogExporter,
    account: Arc<Account>,
    said: Arc<Said>,
}

impl Counted {
    pub fn new(endpoint: &Endpoint, account: Arc<Account>) -> Result<Counted, Unusable> {
        let said = Arc::new(Said::default());
        // Where to, with which headers and how compressed is what it reads from the variables.
        let inner = LogExporter::builder()
            .with_http()
            .with_http_client(Client::new(endpoint, said.clone()))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(endpoint.timeout)
            .build()
            .map_err(|_| endpoint.unusable())?;
        Ok(Counted {
            inner,
            account,
            said,
        })
    }

    async fn sent(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        // Once the end is asked for, a collector that has failed is not tried again: others wait.
        if self.account.is_closed() && self.said.is_failing() {
            return Err(OTelSdkError::InternalFailure("given up".to_owned()));
        }
        self.inner.export(batch).await
    }

    fn tell_failed(&self, records: u64, error: &OTelSdkError) {
        if self.account.is_written_off() {
            return;
        }
        let records = Records(records);
        match self.said.error() {
            Some(reason) => warn(format_args!("{records} not sent: {reason}")),
            None => warn(format_args!("{records} not sent: {error}")),
        }
    }

    /// A collector may take a request and refuse some records in it.
    fn rejected(&self, records: u64) -> u64 {
        let (rejected, reason) = self.said.rejected();
        let rejected = rejected.min(records);
        if rejected > 0 || !reason.is_empty() {
            let rejected = Records(rejected);
            warn(format_args!(
                "{rejected} refused by the collector: {reason}"
            ));
        }
        rejected
    }
}

impl Exporter for Counted {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().count();
        self.account.taken(records);
        self.account.tell_refused();
        let sent = self.sent(batch).await;
        let lost = match &sent {
            Ok(()) => self.rejected(records as u64),
            Err(error) => {
                self.tell_failed(records as u64, error);
                records as u64
            }
        };
        self.account.settled(records, lost);
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
