//! What is known of a request before it is sent, as attributes.

use std::borrow::Cow;

use http::Uri;
use http::request::Parts;
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute::{
    HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_REQUEST_RESEND_COUNT, SERVER_ADDRESS,
    SERVER_PORT, URL_FULL, URL_SCHEME, URL_TEMPLATE,
};

use crate::client::connector::{address, port};
use crate::common::method::{Known, KnownMethods};
use crate::common::redact::Redaction;

/// The template that the path of a request was made from, such as `/orders/{id}`: an extension of
/// requests. It is part of the span's name and an attribute of span and metrics, so there should be
/// few of them.
///
/// ```
/// use telemetry_rt_http::UrlTemplate;
///
/// let request = http::Request::get("http://orders/orders/7")
///     .extension(UrlTemplate("/orders/{id}"))
///     .body(())
///     .unwrap();
/// # drop(request);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlTemplate(
    /// The template.
    pub &'static str,
);

/// How often a request was sent before, because of redirects and retries: an extension of requests,
/// for layers that send them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResendCount(
    /// 1 for the first that is sent again.
    pub u32,
);

/// What spans and metrics have in common.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) method: Known<'static>,
    pub(super) template: Option<UrlTemplate>,
    address: Cow<'static, str>,
    port: u16,
    scheme: Cow<'static, str>,
}

impl Facts {
    pub(super) fn new(parts: &Parts) -> Facts {
        Facts {
            method: KnownMethods::of_process().name(&parts.method),
            template: parts.extensions.get().copied(),
            address: address(&parts.uri).to_owned().into(),
            port: port(&parts.uri),
            scheme: scheme(&parts.uri),
        }
    }

    pub(super) fn span_name(&self) -> Cow<'static, str> {
        let method = self.method.in_span_name();
        match self.template {
            Some(UrlTemplate(template)) => format!("{method} {template}").into(),
            None => method.into(),
        }
    }

    /// What metrics of requests in flight tell apart.
    pub(super) fn of_active(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(12);
        attributes.push(KeyValue::new(HTTP_REQUEST_METHOD, self.method.attribute()));
        attributes.push(KeyValue::new(SERVER_ADDRESS, self.address.clone()));
        attributes.push(KeyValue::new(SERVER_PORT, i64::from(self.port)));
        attributes.push(KeyValue::new(URL_SCHEME, self.scheme.clone()));
        if let Some(UrlTemplate(template)) = self.template {
            attributes.push(KeyValue::new(URL_TEMPLATE, template));
        }
        attributes
    }

    /// What a span begins with.
    pub(super) fn of_span(&self, parts: &Parts, redaction: &Redaction) -> Vec<KeyValue> {
        let mut attributes = self.of_active();
        attributes.push(KeyValue::new(URL_FULL, redaction.full_url(&parts.uri)));
        if let Some(original) = self.method.original(&parts.method) {
            let original = original.to_owned();
            attributes.push(KeyValue::new(HTTP_REQUEST_METHOD_ORIGINAL, original));
        }
        if let Some(ResendCount(count)) = parts.extensions.get() {
            attributes.push(KeyValue::new(HTTP_REQUEST_RESEND_COUNT, i64::from(*count)));
        }
        attributes
    }
}

fn scheme(uri: &Uri) -> Cow<'static, str> {
    match uri.scheme_str() {
        Some("https") => "https".into(),
        None | Some("http") => "http".into(),
        Some(other) => other.to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(url: &str) -> Facts {
        Facts::new(&http::Request::get(url).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_port_is_that_of_the_url_or_of_the_scheme() {
        for (url, address, port) in [
            ("http://a/", "a", 80),
            ("https://a/", "a", 443),
            ("https://u:p@a:81/", "a", 81),
            ("http://[::1]:82/", "::1", 82),
        ] {
            let facts = facts(url);
            assert_eq!((&*facts.address, facts.port), (address, port), "{url}");
        }
    }

    #[test]
    fn a_span_is_named_by_its_method_and_the_template() {
        let request = http::Request::builder()
            .method("BREW")
            .uri("http://pot/7")
            .extension(UrlTemplate("/{pot}"));
        let parts = request.body(()).unwrap().into_parts().0;
        assert_eq!(Facts::new(&parts).span_name(), "HTTP /{pot}");
        assert_eq!(facts("http://a/b").span_name(), "GET");
    }
}
