//! What does a proxy say of the client that it forwards requests of?
//!
//! `Forwarded` (RFC 9110's relative RFC 7239) goes before the `X-Forwarded-*` headers; of a list the
//! first element is meant, which the proxy that is nearest to the client wrote.

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

/// Original client, scheme and host of a request; what the proxy did not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'h> {
    pub(super) client: Option<&'h str>,
    pub(super) scheme: Option<&'h str>,
    pub(super) host: Option<&'h str>,
}

impl<'h> Forwarded<'h> {
    pub(super) fn read(headers: &'h HeaderMap) -> Forwarded<'h> {
        if let Some(value) = first(headers, &FORWARDED) {
            return Forwarded::parse(value);
        }
        let header = |name| first(headers, &HeaderName::from_static(name));
        Forwarded {
            client: header("x-forwarded-for").map(without_port),
            scheme: header("x-forwarded-proto"),
            host: header("x-forwarded-host"),
        }
    }

    fn parse(element: &'h str) -> Forwarded<'h> {
        let mut forwarded = Forwarded::default();
        for pair in element.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("for") => {
                    forwarded.client = Some(without_port(value));
                }
                name if name.eq_ignore_ascii_case("proto") => forwarded.scheme = Some(value),
                name if name.eq_ignore_ascii_case("host") => forwarded.host = Some(value),
                _ => {}
            }
        }
        forwarded
    }
}

fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    let first = value.split(',').next()?.trim();
    (!first.is_empty()).then_some(first)
}

/// `1.2.3.4:5` and `[::1]:5` without their ports and brackets.
fn without_port(node: &str) -> &str {
    if let Some(rest) = node.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match node.split_once(':') {
        // An address of version 6 without brackets has more of them.
        Some((address, port)) if !port.contains(':') => address,
        _ => node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(lines: &[(&'static str, &'static str)]) -> (String, String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let read = Forwarded::read(&headers);
        let text = |part: Option<&str>| part.unwrap_or("-").to_owned();
        (text(read.client), text(read.scheme), text(read.host))
    }

    fn are(client: &str, scheme: &str, host: &str) -> (String, String, String) {
        (client.to_owned(), scheme.to_owned(), host.to_owned())
    }

    #[test]
    fn the_element_that_is_nearest_to_the_client_counts() {
        assert_eq!(read(&[]), are("-", "-", "-"));
        assert_eq!(
            read(&[(
                "forwarded",
                "For=\"[2001:db8::1]:4711\"; proto=https;host=a.example, for=b"
            )]),
            are("2001:db8::1", "https", "a.example")
        );
        assert_eq!(
            read(&[
                ("x-forwarded-for", "10.0.0.1:80, 10.0.0.2"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "b.example"),
            ]),
            are("10.0.0.1", "https", "b.example")
        );
        assert_eq!(read(&[("x-forwarded-for", "::1")]), are("::1", "-", "-"));
        assert_eq!(
            read(&[("forwarded", ";;=;for"), ("x-forwarded-for", "a")]),
            are("-", "-", "-")
        );
    }
}
