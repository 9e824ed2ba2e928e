//! Where do the user and password of a URL go? Into the header `authorization`: in the URL a server
//! would not see them, and its log would.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::uri::{Authority, Parts};
use http::{HeaderValue, Request, Uri};
use percent_encoding::percent_decode_str;

/// Takes them out of the URL. A header that is there already is kept.
pub(super) fn into_header<B>(request: &mut Request<B>) {
    let Some((credentials, uri)) = split(request.uri()) else {
        return;
    };
    *request.uri_mut() = uri;
    let header = request.headers_mut().entry(AUTHORIZATION);
    header.or_insert_with(|| basic(&credentials));
}

/// What is before the `@`, and the URL without it.
fn split(uri: &Uri) -> Option<(String, Uri)> {
    let (credentials, host) = uri.authority()?.as_str().rsplit_once('@')?;
    let mut parts: Parts = uri.clone().into_parts();
    parts.authority = Some(host.parse::<Authority>().ok()?);
    Some((credentials.to_owned(), Uri::from_parts(parts).ok()?))
}

/// RFC 7617, section 2.
fn basic(credentials: &str) -> HeaderValue {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let text = format!("Basic {}", STANDARD.encode(plain));
    let mut value = HeaderValue::try_from(text).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(url: &str) -> (String, Option<String>) {
        let mut request = Request::get(url).body(()).unwrap();
        into_header(&mut request);
        let header = request.headers().get(AUTHORIZATION);
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        (request.uri().to_string(), header)
    }

    #[test]
    fn user_and_password_become_a_header() {
        let basic = |text: &str| Some(format!("Basic {text}"));
        assert_eq!(
            sent("http://Aladdin:open%20sesame@host:81/a?b"),
            (
                "http://host:81/a?b".to_owned(),
                basic("QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
            )
        );
        assert_eq!(
            sent("http://u@[::1]/"),
            ("http://[::1]/".to_owned(), basic("dTo="))
        );
        assert_eq!(sent("http://host/@"), ("http://host/@".to_owned(), None));
    }

    #[test]
    fn a_header_that_is_there_is_kept() {
        let mut request = Request::get("http://u:p@host/")
            .header(AUTHORIZATION, "Bearer b")
            .body(())
            .unwrap();
        into_header(&mut request);
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer b");
        assert_eq!(*request.uri(), "http://host/");
    }
}
