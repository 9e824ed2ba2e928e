//! Which bound instruments does a runtime have, and what do they say?

use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use parking_lot::Mutex;

use super::head::{Head, InstrumentSpec, are_bounds};
use super::histogram::Histogram;
use super::sum::UpDown;
use super::value::Measured;
use crate::export::calendar::Calendar;
use crate::export::metric::Metric;
use crate::export::period::Period;

/// The instruments of one kind, in the order in which they were made. There are few.
type Kind<I> = Mutex<Vec<Arc<I>>>;

/// All of them.
#[derive(Debug)]
pub(in crate::export::meters) struct AllBound {
    /// Whether values stand as examples.
    exemplified: bool,
    floats: Kind<Histogram<f64>>,
    wholes: Kind<Histogram<u64>>,
    sums: Kind<UpDown>,
}

impl AllBound {
    pub(in crate::export::meters) fn new(exemplified: bool) -> AllBound {
        AllBound {
            exemplified,
            floats: Mutex::default(),
            wholes: Mutex::default(),
            sums: Mutex::default(),
        }
    }

    pub(super) fn f64_histogram(
        &self,
        scope: &InstrumentationScope,
        spec: InstrumentSpec,
        bounds: &[f64],
    ) -> Option<Arc<Histogram<f64>>> {
        self.histogram(&self.floats, scope, spec, bounds)
    }

    pub(super) fn u64_histogram(
        &self,
        scope: &InstrumentationScope,
        spec: InstrumentSpec,
        bounds: &[f64],
    ) -> Option<Arc<Histogram<u64>>> {
        self.histogram(&self.wholes, scope, spec, bounds)
    }

    fn histogram<T: Measured>(
        &self,
        kind: &Kind<Histogram<T>>,
        scope: &InstrumentationScope,
        spec: InstrumentSpec,
        bounds: &[f64],
    ) -> Option<Arc<Histogram<T>>> {
        if !are_bounds(spec.name, bounds) {
            return None;
        }
        let make = |head| Histogram::new(head, bounds, self.exemplified);
        known_or_made(
            kind,
            |known| known.head.is(scope, &spec),
            || Head::new(scope, spec).map(make),
        )
    }

    pub(super) fn up_down_counter(
        &self,
        scope: &InstrumentationScope,
        spec: InstrumentSpec,
    ) -> Option<Arc<UpDown>> {
        known_or_made(
            &self.sums,
            |known| known.head.is(scope, &spec),
            || Head::new(scope, spec).map(UpDown::new),
        )
    }

    /// What was recorded so far.
    pub(in crate::export::meters) fn metrics(&self, period: Period) -> Vec<Metric> {
        let calendar = Calendar::now();
        let (floats, wholes) = (self.floats.lock().clone(), self.wholes.lock().clone());
        let sums = self.sums.lock().clone();
        let floats = floats.iter().map(|of| of.metric(period, &calendar));
        let wholes = wholes.iter().map(|of| of.metric(period, &calendar));
        let sums = sums.iter().map(|of| of.metric(period));
        floats.chain(wholes).chain(sums).flatten().collect()
    }
}

fn known_or_made<I>(
    kind: &Kind<I>,
    is_it: impl Fn(&I) -> bool,
    make: impl FnOnce() -> Option<I>,
) -> Option<Arc<I>> {
    let mut known = kind.lock();
    if let Some(known) = known.iter().find(|known| is_it(known)) {
        return Some(Arc::clone(known));
    }
    let made = Arc::new(make()?);
    known.push(Arc::clone(&made));
    Some(made)
}
