//! Which attributes does a span have from its start? All that are known then, because samplers see
//! no others.

use http::Uri;
use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_ROUTE,
    NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, NETWORK_PROTOCOL_VERSION, SERVER_ADDRESS, SERVER_PORT,
    URL_PATH, URL_QUERY, URL_SCHEME, USER_AGENT_ORIGINAL,
};

use super::config::Config;
use super::forwarded::Forwarded;
use super::route::Route;
use crate::common::method::Known;
use crate::common::text::bounded;
use crate::common::version::version;
use crate::connection::Connection;

/// As many bytes are kept of what a client says of itself, and of what it asks for.
const LONGEST_AGENT: usize = 512;
const LONGEST_TARGET: usize = 4096;
const LONGEST_HOST: usize = 255;

/// What a request is, in words that are the same for many of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) method: Known<'static>,
    pub(super) scheme: &'static str,
    /// `None` if it is one that HTTP does not have.
    pub(super) version: Option<&'static str>,
}

/// The head of a request, and what is known of it besides.
pub(super) struct Head<'r> {
    pub(super) parts: &'r Parts,
    pub(super) kind: Kind,
    pub(super) route: Option<&'r Route>,
    pub(super) connection: Option<&'r Connection>,
    pub(super) forwarded: Forwarded<'r>,
}

impl<'r> Head<'r> {
    pub(super) fn new(
        parts: &'r Parts,
        config: &Config,
        route: Option<&'r Route>,
        connection: Option<&'r Connection>,
    ) -> Head<'r> {
        let forwarded = match config.believes_proxies {
            true => Forwarded::read(&parts.headers),
            false => Forwarded::default(),
        };
        let kind = Kind {
            method: config.known_methods.name(&parts.method),
            scheme: scheme(forwarded.scheme.or(parts.uri.scheme_str())),
            version: version(parts.version),
        };
        Head {
            parts,
            kind,
            route,
            connection,
            forwarded,
        }
    }

    /// The name of the span.
    pub(super) fn span_name(&self) -> std::borrow::Cow<'static, str> {
        span_name(self.kind.method, self.route)
    }

    pub(super) fn attributes(&self, config: &Config) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(16);
        self.add_request(config, &mut attributes);
        self.add_server(&mut attributes);
        self.add_client(&mut attributes);
        config
            .request_headers
            .append(&self.parts.headers, &mut attributes);
        attributes
    }

    fn add_request(&self, config: &Config, attributes: &mut Vec<KeyValue>) {
        let Kind {
            method,
            scheme,
            version,
        } = self.kind;
        attributes.push(KeyValue::new(HTTP_REQUEST_METHOD, method.attribute()));
        if let Some(original) = method.original(&self.parts.method) {
            attributes.push(KeyValue::new(
                HTTP_REQUEST_METHOD_ORIGINAL,
                original.to_owned(),
            ));
        }
        attributes.push(KeyValue::new(URL_PATH, path(&self.parts.uri)));
        if let Some(query) = self.parts.uri.query() {
            let query = config.redaction.query(query);
            attributes.push(KeyValue::new(
                URL_QUERY,
                bounded(&query, LONGEST_TARGET).to_owned(),
            ));
        }
        attributes.push(KeyValue::new(URL_SCHEME, scheme));
        if let Some(route) = self.route {
            attributes.push(KeyValue::new(HTTP_ROUTE, route.value()));
        }
        if let Some(version) = version {
            attributes.push(KeyValue::new(NETWORK_PROTOCOL_VERSION, version));
        }
    }

    fn add_server(&self, attributes: &mut Vec<KeyValue>) {
        let forwarded = self.forwarded.host.and_then(without_user);
        let Some(host) = forwarded.or_else(|| authority(self.parts)) else {
            return;
        };
        let (address, port) = split_host(host);
        let port = port.unwrap_or(if self.kind.scheme == "https" { 443 } else { 80 });
        attributes.push(KeyValue::new(
            SERVER_ADDRESS,
            bounded(address, LONGEST_HOST).to_owned(),
        ));
        attributes.push(KeyValue::new(SERVER_PORT, i64::from(port)));
    }

    fn add_client(&self, attributes: &mut Vec<KeyValue>) {
        let peer = self.connection.and_then(Connection::peer_text);
        let client = self
            .forwarded
            .client
            .map(|client| bounded(client, LONGEST_HOST).to_owned());
        let client = client
            .map(StringValue::from)
            .or_else(|| peer.cloned().map(StringValue::from));
        if let Some(client) = client {
            attributes.push(KeyValue::new(CLIENT_ADDRESS, client));
        }
        if let Some(peer) = peer {
            attributes.push(KeyValue::new(NETWORK_PEER_ADDRESS, peer.clone()));
        }
        if let Some(peer) = self.connection.and_then(Connection::peer_addr) {
            attributes.push(KeyValue::new(NETWORK_PEER_PORT, i64::from(peer.port())));
        }
        let agent = self
            .parts
            .headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        if let Some(agent) = agent {
            let agent = bounded(agent, LONGEST_AGENT).to_owned();
            attributes.push(KeyValue::new(USER_AGENT_ORIGINAL, agent));
        }
    }
}

/// `{method} {route}`, or the method alone if there is no route.
pub(super) fn span_name(
    method: Known<'static>,
    route: Option<&Route>,
) -> std::borrow::Cow<'static, str> {
    let method = method.in_span_name();
    match route {
        None => method.into(),
        Some(route) => [method, " ", route.as_str()].concat().into(),
    }
}

fn path(uri: &Uri) -> StringValue {
    match uri.path() {
        "/" => "/".into(),
        path => bounded(path, LONGEST_TARGET).to_owned().into(),
    }
}

/// The host that the client asked for.
pub(super) fn authority(parts: &Parts) -> Option<&str> {
    let host = || parts.headers.get(HOST)?.to_str().ok();
    let named = parts.uri.authority().map(|authority| authority.as_str());
    without_user(named.or_else(host)?)
}

/// An authority without the user and the password that it may have before the host.
fn without_user(authority: &str) -> Option<&str> {
    let (_, host) = split_last(authority, b'@');
    (!host.is_empty()).then_some(host)
}

/// What is before the last of these ASCII characters, if there is one, and what is behind it. The
/// texts are short: to look at each byte is a fraction of what the general search costs.
fn split_last(text: &str, character: u8) -> (Option<&str>, &str) {
    match text.bytes().rposition(|byte| byte == character) {
        Some(place) => (Some(&text[..place]), &text[place + 1..]),
        None => (None, text),
    }
}

fn split_host(host: &str) -> (&str, Option<u16>) {
    let (address, port) = match split_last(host, b':') {
        (Some(address), port) if !port.ends_with(']') => (address, port.parse().ok()),
        _ => (host, None),
    };
    (address.trim_start_matches('[').trim_end_matches(']'), port)
}

fn scheme(scheme: Option<&str>) -> &'static str {
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_and_perhaps_a_port() {
        let table = [
            ("a.example", ("a.example", None)),
            ("a.example:81", ("a.example", Some(81))),
            ("[::1]", ("::1", None)),
            ("[::1]:81", ("::1", Some(81))),
            ("a:99999", ("a", None)),
        ];
        for (host, expected) in table {
            assert_eq!(split_host(host), expected);
        }
    }
}
