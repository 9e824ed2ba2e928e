//! Which instruments users get: the SDK's own, but for two kinds.
//!
//! An observable instrument has its callbacks taken away, and is given one that repeats what they
//! said. A histogram stands behind one that remembers exemplars.

use std::mem;
use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::{
    AsyncInstrumentBuilder, Counter, Gauge, Histogram, HistogramBuilder, InstrumentBuilder,
    InstrumentProvider, Meter, ObservableCounter, ObservableGauge, ObservableUpDownCounter,
    UpDownCounter,
};

use super::examples::{AllExamples, Exemplified, Value};
use super::observed::Observed;

/// The instruments of one scope.
pub(super) struct Instruments {
    pub(super) sdk: Meter,
    pub(super) scope: InstrumentationScope,
    pub(super) observed: Arc<Observed>,
    pub(super) examples: Option<Arc<AllExamples>>,
}

impl Instruments {
    /// Who makes the SDK's instruments. A meter does not show it, but its builders do; and those of
    /// users can be handed on to it whole, whatever they will have in later versions.
    fn sdk(&self) -> &dyn InstrumentProvider {
        self.sdk.u64_counter("").instrument_provider
    }

    fn observed<'a, I, T: Copy + Send + 'static>(
        &self,
        mut builder: AsyncInstrumentBuilder<'a, I, T>,
    ) -> AsyncInstrumentBuilder<'a, I, T> {
        let callbacks = mem::take(&mut builder.callbacks);
        match callbacks.is_empty() {
            true => builder,
            false => {
                let name = builder.name.clone();
                builder.with_callback(self.observed.add(name, callbacks))
            }
        }
    }

    fn histogram<'a, T: Value>(
        &self,
        builder: HistogramBuilder<'a, Histogram<T>>,
        make: impl FnOnce(HistogramBuilder<'a, Histogram<T>>) -> Histogram<T>,
    ) -> Histogram<T> {
        let Some(examples) = &self.examples else {
            return make(builder);
        };
        let examples = examples.of(&self.scope, &builder);
        let histogram = make(builder);
        Histogram::new(Arc::new(Exemplified {
            histogram,
            examples,
        }))
    }
}

impl InstrumentProvider for Instruments {
    fn u64_counter(&self, builder: InstrumentBuilder<'_, Counter<u64>>) -> Counter<u64> {
        self.sdk().u64_counter(builder)
    }

    fn f64_counter(&self, builder: InstrumentBuilder<'_, Counter<f64>>) -> Counter<f64> {
        self.sdk().f64_counter(builder)
    }

    fn i64_up_down_counter(
        &self,
        builder: InstrumentBuilder<'_, UpDownCounter<i64>>,
    ) -> UpDownCounter<i64> {
        self.sdk().i64_up_down_counter(builder)
    }

    fn f64_up_down_counter(
        &self,
        builder: InstrumentBuilder<'_, UpDownCounter<f64>>,
    ) -> UpDownCounter<f64> {
        self.sdk().f64_up_down_counter(builder)
    }

    fn u64_gauge(&self, builder: InstrumentBuilder<'_, Gauge<u64>>) -> Gauge<u64> {
        self.sdk().u64_gauge(builder)
    }

    fn f64_gauge(&self, builder: InstrumentBuilder<'_, Gauge<f64>>) -> Gauge<f64> {
        self.sdk().f64_gauge(builder)
    }

    fn i64_gauge(&self, builder: InstrumentBuilder<'_, Gauge<i64>>) -> Gauge<i64> {
        self.sdk().i64_gauge(builder)
    }

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        self.histogram(builder, |builder| self.sdk().f64_histogram(builder))
    }

    fn u64_histogram(&self, builder: HistogramBuilder<'_, Histogram<u64>>) -> Histogram<u64> {
        self.histogram(builder, |builder| self.sdk().u64_histogram(builder))
    }

    fn u64_observable_counter(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableCounter<u64>, u64>,
    ) -> ObservableCounter<u64> {
        self.sdk().u64_observable_counter(self.observed(builder))
    }

    fn f64_observable_counter(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableCounter<f64>, f64>,
    ) -> ObservableCounter<f64> {
        self.sdk().f64_observable_counter(self.observed(builder))
    }

    fn i64_observable_up_down_counter(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableUpDownCounter<i64>, i64>,
    ) -> ObservableUpDownCounter<i64> {
        let builder = self.observed(builder);
        self.sdk().i64_observable_up_down_counter(builder)
    }

    fn f64_observable_up_down_counter(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableUpDownCounter<f64>, f64>,
    ) -> ObservableUpDownCounter<f64> {
        let builder = self.observed(builder);
        self.sdk().f64_observable_up_down_counter(builder)
    }

    fn u64_observable_gauge(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableGauge<u64>, u64>,
    ) -> ObservableGauge<u64> {
        self.sdk().u64_observable_gauge(self.observed(builder))
    }

    fn i64_observable_gauge(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableGauge<i64>, i64>,
    ) -> ObservableGauge<i64> {
        self.sdk().i64_observable_gauge(self.observed(builder))
    }

    fn f64_observable_gauge(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableGauge<f64>, f64>,
    ) -> ObservableGauge<f64> {
        self.sdk().f64_observable_gauge(self.observed(builder))
    }
}
