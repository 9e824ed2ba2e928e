//! By which name is the method of a request known? One that is not on the list has no place in a
//! name or in a metric: whoever sends requests could make as many of them as he likes.

use std::sync::OnceLock;

use http::Method;

use super::text::bounded;

/// Replaces the list of known methods: a comma list, whose case counts.
const VARIABLE: &str = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";

/// Those of RFC 9110, PATCH, and QUERY; the most frequent ones first.
const USUAL: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "QUERY", "CONNECT", "TRACE",
];

/// What all methods are called that are not on the list.
const OTHER: &str = "_OTHER";

/// As many bytes are kept of a method that is not on the list.
const MOST_OF_ORIGINAL: usize = 64;

/// The methods that have names of their own.
#[derive(Debug)]
pub(crate) enum KnownMethods {
    Usual,
    These(Box<[String]>),
}

/// A method by the name that it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known<'k> {
    Named(&'k str),
    Other,
}

impl KnownMethods {
    /// The list of this process, from the environment; read once.
    pub(crate) fn of_process() -> &'static KnownMethods {
        static KNOWN: OnceLock<KnownMethods> = OnceLock::new();
        KNOWN.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(list) => KnownMethods::parse(&list),
            Err(_) => KnownMethods::Usual,
        })
    }

    /// An empty list leaves it at the usual ones, as with all standard variables.
    fn parse(list: &str) -> KnownMethods {
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let names: Box<[String]> = names.map(str::to_owned).collect();
        if names.is_empty() {
            return KnownMethods::Usual;
        }
        KnownMethods::These(names)
    }

    /// What the method is called in attributes and names.
    pub(crate) fn name(&self, method: &Method) -> Known<'_> {
        let method = method.as_str();
        let name = match self {
            KnownMethods::Usual => USUAL.iter().copied().find(|known| *known == method),
            KnownMethods::These(names) => names
                .iter()
                .map(String::as_str)
                .find(|known| *known == method),
        };
        name.map_or(Known::Other, Known::Named)
    }
}

impl<'k> Known<'k> {
    /// `http.request.method`.
    pub(crate) fn attribute(self) -> &'k str {
        match self {
            Known::Named(name) => name,
            Known::Other => OTHER,
        }
    }

    /// What the name of a span begins with.
    pub(crate) fn in_span_name(self) -> &'k str {
        match self {
            Known::Named(name) => name,
            Known::Other => "HTTP",
        }
    }

    /// `http.request.method_original`, which only those have that are not known.
    pub(crate) fn original(self, method: &Method) -> Option<&str> {
        match self {
            Known::Named(_) => None,
            Known::Other => Some(bounded(method.as_str(), MOST_OF_ORIGINAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_method_has_its_own_name() {
        for name in USUAL {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let known = KnownMethods::Usual.name(&method);
            assert_eq!((known.attribute(), known.in_span_name()), (name, name));
            assert_eq!(known.original(&method), None);
        }
    }

    #[test]
    fn any_other_is_other_and_its_original_is_bounded() {
        let long = "x".repeat(1000);
        for (name, original) in [("get", "get"), ("BREW", "BREW"), (&long, &long[..64])] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let known = KnownMethods::Usual.name(&method);
            assert_eq!(
                (known.attribute(), known.in_span_name()),
                ("_OTHER", "HTTP")
            );
            assert_eq!(known.original(&method), Some(original));
        }
    }

    #[test]
    fn a_list_replaces_the_usual_ones_and_an_empty_one_does_not() {
        let known = KnownMethods::parse(" BREW, get ");
        let brew = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(known.name(&brew), Known::Named("BREW"));
        assert_eq!(known.name(&Method::GET), Known::Other);
        assert_eq!(
            KnownMethods::parse(" , ").name(&Method::GET),
            Known::Named("GET")
        );
    }
}
