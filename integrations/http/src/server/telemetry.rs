//! What are spans and metrics of a server made with?

use std::sync::Arc;

use opentelemetry::global::BoxedTracer;

use super::metrics::Metrics;
use crate::common::by_runtime::{self, Given};
use crate::common::wire::Dropped;

pub(super) struct Telemetry {
    pub(super) tracer: Arc<BoxedTracer>,
    pub(super) metrics: Metrics,
    pub(super) dropped: Dropped,
}

impl by_runtime::Telemetry for Telemetry {
    fn of(given: &Given) -> Telemetry {
        Telemetry {
            tracer: given.tracer(),
            metrics: Metrics::new(&given.bindable()),
            dropped: Dropped::new(&given.meter()),
        }
    }
}
