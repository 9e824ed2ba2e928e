//! Instruments whose series are bound: the attributes are said once, and a value after that is a few
//! atomic additions.
//!
//! ```text
//!   BindableMeter ──► BindableHistogram ──bind(attributes)──► BoundHistogram ──► record(value)
//!
//!   of a runtime that has metrics of its own:      of any other meter:
//!     all.rs        its instruments                  an instrument of the API,
//!     histogram.rs  cells.rs, shards.rs              and the attributes beside it
//!     sum.rs        one number
//!     series.rs     which series there are
//! ```
//!
//! Who records sees no difference. `docs/adr/0021-meters-of-users.md` says why these are not the
//! bound instruments of the SDK.

mod all;
mod cells;
mod head;
mod histogram;
mod series;
mod shards;
mod sum;
mod value;

use std::sync::Arc;

use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};
use opentelemetry::{InstrumentationScope, KeyValue};

pub(super) use all::AllBound;
pub use head::InstrumentSpec;
pub use value::Measured;

/// Makes instruments whose series are bound: for libraries that record the same few series often.
///
/// Those of [`telemetry_rt::otel::bindable_meter`] are counted by the runtime itself. One that is made
/// [from](From) a [`Meter`] records with the instruments of that one, at their cost.
///
/// [`telemetry_rt::otel::bindable_meter`]: https://docs.rs/telemetry_rt/latest/telemetry_rt/otel/fn.bindable_meter.html
#[derive(Clone, Debug)]
pub struct BindableMeter(Maker);

#[derive(Clone, Debug)]
enum Maker {
    Own(Arc<AllBound>, InstrumentationScope),
    Api(Meter),
}

impl From<Meter> for BindableMeter {
    fn from(meter: Meter) -> BindableMeter {
        BindableMeter(Maker::Api(meter))
    }
}

impl BindableMeter {
    pub(super) fn own(all: Arc<AllBound>, scope: InstrumentationScope) -> BindableMeter {
        BindableMeter(Maker::Own(all, scope))
    }

    /// A histogram of numbers. Made twice it is one and the same, with the bounds that came first.
    ///
    /// `bounds` are the upper, inclusive ones of its buckets. If they do not rise, or the name is not
    /// one that OpenTelemetry accepts, that is a warning, and nothing is recorded.
    pub fn f64_histogram(&self, spec: InstrumentSpec, bounds: &[f64]) -> BindableHistogram<f64> {
        BindableHistogram(match &self.0 {
            Maker::Own(all, scope) => own_or(all.f64_histogram(scope, spec, bounds)),
            Maker::Api(meter) => {
                let builder = meter.f64_histogram(spec.name).with_unit(spec.unit);
                let builder = builder.with_description(spec.description);
                Of::Api(builder.with_boundaries(bounds.to_vec()).build())
            }
        })
    }

    /// A histogram of whole numbers; see [`f64_histogram`](Self::f64_histogram).
    pub fn u64_histogram(&self, spec: InstrumentSpec, bounds: &[f64]) -> BindableHistogram<u64> {
        BindableHistogram(match &self.0 {
            Maker::Own(all, scope) => own_or(all.u64_histogram(scope, spec, bounds)),
            Maker::Api(meter) => {
                let builder = meter.u64_histogram(spec.name).with_unit(spec.unit);
                let builder = builder.with_description(spec.description);
                Of::Api(builder.with_boundaries(bounds.to_vec()).build())
            }
        })
    }

    /// A sum of whole numbers that rises and falls. Made twice it is one and the same.
    pub fn i64_up_down_counter(&self, spec: InstrumentSpec) -> BindableUpDownCounter {
        BindableUpDownCounter(match &self.0 {
            Maker::Own(all, scope) => own_or(all.up_down_counter(scope, spec)),
            Maker::Api(meter) => {
                let builder = meter.i64_up_down_counter(spec.name).with_unit(spec.unit);
                Of::Api(builder.with_description(spec.description).build())
            }
        })
    }
}

/// Ours, or one of the API.
#[derive(Clone, Debug)]
enum Of<O, A> {
    Own(O),
    Api(A),
    /// What it was to be called is not accepted.
    Nothing,
}

fn own_or<O, A>(made: Option<O>) -> Of<O, A> {
    made.map_or(Of::Nothing, Of::Own)
}

/// A series of ours, or an instrument of the API with the attributes of the series.
type Series<S, A> = Of<Arc<S>, (A, Arc<[KeyValue]>)>;

/// A histogram whose series can be bound. It may outlive the runtime, and then records nowhere.
#[derive(Clone, Debug)]
pub struct BindableHistogram<T>(Of<Arc<histogram::Histogram<T>>, Histogram<T>>);

/// A series of a histogram: the attributes are fixed. Clones are the same series.
#[derive(Clone, Debug)]
pub struct BoundHistogram<T>(Series<histogram::Distribution<T>, Histogram<T>>);

/// A sum that rises and falls, whose series can be bound.
#[derive(Clone, Debug)]
pub struct BindableUpDownCounter(Of<Arc<sum::UpDown>, UpDownCounter<i64>>);

/// A series of a sum that rises and falls: the attributes are fixed. Clones are the same series.
#[derive(Clone, Debug)]
pub struct BoundUpDownCounter(Series<sum::Sum, UpDownCounter<i64>>);

impl<T: Measured> BindableHistogram<T> {
    /// The series with these attributes, in whichever order. It shows up with its first value.
    ///
    /// There are at most 2,000 series, as with any instrument of the SDK: all others are the one that
    /// has the attribute `otel.metric.overflow`. Series are never given up: bind what there are few
    /// of, and keep what is returned.
    ///
    /// Cost: a lock, which collections hold for a moment, and memory of some 300 to 1,200 bytes, by
    /// the number of processors, for a series that is new.
    pub fn bind(&self, attributes: &[KeyValue]) -> BoundHistogram<T> {
        BoundHistogram(match &self.0 {
            Of::Own(histogram) => Of::Own(histogram.series(attributes)),
            Of::Api(histogram) => Of::Api((histogram.clone(), attributes.into())),
            Of::Nothing => Of::Nothing,
        })
    }
}

impl<T: Measured> BoundHistogram<T> {
    /// Counts a value. One that is not finite is not counted.
    ///
    /// Within a sampled span the value is remembered as an exemplar, the newest of each bucket.
    ///
    /// Cost: some 13 ns, 17 more within a sampled span. No lock is waited for.
    #[inline]
    pub fn record(&self, value: T) {
        match &self.0 {
            Of::Own(series) => series.record(value),
            Of::Api((histogram, attributes)) => value.record_to(histogram, attributes),
            Of::Nothing => {}
        }
    }
}

impl BindableUpDownCounter {
    /// The series with these attributes; see [`BindableHistogram::bind`]. It shows up at once, as 0.
    pub fn bind(&self, attributes: &[KeyValue]) -> BoundUpDownCounter {
        BoundUpDownCounter(match &self.0 {
            Of::Own(counter) => Of::Own(counter.series(attributes)),
            Of::Api(counter) => Of::Api((counter.clone(), attributes.into())),
            Of::Nothing => Of::Nothing,
        })
    }
}

impl BoundUpDownCounter {
    /// Adds a number, which may be negative. What is taken away again, on any thread, is never seen
    /// taken away before it was added.
    ///
    /// Cost: an atomic addition to a number that all threads share.
    #[inline]
    pub fn add(&self, number: i64) {
        match &self.0 {
            Of::Own(series) => series.add(number),
            Of::Api((counter, attributes)) => counter.add(number, attributes),
            Of::Nothing => {}
        }
    }
}
