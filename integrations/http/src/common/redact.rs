//! What of a URL must not be in a span? Credentials: user and password before the host, and the
//! values of query parameters that are known to be secret.
//!
//! Keys are compared as a server would read them: percent-encoded names and `+` are decoded, and a
//! `;` may begin a parameter as `&` does. What is cut is cut to the next `&`, so that a `;` within a
//! secret does not save the rest of it.

use std::borrow::Cow;

use http::Uri;

/// The keys that the semantic conventions name, of today (1.42) and of before. Their case counts.
const BY_CONVENTION: &[&str] = &[
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];

/// Keys that say of themselves that their value is a credential, in any case. The conventions ask to
/// scrub what can be identified as such.
const BY_MEANING: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "client_secret",
    "id_token",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "token",
];

const REDACTED: &str = "REDACTED";

/// Which query parameters are secret.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redaction {
    /// Beside those that always are; their case counts.
    more: Vec<Box<str>>,
}

impl Redaction {
    /// Has the values of these keys redacted as well.
    pub(crate) fn add(&mut self, keys: impl IntoIterator<Item = impl AsRef<str>>) {
        self.more
            .extend(keys.into_iter().map(|key| key.as_ref().into()));
    }

    /// `url.query`. Cost: nothing is allocated unless something is redacted.
    pub(crate) fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let mut redacted = String::new();
        let mut copied = 0;
        for value in self.secrets(query) {
            redacted.push_str(&query[copied..value.start]);
            redacted.push_str(REDACTED);
            copied = value.end;
        }
        if copied == 0 {
            return Cow::Borrowed(query);
        }
        redacted.push_str(&query[copied..]);
        Cow::Owned(redacted)
    }

    /// `url.full`: all that is known of the URL, without user and password.
    pub(crate) fn full_url(&self, uri: &Uri) -> String {
        let mut url = String::with_capacity(64);
        if let Some(scheme) = uri.scheme_str() {
            url.push_str(scheme);
            url.push_str("://");
        }
        if let Some(authority) = uri.authority() {
            push_authority(&mut url, authority.as_str());
        }
        url.push_str(uri.path());
        if let Some(query) = uri.query() {
            url.push('?');
            url.push_str(&self.query(query));
        }
        url
    }

    /// A URL that may be relative, and have a fragment with parameters, as headers have it.
    pub(crate) fn reference(&self, reference: &str) -> String {
        let start = reference.find(['?', '#']).unwrap_or(reference.len());
        let (place, mut rest) = reference.split_at(start);
        let mut redacted = String::with_capacity(reference.len());
        push_place(&mut redacted, place);
        while !rest.is_empty() {
            let (mark, parameters) = rest.split_at(1);
            let end = parameters.find('#').unwrap_or(parameters.len());
            redacted.push_str(mark);
            redacted.push_str(&self.query(&parameters[..end]));
            rest = &parameters[end..];
        }
        redacted
    }

    /// Where the secret values are.
    fn secrets(&self, query: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
        parts(query, b'&').filter_map(|pair| {
            let start = self.secret_in(&query[pair.clone()])?;
            Some(pair.start + start..pair.end)
        })
    }

    /// Where in this part, which has no `&` in it, a secret value begins.
    fn secret_in(&self, pair: &str) -> Option<usize> {
        parts(pair, b';').find_map(|part| {
            let key = pair[part.clone()].split_once('=')?.0;
            self.is_secret(key).then(|| part.start + key.len() + 1)
        })
    }

    fn is_secret(&self, key: &str) -> bool {
        let more = self.more.iter().map(|key| &**key);
        BY_CONVENTION
            .iter()
            .copied()
            .chain(more)
            .any(|secret| reads_as(key, secret, u8::eq))
            || BY_MEANING
                .iter()
                .any(|secret| reads_as(key, secret, u8::eq_ignore_ascii_case))
    }
}

/// The parts of a text between separators, by their places.
fn parts(text: &str, separator: u8) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let length = text.as_bytes()[start..]
            .iter()
            .position(|byte| *byte == separator);
        next = length.map(|length| start + length + 1);
        Some(start..length.map_or(text.len(), |length| start + length))
    })
}

/// Whether a key of a query, decoded, is this one.
fn reads_as(key: &str, name: &str, equal: fn(&u8, &u8) -> bool) -> bool {
    // Each character is one to three bytes of the key.
    if !(name.len()..=3 * name.len()).contains(&key.len()) {
        return false;
    }
    let mut rest = key.as_bytes();
    for expected in name.as_bytes() {
        let Some((byte, after)) = decoded(rest) else {
            return false;
        };
        if !equal(&byte, expected) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The first byte that is meant, and what comes after it.
fn decoded(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Some((high << 4 | low, rest)),
            _ => Some((b'%', &text[1..])),
        },
        [b'+', rest @ ..] => Some((b' ', rest)),
        [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// What is before the parameters: there is an authority in it if `//` begins one.
fn push_place(url: &mut String, place: &str) {
    let Some((scheme, rest)) = place.split_once("//") else {
        return url.push_str(place);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    url.push_str(scheme);
    url.push_str("//");
    push_authority(url, &rest[..end]);
    url.push_str(&rest[end..]);
}

fn push_authority(url: &mut String, authority: &str) {
    match authority.rsplit_once('@') {
        Some((_, host)) => {
            url.push_str("REDACTED:REDACTED@");
            url.push_str(host);
        }
        None => url.push_str(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> String {
        Redaction::default().query(text).into_owned()
    }

    #[test]
    fn what_has_no_secret_is_left_as_it_is() {
        for text in [
            "",
            "a=1",
            "&&",
            "q=sig&signature=1",
            "sigh=1",
            "sig",
            "=x",
            "a=%zz&%",
        ] {
            assert!(
                matches!(Redaction::default().query(text), Cow::Borrowed(same) if same == text)
            );
        }
    }

    #[test]
    fn values_of_secret_keys_are_redacted_however_they_are_written() {
        let table = [
            ("sig=abc", "sig=REDACTED"),
            ("a=1&sig=abc&b=2", "a=1&sig=REDACTED&b=2"),
            ("sig=a&sig=b", "sig=REDACTED&sig=REDACTED"),
            ("%73ig=abc", "%73ig=REDACTED"),
            ("%73%69%67=abc", "%73%69%67=REDACTED"),
            ("sig=", "sig=REDACTED"),
            ("sig=a=b", "sig=REDACTED"),
            ("a=1;sig=abc;def&b=2", "a=1;sig=REDACTED&b=2"),
            (
                "X-Amz-Signature=1&AWSAccessKeyId=2",
                "X-Amz-Signature=REDACTED&AWSAccessKeyId=REDACTED",
            ),
            (
                "Access_Token=1&PASSWORD=2",
                "Access_Token=REDACTED&PASSWORD=REDACTED",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(query(text), expected);
        }
    }

    #[test]
    fn an_application_adds_keys_of_its_own() {
        let mut redaction = Redaction::default();
        redaction.add(["code", "my key"]);
        assert_eq!(
            redaction.query("code=1&my+key=2&CODE=3"),
            "code=REDACTED&my+key=REDACTED&CODE=3"
        );
    }

    #[test]
    fn a_reference_has_no_credentials() {
        let table = [
            ("", ""),
            ("/a/b", "/a/b"),
            ("../a?token=1#b", "../a?token=REDACTED#b"),
            ("?sig=a?b", "?sig=REDACTED"),
            (
                "/cb#access_token=1&state=2",
                "/cb#access_token=REDACTED&state=2",
            ),
            ("/cb?a=1#id_token=ä", "/cb?a=1#id_token=REDACTED"),
            ("https://u:p@host", "https://REDACTED:REDACTED@host"),
            ("//u@host/a@b", "//REDACTED:REDACTED@host/a@b"),
            ("https://host/@a", "https://host/@a"),
            ("#", "#"),
        ];
        for (reference, expected) in table {
            assert_eq!(Redaction::default().reference(reference), expected);
        }
    }

    #[test]
    fn a_whole_url_has_no_credentials() {
        let table = [
            (
                "http://u:p@host:81/a?sig=1",
                "http://REDACTED:REDACTED@host:81/a?sig=REDACTED",
            ),
            ("http://u@host/", "http://REDACTED:REDACTED@host/"),
            ("https://[::1]:8/a?b", "https://[::1]:8/a?b"),
            ("/a?b=c", "/a?b=c"),
            ("*", "*"),
        ];
        for (uri, expected) in table {
            assert_eq!(
                Redaction::default().full_url(&uri.parse().unwrap()),
                expected
            );
        }
    }
}
