//! What libraries ask for: a tracer and a meter, of the current runtime if there is one, else the
//! global ones.

use opentelemetry::InstrumentationScope;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::metrics::Meter;
use telemetry_rt_telemetry::export::{BindableMeter, MetricSource, Otel, Share};

use super::attached::{Attached, of_current};
use crate::runtime::Handle;

/// A tracer whose spans go where those of the current runtime go, or to the global provider if that
/// runtime exports none. For libraries.
///
/// The scope is the library's name, version and schema; all three are exported with each span.
/// Tracers are cheap enough to be fetched where they are needed, at some 100 ns, and what is fetched
/// on a runtime stays with it.
///
/// ```
/// use opentelemetry::InstrumentationScope;
/// use opentelemetry::trace::Tracer;
///
/// let scope = InstrumentationScope::builder("shop").with_version("1.0.0").build();
/// telemetry_rt::otel::tracer(scope).in_span("checkout", |_| ());
/// ```
pub fn tracer(scope: InstrumentationScope) -> BoxedTracer {
    let own = of_current(|attached| attached.share.tracer(scope.clone()));
    own.flatten()
        .unwrap_or_else(|| global::tracer_with_scope(scope))
}

/// A meter whose metrics leave as those of the current runtime do; outside of one, that of the
/// global provider. For libraries.
///
/// Metrics are collected whether the runtime exports any or not: [`metrics`] shows them. If its
/// [`Otel`] was given a meter provider, they go to that one instead, and are not shown.
///
/// Instruments belong to the runtime on which their meter was fetched. They may be used anywhere,
/// and after its end, when what they record goes nowhere; those of one runtime never feed another.
/// Callbacks of observable instruments run when somebody asks for the metrics, on the thread that
/// asks and with no lock held, until the runtime ends. One that panics is a warning; one that blocks
/// holds up whoever asks, and that may be the thread that exports.
///
/// Values of histograms that are recorded within a sampled span are remembered as exemplars, the
/// newest of each series and bucket, unless `OTEL_METRICS_EXEMPLAR_FILTER` is `always_off`. Bound
/// instruments, which are experimental in the API, have none, and histograms that are bound record
/// nothing.
///
/// ```
/// use opentelemetry::{InstrumentationScope, KeyValue};
///
/// let runtime = telemetry_rt::runtime::Runtime::new().unwrap();
/// runtime.block_on(async {
///     let meter = telemetry_rt::otel::meter(InstrumentationScope::builder("shop").build());
///     let orders = meter.u64_counter("shop.orders").build();
///     orders.add(1, &[KeyValue::new("kind", "book")]);
/// });
/// let metrics = telemetry_rt::otel::metrics(runtime.handle()).collect();
/// assert!(metrics.iter().any(|metric| metric.name == "shop.orders"));
/// ```
pub fn meter(scope: InstrumentationScope) -> Meter {
    let own = of_current(|attached| attached.share.meter(scope.clone()));
    own.unwrap_or_else(|| global::meter_with_scope(scope))
}

/// As [`meter`], for instruments whose series are bound: their attributes are said once, and a value
/// costs a few atomic additions, a sixth of what it costs otherwise. For libraries that record the
/// same few series with each request.
///
/// Where metrics go to a provider that the application gave, or to the global one, its instruments
/// are used, at their cost. An instrument that is made here and by [`meter`] under the same name is
/// two.
///
/// ```
/// use opentelemetry::{InstrumentationScope, KeyValue};
/// use telemetry_rt::otel::InstrumentSpec;
///
/// let runtime = telemetry_rt::runtime::Runtime::new().unwrap();
/// runtime.block_on(async {
///     let meter = telemetry_rt::otel::bindable_meter(InstrumentationScope::builder("shop").build());
///     let spec = InstrumentSpec { name: "shop.wait", unit: "s", description: "Time in the queue." };
///     let waits = meter.f64_histogram(spec, &[0.1, 1.0, 10.0]);
///     let by_card = waits.bind(&[KeyValue::new("payment", "card")]);
///     by_card.record(0.25);
/// });
/// let metrics = telemetry_rt::otel::metrics(runtime.handle()).collect();
/// assert!(metrics.iter().any(|metric| metric.name == "shop.wait"));
/// ```
pub fn bindable_meter(scope: InstrumentationScope) -> BindableMeter {
    let own = of_current(|attached| attached.share.bindable_meter(scope.clone()));
    own.unwrap_or_else(|| global::meter_with_scope(scope).into())
}

/// The metrics of a runtime, its own and those of users, whether anything is exported or not; with
/// the feature `prometheus` also as a page that Prometheus reads.
///
/// It may be kept, and asked from any thread at any time. After the end of the runtime the metrics
/// stay as they were.
pub fn metrics(handle: &Handle) -> MetricSource {
    let recorder = handle.recorder();
    match recorder.attached::<Attached>() {
        Some(attached) => attached.share.source(recorder),
        // A runtime of the executor alone, which this crate has not built.
        None => Share::without_pipeline(&Otel::disabled()).source(recorder),
    }
}
