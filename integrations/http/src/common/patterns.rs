//! What is a comma list of regular expressions, and what is wrong with one that is none?
//!
//! Texts are bytes here, and classes such as `\w` are those of ASCII: URLs and names of headers are
//! nothing else.

use std::error::Error;
use std::fmt;

use regex::bytes::{RegexSet, RegexSetBuilder};

/// An expression that is none, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    expression: String,
    reason: String,
}

impl PatternError {
    fn new(expression: &str, error: &regex::Error) -> PatternError {
        // The last line says what is wrong; those before it draw where.
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim();
        PatternError {
            expression: expression.to_owned(),
            reason: reason.trim_start_matches("error: ").to_owned(),
        }
    }

    /// The expression that is wrong.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a regular expression: {}; accepted are those of the crate `regex`, \
             separated by commas",
            self.expression, self.reason
        )
    }
}

impl Error for PatternError {}

/// The parts of a comma list.
pub(crate) fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// All of the expressions as one set; `None` if there are none.
pub(crate) fn compiled<'e>(
    expressions: impl IntoIterator<Item = &'e str>,
) -> Result<Option<RegexSet>, PatternError> {
    let expressions: Vec<&str> = expressions.into_iter().collect();
    match expressions.as_slice() {
        [] => Ok(None),
        all => match set(all) {
            Ok(set) => Ok(Some(set)),
            Err(error) => Err(at_fault(all, &error)),
        },
    }
}

/// The expressions that are right as one set, and what is wrong with the others.
pub(crate) fn compiled_if_right<'e>(
    expressions: impl IntoIterator<Item = &'e str>,
) -> (Option<RegexSet>, Vec<PatternError>) {
    let mut wrong = Vec::new();
    let right: Vec<&str> = expressions
        .into_iter()
        .filter(|expression| match set(&[expression]) {
            Ok(_) => true,
            Err(error) => {
                wrong.push(PatternError::new(expression, &error));
                false
            }
        })
        .collect();
    match compiled(right) {
        Ok(set) => (set, wrong),
        // Each is right, all together are too much.
        Err(error) => (None, [wrong, vec![error]].concat()),
    }
}

fn set(expressions: &[&str]) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(expressions).unicode(false).build()
}

#[cold]
fn at_fault(all: &[&str], error: &regex::Error) -> PatternError {
    let wrong = all
        .iter()
        .find_map(|expression| Some((expression, set(&[expression]).err()?)));
    match wrong {
        Some((expression, error)) => PatternError::new(expression, &error),
        None => PatternError::new(&all.join(","), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_expression_and_what_is_wrong_with_it() {
        let error = compiled(["a", "b(", "c"]).unwrap_err();
        assert_eq!(error.expression(), "b(");
        let text = error.to_string();
        assert!(
            text.contains("\"b(\"") && text.contains("unclosed group"),
            "{text}"
        );
        assert!(text.contains("accepted are"), "{text}");
    }

    #[test]
    fn a_wrong_expression_does_not_take_the_others_with_it() {
        let (set, wrong) = compiled_if_right(["a", "b(", "(?i)c"]);
        let set = set.unwrap();
        assert!(set.is_match(b"a") && set.is_match(b"C") && !set.is_match(b"b"));
        assert_eq!(wrong.len(), 1);
    }
}
