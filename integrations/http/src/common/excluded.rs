//! Which URLs are not instrumented?

use std::cell::RefCell;

use http::Uri;
use regex::bytes::RegexSet;

use super::patterns::{PatternError, compiled, compiled_if_right, listed};
use super::warn::warn;

const GENERAL: &str = "OTEL_RUST_HTTP_EXCLUDED_URLS";

/// URLs that are not instrumented: those in which one of some regular expressions is found.
///
/// An expression is searched in the path with its query, and in the whole URL
/// (`http://host/path?query`): `^/health` and `^https://internal\.` both do what they say. A comma
/// ends an expression, so that `a{1,2}` has to be given to [`new`](ExcludedUrls::new).
///
/// # Cost
///
/// One branch if there are no expressions, else one or two searches for all of them at once. No
/// allocation.
///
/// # Example
///
/// ```
/// use telemetry_rt_http::ExcludedUrls;
///
/// let excluded = ExcludedUrls::parse("^/health, \\.ico$").unwrap();
/// assert!(excluded.contains(&"/healthz".parse().unwrap()));
/// assert!(!excluded.contains(&"/items/7".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ExcludedUrls {
    expressions: Option<RegexSet>,
}

impl ExcludedUrls {
    /// URLs in which one of these regular expressions is found.
    ///
    /// # Errors
    ///
    /// If one is not a regular expression; the error names it.
    pub fn new<'e>(
        expressions: impl IntoIterator<Item = &'e str>,
    ) -> Result<ExcludedUrls, PatternError> {
        let expressions = compiled(expressions)?;
        Ok(ExcludedUrls { expressions })
    }

    /// URLs in which one of a comma list of regular expressions is found.
    ///
    /// # Errors
    ///
    /// As [`new`](ExcludedUrls::new).
    pub fn parse(list: &str) -> Result<ExcludedUrls, PatternError> {
        ExcludedUrls::new(listed(list))
    }

    /// What the environment says: the variable `OTEL_RUST_{KEY}_EXCLUDED_URLS` if a key is given and
    /// it is set, else `OTEL_RUST_HTTP_EXCLUDED_URLS`.
    ///
    /// An expression that is none is a warning, and the others hold.
    pub fn from_env(key: Option<&str>) -> ExcludedUrls {
        ExcludedUrls::from_variables(
            key,
            |name| std::env::var(name).ok(),
            |warning| warn(format_args!("{warning}")),
        )
    }

    fn from_variables(
        key: Option<&str>,
        value: impl Fn(&str) -> Option<String>,
        mut warn: impl FnMut(String),
    ) -> ExcludedUrls {
        let own = key.map(str::to_ascii_uppercase);
        let own = own.map(|key| format!("OTEL_RUST_{key}_EXCLUDED_URLS"));
        let of = |name: &str| Some((name.to_owned(), value(name)?));
        let Some((name, list)) = own.as_deref().and_then(of).or_else(|| of(GENERAL)) else {
            return ExcludedUrls::default();
        };
        let (expressions, wrong) = compiled_if_right(listed(&list));
        for error in wrong {
            warn(format!("{name}: {error}; it is left out"));
        }
        ExcludedUrls { expressions }
    }

    /// Whether nothing is excluded.
    pub fn is_empty(&self) -> bool {
        self.expressions.is_none()
    }

    /// Whether this URL is not to be instrumented.
    pub fn contains(&self, url: &Uri) -> bool {
        let authority = url.authority().map_or("", |authority| authority.as_str());
        self.has(url, url.scheme_str().unwrap_or("http"), authority)
    }

    /// The same for a URL that does not say all of itself, as in a request to a server.
    pub(crate) fn has(&self, url: &Uri, scheme: &str, authority: &str) -> bool {
        match &self.expressions {
            None => false,
            Some(expressions) => is_found(expressions, url, scheme, authority),
        }
    }
}

fn is_found(expressions: &RegexSet, url: &Uri, scheme: &str, authority: &str) -> bool {
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    if expressions.is_match(target.as_bytes()) {
        return true;
    }
    if authority.is_empty() {
        return false;
    }
    with_text(&[scheme, "://", authority, target], |whole| {
        expressions.is_match(whole)
    })
}

/// Calls `then` with the parts as one text, which takes no memory of its own.
fn with_text<R>(parts: &[&str], then: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    /// A URL that was longer than this does not keep its memory.
    const KEPT: usize = 16 * 1024;
    TEXT.with_borrow_mut(|text| {
        text.clear();
        parts
            .iter()
            .for_each(|part| text.extend_from_slice(part.as_bytes()));
        let result = then(text);
        text.shrink_to(KEPT);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(key: Option<&str>, variables: &[(&str, &str)]) -> (ExcludedUrls, Vec<String>) {
        let mut warnings = Vec::new();
        let value = |name: &str| {
            let variable = variables.iter().find(|(variable, _)| *variable == name);
            variable.map(|(_, value)| (*value).to_owned())
        };
        let excluded = ExcludedUrls::from_variables(key, value, |warning| warnings.push(warning));
        (excluded, warnings)
    }

    fn contains(excluded: &ExcludedUrls, url: &str) -> bool {
        excluded.contains(&url.parse().unwrap())
    }

    #[test]
    fn expressions_are_searched_in_target_and_whole_url() {
        let excluded = ExcludedUrls::parse("^/health$,^https://in\\.,q=7, (?i)ICO$").unwrap();
        for url in [
            "/health",
            "http://a/health",
            "https://in.example/x",
            "/a?q=7",
            "/x.ico",
        ] {
            assert!(contains(&excluded, url), "{url}");
        }
        for url in [
            "/healthy",
            "http://in.example/x",
            "/",
            "*",
            "https://health/",
        ] {
            assert!(!contains(&excluded, url), "{url}");
        }
        assert!(excluded.has(&"/x".parse().unwrap(), "https", "in.example"));
    }

    #[test]
    fn nothing_is_excluded_by_an_empty_list() {
        let excluded = ExcludedUrls::parse(" , ").unwrap();
        assert!(excluded.is_empty() && !contains(&excluded, "/"));
    }

    #[test]
    fn the_variable_of_the_key_goes_before_the_general_one() {
        let both = [("OTEL_RUST_SHOP_EXCLUDED_URLS", "a"), (GENERAL, "b")];
        let table = [(None, "/b"), (Some("shop"), "/a"), (Some("other"), "/b")];
        for (key, url) in table {
            let (excluded, warnings) = from(key, &both);
            assert!(contains(&excluded, url) && warnings.is_empty());
            assert_ne!(contains(&excluded, "/a"), contains(&excluded, "/b"));
        }
        let (excluded, _) = from(
            Some("SHOP"),
            &[("OTEL_RUST_SHOP_EXCLUDED_URLS", ""), (GENERAL, "b")],
        );
        assert!(excluded.is_empty());
    }

    #[test]
    fn a_wrong_expression_is_a_warning_and_the_rest_holds() {
        let (excluded, warnings) = from(None, &[(GENERAL, "a(,b")]);
        assert!(contains(&excluded, "/b"));
        assert_eq!(warnings.len(), 1);
        for part in [GENERAL, "\"a(\"", "unclosed", "left out"] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
    }
}
