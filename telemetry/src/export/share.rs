//! What those have of a pipeline who know but a runtime: its tracers, its meters, its metrics.
//!
//! It is attached to the recorder. So it holds neither that nor the pipeline, which hold each other
//! alive for as long as they should, and it is there without a pipeline as well.

use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::{Meter, MeterProvider};

use super::collect::{Books, MetricSource};
use super::meters::BindableMeter;
use super::otel::Otel;
use super::pipeline::{Pipeline, Tracers};
use crate::record::Recorder;

/// For the facade.
#[derive(Clone, Debug)]
pub struct Share {
    books: Arc<Books>,
    /// None if spans go nowhere.
    tracers: Option<Tracers>,
}

impl Share {
    /// That of a pipeline.
    pub fn of(pipeline: &Pipeline) -> Share {
        Share {
            books: Arc::clone(pipeline.books()),
            tracers: pipeline.tracers(),
        }
    }

    /// That of a runtime that exports nothing: its metrics can be asked for all the same.
    pub fn without_pipeline(otel: &Otel) -> Share {
        Share {
            books: Arc::new(Books::of(otel, None)),
            tracers: None,
        }
    }

    /// A tracer whose spans go where those of processes go. None if they go nowhere.
    pub fn tracer(&self, scope: InstrumentationScope) -> Option<BoxedTracer> {
        let tracers = self.tracers.as_ref()?;
        Some(tracers.tracer(scope))
    }

    /// A meter whose metrics are among those of [`source`](Self::source), or those of the provider
    /// that the application gave. After the end it records nowhere.
    pub fn meter(&self, scope: InstrumentationScope) -> Meter {
        self.books.meters().meter_with_scope(scope)
    }

    /// As [`meter`](Self::meter), for instruments whose series are bound.
    pub fn bindable_meter(&self, scope: InstrumentationScope) -> BindableMeter {
        self.books.meters().bindable(scope)
    }

    /// All metrics; `recorder` is the one that this is attached to.
    pub fn source(&self, recorder: &Recorder) -> MetricSource {
        MetricSource::new(recorder.clone(), Arc::clone(&self.books))
    }

    /// The runtime has ended: callbacks of users are let go.
    pub fn close(&self) {
        self.books.meters().close();
    }
}
