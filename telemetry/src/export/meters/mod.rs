//! Meters of users and of libraries, whose metrics leave as those of the runtime do.
//!
//! ```text
//!   global::meter, otel::meter ──► instruments ──► an `SdkMeterProvider` that nobody else sees
//!        (instruments.rs)             │                        ▲ values
//!        histograms: examples.rs ◄────┘                        │
//!        callbacks:  observed.rs ── run before, without locks ─┘
//!                                                              │
//!   MetricSource::collect ◄── convert.rs ◄── a reader of ours ◄┘
//!        └──────────────────◄── bound/ ◄── otel::bindable_meter
//! ```
//!
//! The SDK aggregates, because it is what instruments of the API are made for; a reader of ours
//! asks it when somebody asks us. Two things it does not do are done around it: callbacks run
//! before it is asked and outside of its locks, and histograms remember exemplars, which it never
//! has. `docs/adr/0021-meters-of-users.md` says what was rejected.

mod bound;
mod convert;
mod examples;
mod instruments;
mod observed;
mod series;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
};

use super::exemplars::ExemplarFilter;
use super::metric::Metric;
use super::otel::Otel;
use super::period::Period;
pub use bound::{
    BindableHistogram, BindableMeter, BindableUpDownCounter, BoundHistogram, BoundUpDownCounter,
    InstrumentSpec, Measured,
};

use bound::AllBound;
use examples::AllExamples;
use instruments::Instruments;
use observed::Observed;

/// Where meters of users come from. Clones are the same; none keeps a pipeline alive.
#[derive(Clone, Debug)]
pub(super) struct Meters(Arc<Way>);

#[derive(Debug)]
enum Way {
    /// Ours, made when the first meter is asked for.
    Own {
        filter: ExemplarFilter,
        /// Apart from what is made, so that a meter that comes after the end finds it closed.
        observed: Arc<Observed>,
        made: OnceLock<Own>,
    },
    /// The application's, as long as the pipeline holds it.
    Given(WeakProvider),
    /// Telemetry is switched off.
    Nowhere,
}

struct WeakProvider(Weak<dyn MeterProvider + Send + Sync>);

/// A provider of the SDK, and what we do around it.
#[derive(Debug)]
struct Own {
    provider: SdkMeterProvider,
    reader: Reader,
    /// None where no exemplars are wanted.
    examples: Option<Arc<AllExamples>>,
    bound: Arc<AllBound>,
}

impl Meters {
    pub(super) fn of(otel: &Otel) -> Meters {
        let way = match &otel.meter_provider {
            _ if otel.disabled => Way::Nowhere,
            Some(given) => Way::Given(WeakProvider(Arc::downgrade(given))),
            None => Way::Own {
                filter: otel.exemplars,
                observed: Arc::default(),
                made: OnceLock::new(),
            },
        };
        Meters(Arc::new(way))
    }

    /// Whose instruments have series that are bound: counted here, if meters are.
    pub(super) fn bindable(&self, scope: InstrumentationScope) -> BindableMeter {
        match &*self.0 {
            Way::Own { filter, made, .. } => {
                let own = made.get_or_init(|| Own::new(*filter));
                BindableMeter::own(Arc::clone(&own.bound), scope)
            }
            Way::Given(_) | Way::Nowhere => self.meter_with_scope(scope).into(),
        }
    }

    /// Runs the callbacks of observable instruments. Not to be called with a lock held: they are
    /// users' code.
    pub(super) fn observe(&self) {
        if let Way::Own { observed, .. } = &*self.0 {
            observed.run();
        }
    }

    /// What was recorded so far, and what the callbacks said last.
    pub(super) fn collect(&self, period: Period) -> Vec<Metric> {
        self.own().map_or_else(Vec::new, |own| own.collect(period))
    }

    /// The runtime has ended: callbacks are dropped, with all that they hold.
    pub(super) fn close(&self) {
        if let Way::Own { observed, .. } = &*self.0 {
            observed.close();
        }
    }

    fn own(&self) -> Option<&Own> {
        match &*self.0 {
            Way::Own { made, .. } => made.get(),
            Way::Given(_) | Way::Nowhere => None,
        }
    }
}

impl MeterProvider for Meters {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        match &*self.0 {
            Way::Own {
                filter,
                observed,
                made,
            } => {
                let own = made.get_or_init(|| Own::new(*filter));
                own.meter(scope, Arc::clone(observed))
            }
            Way::Given(provider) => match provider.0.upgrade() {
                Some(provider) => provider.meter_with_scope(scope),
                None => no_meter(scope),
            },
            Way::Nowhere => no_meter(scope),
        }
    }
}

fn no_meter(scope: InstrumentationScope) -> Meter {
    NoopMeterProvider::new().meter_with_scope(scope)
}

impl Own {
    fn new(filter: ExemplarFilter) -> Own {
        let reader = Reader(Arc::new(ManualReader::default()));
        Own {
            provider: SdkMeterProvider::builder()
                .with_reader(reader.clone())
                .build(),
            reader,
            examples: match filter {
                ExemplarFilter::TraceBased => Some(Arc::default()),
                ExemplarFilter::AlwaysOff => None,
            },
            bound: Arc::new(AllBound::new(filter == ExemplarFilter::TraceBased)),
        }
    }

    fn meter(&self, scope: InstrumentationScope, observed: Arc<Observed>) -> Meter {
        Meter::new(Arc::new(Instruments {
            sdk: self.provider.meter_with_scope(scope.clone()),
            scope,
            observed,
            examples: self.examples.clone(),
        }))
    }

    fn collect(&self, period: Period) -> Vec<Metric> {
        // Before the values are read: an exemplar is of a value that is counted.
        let examples = self.examples.as_deref().map(AllExamples::latest);
        let mut found = ResourceMetrics::default();
        // It fails when the provider is shut down, and only we have it.
        if self.reader.collect(&mut found).is_err() {
            return Vec::new();
        }
        let mut metrics = convert::metrics(&found, period);
        if let Some(examples) = examples {
            examples.add_to(&mut metrics);
        }
        metrics.extend(self.bound.metrics(period));
        metrics
    }
}

impl fmt::Debug for WeakProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeterProvider")
    }
}

/// The SDK's own reader that is asked by hand: one half in the provider, one with us.
#[derive(Clone, Debug)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, found: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(found)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
