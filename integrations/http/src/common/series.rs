//! Which series does a request belong to? One that was there before, nearly always: it is found
//! again by what makes it, without a lock.
//!
//! ```text
//!   first[number of the key] ──► node ──► node ──► (empty)
//! ```
//!
//! A table of lists that only grow. A node is written once, by whoever is first at the empty end of
//! its list, and then never changes; so reading needs nothing but what `OnceLock` has. What makes a
//! series is for the application to say, and is bounded as the metrics themselves are: when there
//! are as many nodes as a metric has series, what is new is made anew each time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// As many as an instrument has series.
const MOST: usize = 2000;

/// Lists. With as many nodes as there may be each has eight.
const LISTS: usize = 256;

/// What makes a series, borrowed from a request.
pub(crate) trait Key: PartialEq<Self::Kept> {
    /// The same, kept.
    type Kept;

    fn kept(&self) -> Self::Kept;

    /// The same for the same key.
    fn number(&self) -> u64;
}

/// The series that there were.
#[derive(Debug)]
pub(crate) struct Known<K, S> {
    first: Box<[Place<K, S>]>,
    nodes: AtomicUsize,
}

type Place<K, S> = OnceLock<Box<Node<K, S>>>;

#[derive(Debug)]
struct Node<K, S> {
    number: u64,
    key: K,
    series: S,
    next: Place<K, S>,
}

impl<K, S> Known<K, S> {
    pub(crate) fn new() -> Known<K, S> {
        Known {
            first: (0..LISTS).map(|_| Place::new()).collect(),
            nodes: AtomicUsize::new(0),
        }
    }

    /// Does something with the series of this key.
    #[inline]
    pub(crate) fn with(
        &self,
        key: &impl Key<Kept = K>,
        make: impl FnOnce() -> S,
        then: impl FnOnce(&S),
    ) {
        let number = key.number();
        let mut place = &self.first[number as usize % LISTS];
        while let Some(node) = place.get() {
            if node.number == number && *key == node.key {
                return then(&node.series);
            }
            place = &node.next;
        }
        self.add(place, number, key, make, then);
    }

    #[cold]
    fn add(
        &self,
        place: &Place<K, S>,
        number: u64,
        key: &impl Key<Kept = K>,
        make: impl FnOnce() -> S,
        then: impl FnOnce(&S),
    ) {
        let series = make();
        then(&series);
        // Relaxed: a bound that a few may pass who come at the same time.
        if self.nodes.load(Relaxed) >= MOST {
            return;
        }
        let node = Node {
            number,
            key: key.kept(),
            series,
            next: Place::new(),
        };
        // If another thread was faster there is nothing to keep: the next request with this key finds
        // that thread's node, or adds one behind it.
        if place.set(Box::new(node)).is_ok() {
            self.nodes.fetch_add(1, Relaxed);
        }
    }
}

/// The number of a few texts and numbers: of the kind that is quick, and need not resist who looks for
/// equal ones, because none of them is the client's to choose.
pub(crate) struct Mixed(u64);

/// Odd, and without a pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixed {
    pub(crate) const NOTHING: Mixed = Mixed(FACTOR);

    #[inline]
    pub(crate) fn word(self, word: u64) -> Mixed {
        let product = (self.0 ^ word).wrapping_mul(FACTOR);
        // The low bits of a product know nothing of the high ones of its factors.
        Mixed(product ^ (product >> 32))
    }

    /// A text that stands in the program: by where it stands. If it stands there twice a key has two
    /// numbers, and its series two nodes; nothing else.
    #[inline]
    pub(crate) fn place(self, text: &'static str) -> Mixed {
        self.word(text.as_ptr().addr() as u64)
    }

    #[inline]
    pub(crate) fn text(self, text: &str) -> Mixed {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let mut mixed = self.word(text.len() as u64);
        for word in words {
            mixed = mixed.word(u64::from_le_bytes(*word));
        }
        let rest = rest
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        mixed.word(rest)
    }

    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Whether two texts are equal, which is seen at once where they are nearly always the same one.
#[inline]
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    impl Key for &str {
        type Kept = String;

        fn kept(&self) -> String {
            (*self).to_owned()
        }

        /// So that many have the same.
        fn number(&self) -> u64 {
            self.len() as u64
        }
    }

    fn series_of(known: &Known<String, String>, key: &str, made: &mut usize) -> String {
        let mut found = String::new();
        let make = || {
            *made += 1;
            format!("series of {key}")
        };
        known.with(&key, make, |series| found = series.clone());
        found
    }

    #[test]
    fn a_series_is_made_once_and_keys_of_one_number_are_told_apart() {
        let known = Known::new();
        let mut made = 0;
        for _ in 0..3 {
            for key in ["ab", "cd", "ef", "x"] {
                let expected = format!("series of {key}");
                assert_eq!(series_of(&known, key, &mut made), expected);
            }
        }
        assert_eq!(made, 4);
    }

    #[test]
    fn past_the_bound_series_are_made_anew_and_those_before_stay() {
        let known = Known::new();
        let mut made = 0;
        let keys: Vec<String> = (0..MOST + 20).map(|number| format!("{number}")).collect();
        for _ in 0..2 {
            for key in &keys {
                series_of(&known, key, &mut made);
            }
        }
        assert_eq!(made, keys.len() + 20);
        assert_eq!(known.nodes.load(Relaxed), MOST);
    }

    #[test]
    fn threads_that_come_together_all_find_their_series() {
        let known = Known::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..500 {
                        let key = format!("{}", number % 100);
                        let series = series_of(&known, &key, &mut 0);
                        assert_eq!(series, format!("series of {key}"));
                    }
                });
            }
        });
        let mut made = 0;
        series_of(&known, "7", &mut made);
        assert_eq!(made, 0);
    }

    #[test]
    fn texts_that_differ_in_a_byte_or_in_length_have_numbers_of_their_own() {
        let texts = [
            "",
            "/",
            "/a",
            "/b",
            "/items",
            "/items/",
            "/items/{id}",
            "/items/{ie}",
        ];
        let long = ["/items/{id}/parts/{part}", "/items/{id}/parts/{port}"];
        let numbers: HashSet<u64> = texts
            .iter()
            .chain(&long)
            .map(|text| Mixed::NOTHING.text(text).number() % (1 << 32))
            .collect();
        assert_eq!(numbers.len(), texts.len() + long.len());
    }
}
