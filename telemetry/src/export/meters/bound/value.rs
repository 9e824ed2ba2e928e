//! What may be recorded: numbers, and whole numbers.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

/// A value of a histogram: `f64` or `u64`. Nobody else can implement it, because its module is
/// private.
pub trait Measured: Copy + Debug + Send + Sync + 'static {
    /// The value, as buckets and exemplars have it.
    fn float(self) -> f64;

    /// Adds it to a sum, which is 0 at first.
    fn add_to(self, sum: &AtomicU64);

    /// What such a sum says.
    fn sum(bits: u64) -> f64;

    /// Records it with an instrument of the API.
    fn record_to(self, histogram: &Histogram<Self>, attributes: &[KeyValue]);
}

impl Measured for f64 {
    #[inline]
    fn float(self) -> f64 {
        self
    }

    #[inline]
    fn add_to(self, sum: &AtomicU64) {
        let added = |bits| Some((f64::from_bits(bits) + self).to_bits());
        // Relaxed: who reads it has acquired the bucket (`cells.rs`). It cannot fail: there is always
        // a sum.
        let _ = sum.fetch_update(Relaxed, Relaxed, added);
    }

    fn sum(bits: u64) -> f64 {
        f64::from_bits(bits)
    }

    fn record_to(self, histogram: &Histogram<f64>, attributes: &[KeyValue]) {
        histogram.record(self, attributes);
    }
}

impl Measured for u64 {
    #[inline]
    fn float(self) -> f64 {
        self as f64
    }

    #[inline]
    fn add_to(self, sum: &AtomicU64) {
        // Relaxed: as above.
        sum.fetch_add(self, Relaxed);
    }

    fn sum(bits: u64) -> f64 {
        bits as f64
    }

    fn record_to(self, histogram: &Histogram<u64>, attributes: &[KeyValue]) {
        histogram.record(self, attributes);
    }
}
