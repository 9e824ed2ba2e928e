//! Users' spans by the scopes that they were made in, without a copy of any.

use std::collections::HashMap;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;

/// A scope, and its spans in their order.
pub(super) struct Group<'a> {
    pub(super) scope: &'a InstrumentationScope,
    pub(super) spans: Vec<&'a SpanData>,
}

/// The scopes in the order of their first spans.
#[derive(Default)]
struct Groups<'a> {
    groups: Vec<Group<'a>>,
    /// Where those behind the first [`FEW`] are.
    places: HashMap<&'a InstrumentationScope, usize>,
}

/// So many scopes are compared one by one, which costs less than to hash one.
const FEW: usize = 8;

/// No group is empty.
pub(super) fn by_scope(spans: &[SpanData]) -> Vec<Group<'_>> {
    let mut groups = Groups::default();
    for span in spans {
        let place = groups.place_of(&span.instrumentation_scope);
        groups.groups[place].spans.push(span);
    }
    groups.groups
}

impl<'a> Groups<'a> {
    fn place_of(&mut self, scope: &'a InstrumentationScope) -> usize {
        let first = self.groups.iter().take(FEW);
        let known = first.map(|group| group.scope).position(|of| of == scope);
        known.unwrap_or_else(|| self.place_behind(scope))
    }

    fn place_behind(&mut self, scope: &'a InstrumentationScope) -> usize {
        let next = self.groups.len();
        let place = match next < FEW {
            true => next,
            false => *self.places.entry(scope).or_insert(next),
        };
        if place == next {
            let spans = Vec::new();
            self.groups.push(Group { scope, spans });
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::queue::tests::span;

    #[test]
    fn spans_of_few_and_of_many_scopes_stay_in_their_order() {
        for scopes in [1, 2, FEW, FEW + 1, 3 * FEW] {
            let spans: Vec<SpanData> = (0..100)
                .map(|number| SpanData {
                    name: number.to_string().into(),
                    instrumentation_scope: InstrumentationScope::builder("scope")
                        .with_version((number % scopes).to_string())
                        .build(),
                    ..span()
                })
                .collect();
            let groups = by_scope(&spans);
            assert_eq!(groups.len(), scopes);
            for (number, group) in groups.iter().enumerate() {
                assert_eq!(group.scope.version(), Some(&*number.to_string()));
                let names = group.spans.iter().map(|span| span.name.parse().unwrap());
                let expected: Vec<usize> = (number..100).step_by(scopes).collect();
                assert_eq!(names.collect::<Vec<usize>>(), expected);
            }
        }
    }
}
