//! What is there instead of the export by OTLP, in builds without it.

use std::time::Duration;

use opentelemetry_sdk::Resource;
use telemetry_rt::__private::warn;
use tracing_subscriber::layer::Identity;

/// Nothing that could be exported, which never exists.
#[derive(Debug)]
pub enum Export {}

impl Export {
    pub fn start(_resource: Resource) -> Option<Export> {
        warn(format_args!(
            "OTLP was asked for, but is not compiled in; accepted: a build with the feature \
             `otlp`; no logs are sent"
        ));
        None
    }

    pub fn layer(&self) -> Identity {
        match *self {}
    }

    pub fn lost(&self) -> u64 {
        match *self {}
    }

    pub fn flush(&self) {
        match *self {}
    }

    pub fn end(&self, _within: Duration) {
        match *self {}
    }
}
