//! What an instrument is called, and whether it may be.

use std::time::SystemTime;

use opentelemetry::InstrumentationScope;
use telemetry_rt_clock::wall;

use crate::export::diagnostics::warn;
use crate::export::metric::{Metric, MetricData};

/// What an instrument is called, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentSpec {
    /// Its name: a letter, then up to 254 letters, digits and `_` `.` `-` `/`. Case makes no
    /// difference.
    pub name: &'static str,
    /// Its unit in UCUM: `s`, `By`, `{request}`.
    pub unit: &'static str,
    /// What it says, in a sentence.
    pub description: &'static str,
}

const LONGEST_NAME: usize = 255;

/// An instrument that there is.
#[derive(Debug)]
pub(super) struct Head {
    scope: InstrumentationScope,
    spec: InstrumentSpec,
    /// When it was made.
    pub(super) start: SystemTime,
}

impl Head {
    /// None, with a warning, if the name is not accepted.
    pub(super) fn new(scope: &InstrumentationScope, spec: InstrumentSpec) -> Option<Head> {
        if !is_name(spec.name) {
            warn(format_args!(
                "metric {:?}: nothing is recorded; accepted: a name of a letter and up to {} letters, \
                 digits and _ . - /",
                spec.name,
                LONGEST_NAME - 1
            ));
            return None;
        }
        Some(Head {
            scope: scope.clone(),
            spec,
            start: wall(),
        })
    }

    /// Whether an instrument that is asked for is this one.
    pub(super) fn is(&self, scope: &InstrumentationScope, spec: &InstrumentSpec) -> bool {
        self.spec.name.eq_ignore_ascii_case(spec.name)
            && self.spec.unit == spec.unit
            && self.scope == *scope
    }

    pub(super) fn metric(&self, data: MetricData) -> Metric {
        Metric {
            scope: self.scope.clone(),
            name: self.spec.name.into(),
            description: self.spec.description.into(),
            unit: self.spec.unit.into(),
            data,
        }
    }
}

/// Whether bounds are finite and rise. If not, that is a warning.
pub(super) fn are_bounds(name: &str, bounds: &[f64]) -> bool {
    let finite = bounds.iter().all(|bound| bound.is_finite());
    let are = finite && bounds.is_sorted_by(|one, next| one < next);
    if !are {
        warn(format_args!(
            "metric {name}: nothing is recorded with the bounds {bounds:?}; accepted: finite numbers, \
             each greater than the one before"
        ));
    }
    are
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(is_inner)
        && name.len() <= LONGEST_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_api_accepts() {
        let longest = "x".repeat(LONGEST_NAME);
        let too_long = "x".repeat(LONGEST_NAME + 1);
        let accepted = ["a", "http.server.duration", "A_b-c/d.9", &longest];
        let refused = ["", "9a", "_a", "a b", "ä", &too_long];
        assert!(accepted.iter().all(|name| is_name(name)));
        assert!(!refused.iter().any(|name| is_name(name)));
    }

    #[test]
    fn bounds_are_finite_and_rise() {
        assert!(are_bounds("m", &[]) && are_bounds("m", &[-1.0, 0.0, 0.5]));
        for refused in [
            [1.0, 1.0],
            [2.0, 1.0],
            [0.0, f64::INFINITY],
            [f64::NAN, 1.0],
        ] {
            assert!(!are_bounds("m", &refused), "{refused:?}");
        }
    }
}
