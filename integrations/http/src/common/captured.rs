//! Which headers are attributes of a span, and which of those keep their value to themselves?

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use regex::bytes::RegexSet;

use super::patterns::{PatternError, compiled, compiled_if_right, listed};
use super::redact::Redaction;
use super::text::bounded;
use super::warn::warn;

/// As many lines of one header are kept, as many bytes of each, and as many headers of one message.
const MOST_VALUES: usize = 16;
const LONGEST_VALUE: usize = 1024;
const MOST_HEADERS: usize = 64;

const REDACTED: &str = "[REDACTED]";

/// Fields whose values are redacted beside those that are known to be secret.
const SANITIZED: &str = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS";

/// A list of names of headers, in any case.
///
/// A part is a name, or a regular expression that fits a whole name; `*` is all of them.
///
/// # Example
///
/// ```
/// use telemetry_rt_http::HeaderList;
///
/// let list = HeaderList::parse("content-type, x-shop-.*").unwrap();
/// assert!(list.contains(&"x-shop-basket".parse().unwrap()));
/// assert!(!list.contains(&"host".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct HeaderList {
    names: Vec<HeaderName>,
    expressions: Option<RegexSet>,
}

impl HeaderList {
    /// The headers of a comma list.
    ///
    /// # Errors
    ///
    /// If a part is neither a name nor a regular expression; the error names it.
    pub fn parse(list: &str) -> Result<HeaderList, PatternError> {
        let (names, rest) = names_and_rest(list);
        let rest = rest.iter().map(|expression| &**expression);
        Ok(HeaderList {
            names,
            expressions: compiled(rest)?,
        })
    }

    /// The list in a variable of the environment. A part that is wrong is a warning, and the others
    /// hold.
    pub(crate) fn from_env(variable: &str) -> HeaderList {
        let (names, rest) = names_and_rest(&std::env::var(variable).unwrap_or_default());
        let (expressions, wrong) = compiled_if_right(rest.iter().map(|expression| &**expression));
        for error in wrong {
            warn(format_args!("{variable}: {error}; it is left out"));
        }
        HeaderList { names, expressions }
    }

    /// Whether this header is on the list.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.names.contains(name) || self.matches(name)
    }

    fn matches(&self, name: &HeaderName) -> bool {
        let expressions = self.expressions.as_ref();
        expressions.is_some_and(|expressions| expressions.is_match(name.as_str().as_bytes()))
    }
}

fn names_and_rest(list: &str) -> (Vec<HeaderName>, Vec<String>) {
    let (names, rest): (Vec<&str>, Vec<&str>) = listed(list).partition(|part| is_name(part));
    let names = names
        .iter()
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let rest = rest.iter().map(|part| match *part {
        "*" => ".*".to_owned(),
        part => format!("(?i)^(?:{part})$"),
    });
    (names.collect(), rest.collect())
}

/// A name that an expression of the same letters would not mean differently.
fn is_name(part: &str) -> bool {
    part.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whose values are not shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sanitizer {
    more: HeaderList,
    shown: HeaderList,
    urls: Redaction,
}

impl Sanitizer {
    /// Those that are known to be secret, and those that the environment names.
    /// What is redacted of URLs is so in headers that are URLs, too.
    pub(crate) fn from_env(urls: Redaction) -> Sanitizer {
        Sanitizer {
            more: HeaderList::from_env(SANITIZED),
            shown: HeaderList::default(),
            urls,
        }
    }

    /// Shows these, whatever else is said of them.
    pub(crate) fn show(&mut self, shown: HeaderList) {
        self.shown = shown;
    }

    fn hides(&self, name: &HeaderName) -> bool {
        (is_secret(name.as_str()) || self.more.contains(name)) && !self.shown.contains(name)
    }

    fn shown(&self, name: &HeaderName, value: &HeaderValue) -> StringValue {
        let text = String::from_utf8_lossy(value.as_bytes());
        if is_url(name.as_str()) && !self.shown.contains(name) {
            return kept(&self.urls.reference(&text));
        }
        kept(&text)
    }
}

fn kept(text: &str) -> StringValue {
    bounded(text, LONGEST_VALUE).to_owned().into()
}

/// Whether the value of a header of this name is a URL, or what comes after the host of one.
fn is_url(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "referer",
        "location",
        "content-location",
        "destination",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-forwarded-uri",
    ];
    NAMES.contains(&name)
}

/// Whether a name says that its value is a credential.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 16] = [
        "authorization",
        "cookie",
        "jwt",
        "auth-key",
        "access-key",
        "private-key",
        "token",
        "secret",
        "password",
        "passwd",
        "api-key",
        "apikey",
        "api_key",
        "credential",
        "session",
        "signature",
    ];
    PARTS.iter().any(|part| name.contains(part))
}

/// The headers of one kind of message that become attributes.
#[derive(Clone, Debug)]
pub(crate) struct CapturedHeaders {
    /// `http.request.header.` or `http.response.header.`
    prefix: &'static str,
    /// The names of the list with the keys of their attributes.
    keys: Vec<(HeaderName, Key)>,
    list: HeaderList,
    sanitizer: Sanitizer,
}

impl CapturedHeaders {
    pub(crate) fn of_requests(list: HeaderList, sanitizer: Sanitizer) -> CapturedHeaders {
        CapturedHeaders::new("http.request.header.", list, sanitizer)
    }

    pub(crate) fn of_responses(list: HeaderList, sanitizer: Sanitizer) -> CapturedHeaders {
        CapturedHeaders::new("http.response.header.", list, sanitizer)
    }

    fn new(prefix: &'static str, list: HeaderList, sanitizer: Sanitizer) -> CapturedHeaders {
        let key = |name: &HeaderName| (name.clone(), key(prefix, name));
        let keys = list.names.iter().map(key).collect();
        CapturedHeaders {
            prefix,
            keys,
            list,
            sanitizer,
        }
    }

    /// Whether no header is captured.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.list.expressions.is_none()
    }

    /// Adds the attributes of a message.
    ///
    /// Cost: one branch if nothing is captured.
    pub(crate) fn append(&self, headers: &HeaderMap, attributes: &mut Vec<KeyValue>) {
        if self.is_empty() {
            return;
        }
        for (name, key) in &self.keys {
            if headers.contains_key(name) {
                attributes.push(KeyValue::new(key.clone(), self.values(name, headers)));
            }
        }
        let fitting = headers.keys().filter(|name| self.fits_expression(name));
        for name in fitting.take(MOST_HEADERS) {
            attributes.push(KeyValue::new(
                key(self.prefix, name),
                self.values(name, headers),
            ));
        }
    }

    fn fits_expression(&self, name: &HeaderName) -> bool {
        self.list.matches(name) && !self.list.names.contains(name)
    }

    fn values(&self, name: &HeaderName, headers: &HeaderMap) -> Value {
        let is_hidden = self.sanitizer.hides(name);
        let values = headers.get_all(name).iter().take(MOST_VALUES);
        let values = values.map(|value| {
            if is_hidden {
                REDACTED.into()
            } else {
                self.sanitizer.shown(name, value)
            }
        });
        Value::Array(Array::String(values.collect()))
    }
}

fn key(prefix: &str, name: &HeaderName) -> Key {
    // The names of a `HeaderMap` are lower case already.
    Key::from(format!("{prefix}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn captured(list: &str, shown: &str, lines: &[(&str, &str)]) -> Vec<String> {
        let mut sanitizer = Sanitizer::default();
        sanitizer.show(HeaderList::parse(shown).unwrap());
        let captured = CapturedHeaders::of_requests(HeaderList::parse(list).unwrap(), sanitizer);
        let mut attributes = Vec::new();
        captured.append(&headers(lines), &mut attributes);
        attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.key, attribute.value))
            .collect()
    }

    #[test]
    fn headers_of_the_list_are_arrays_under_their_lower_case_names() {
        let lines = [
            ("Content-Type", "text/html"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("host", "h"),
        ];
        assert_eq!(
            captured("CONTENT-TYPE, X-.*, absent", "", &lines),
            [
                "http.request.header.content-type=[\"text/html\"]",
                "http.request.header.x-a=[\"1\",\"2\"]",
            ]
        );
        assert_eq!(captured("*,x-a", "", &lines).len(), 3);
        assert_eq!(captured("", "", &lines).len(), 0);
    }

    #[test]
    fn credentials_are_redacted_unless_they_are_allowed() {
        let lines = [
            ("authorization", "a"),
            ("cookie", "b"),
            ("x-api-key", "c"),
            ("x-csrf-token", "d"),
            ("x-forwarded-authorization", "e"),
            ("cookie2", "f"),
            ("x-auth-key", "g"),
            ("x-jwt-assertion", "h"),
        ];
        for text in captured("*", "", &lines) {
            assert!(text.ends_with("=[\"[REDACTED]\"]"), "{text}");
        }
        let texts = captured("cookie,authorization", "cookie", &lines);
        assert_eq!(texts[0], "http.request.header.cookie=[\"b\"]");
        assert_eq!(
            texts[1],
            "http.request.header.authorization=[\"[REDACTED]\"]"
        );
    }

    #[test]
    fn headers_that_are_urls_are_redacted_as_urls_are() {
        let lines = [
            ("referer", "https://u:p@a/b?token=1&c=2"),
            ("x-a", "?token=1"),
        ];
        assert_eq!(
            captured("*", "", &lines),
            [
                "http.request.header.referer=[\"https://REDACTED:REDACTED@a/b?token=REDACTED&c=2\"]",
                "http.request.header.x-a=[\"?token=1\"]",
            ]
        );
        assert!(captured("*", "referer", &lines)[0].contains("u:p@a/b?token=1"));
    }

    #[test]
    fn number_and_length_of_values_are_bounded() {
        let long = "v".repeat(LONGEST_VALUE + 1);
        let lines = vec![("x-a", &*long); MOST_VALUES + 1];
        let text = captured("x-a", "", &lines).remove(0);
        assert_eq!(text.matches('v').count(), MOST_VALUES * LONGEST_VALUE);
    }

    #[test]
    fn an_expression_that_is_none_is_named() {
        assert!(
            HeaderList::parse("a,b(")
                .unwrap_err()
                .expression()
                .contains("b(")
        );
    }
}
