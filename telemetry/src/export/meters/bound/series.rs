//! Which series does an instrument have? As many as the SDK allows, found by their attributes; what
//! exceeds that is one series, which says so.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::KeyValue;
use parking_lot::Mutex;

use crate::export::metric::OVERFLOW;

/// As many as the SDK has of an instrument.
const MOST: usize = 2000;

/// The series of one instrument. The lock is for who binds one and who collects; recording does
/// without.
#[derive(Debug)]
pub(super) struct AllSeries<S>(Mutex<HashMap<Vec<KeyValue>, Arc<S>>>);

impl<S> Default for AllSeries<S> {
    fn default() -> AllSeries<S> {
        AllSeries(Mutex::default())
    }
}

impl<S> AllSeries<S> {
    /// The series with these attributes.
    pub(super) fn of(
        &self,
        attributes: &[KeyValue],
        make: impl FnOnce(Vec<KeyValue>) -> S,
    ) -> Arc<S> {
        let attributes = in_order(attributes);
        let mut series = self.0.lock();
        let is_full = series.len() >= MOST && !series.contains_key(&attributes);
        let attributes = match is_full {
            true => vec![KeyValue::new(OVERFLOW, true)],
            false => attributes,
        };
        let of = series.entry(attributes);
        Arc::clone(of.or_insert_with_key(|attributes| Arc::new(make(attributes.clone()))))
    }

    pub(super) fn all(&self) -> Vec<Arc<S>> {
        self.0.lock().values().cloned().collect()
    }
}

/// By their keys; of two with the same key the last counts, as with the SDK.
fn in_order(attributes: &[KeyValue]) -> Vec<KeyValue> {
    let mut ordered = attributes.to_vec();
    ordered.reverse();
    ordered.sort_by(|one, other| one.key.cmp(&other.key));
    ordered.dedup_by(|one, before| one.key == before.key);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_makes_no_difference_and_the_last_of_a_key_counts() {
        let pair = |key, value| KeyValue::new(key, value);
        let all = AllSeries::<Vec<KeyValue>>::default();
        let one = all.of(&[pair("a", 1), pair("b", 3)], |made| made);
        let other = all.of(&[pair("b", 2), pair("a", 1), pair("b", 3)], |made| made);
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(*one, [pair("a", 1), pair("b", 3)]);
    }

    #[test]
    fn what_exceeds_the_bound_is_one_series() {
        let all = AllSeries::<Vec<KeyValue>>::default();
        let bind = |number: usize| all.of(&[KeyValue::new("n", number as i64)], |made| made);
        let first = bind(0);
        let rest: Vec<_> = (1..MOST + 50).map(bind).collect();
        let overflow = [KeyValue::new(OVERFLOW, true)];
        assert!(rest[MOST - 1..].iter().all(|series| **series == overflow));
        assert_ne!(*rest[MOST - 2], overflow);
        assert!(Arc::ptr_eq(&first, &bind(0)));
        assert_eq!(all.all().len(), MOST + 1);
    }
}
