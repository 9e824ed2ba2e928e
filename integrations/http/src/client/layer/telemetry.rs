//! What are spans and metrics of a client made with?

use std::sync::Arc;

use opentelemetry::global::BoxedTracer;

use super::metrics::Metrics;
use crate::common::by_runtime::{self, Given};

#[derive(Debug)]
pub(in crate::client) struct Telemetry {
    pub(super) tracer: Arc<BoxedTracer>,
    pub(in crate::client) metrics: Metrics,
}

impl by_runtime::Telemetry for Telemetry {
    fn of(given: &Given) -> Telemetry {
        Telemetry {
            tracer: given.tracer(),
            metrics: Metrics::new(&given.meter(), &given.bindable()),
        }
    }
}
