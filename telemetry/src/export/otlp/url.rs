//! Which URLs can be sent to, and how they are shown without what may be a secret in them.

use ureq::http::Uri;

use super::endpoint::Protocol;
use crate::export::env::ConfigError;

/// The URL in a text, if it is of a kind that this build can use for the protocol.
pub(super) fn parse(variable: &str, text: &str, protocol: Protocol) -> Result<Uri, ConfigError> {
    let usable = |url: &Uri| {
        let tls = cfg!(feature = "tls") && url.scheme_str() == Some("https");
        (tls || url.scheme_str() == Some("http"))
            && url.host().is_some_and(|host| !host.is_empty())
            && has_usable_port(url)
            && protocol.takes(url)
    };
    text.parse()
        .ok()
        .filter(usable)
        .ok_or_else(|| error(variable, text, protocol))
}

/// A port that is no number would be taken for none, and the default one used.
fn has_usable_port(url: &Uri) -> bool {
    url.authority().is_none_or(|authority| {
        let without_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        let port = without_user.get(authority.host().len()..);
        port.is_none_or(|port| port.len() < 2 || authority.port_u16().is_some())
    })
}

/// Where a collector on this machine listens.
pub(super) fn default(protocol: Protocol) -> String {
    format!("http://localhost:{}", protocol.port())
}

/// Whether it says more than where to connect to.
#[cfg(feature = "grpc")]
pub(super) fn has_path(url: &Uri) -> bool {
    url.path() != "/" || url.query().is_some()
}

pub(super) fn error(variable: &str, text: &str, protocol: Protocol) -> ConfigError {
    let port = protocol.port();
    let accepted = match cfg!(feature = "tls") {
        true => format!("a URL such as http://localhost:{port} or https://collector.example.com"),
        false => format!("a URL such as http://localhost:{port} (https needs the feature `tls`)"),
    };
    ConfigError::new(variable, without_secrets(text), accepted)
}

/// What was meant to be a URL, without what may be a secret in it: all that stands before an `@`,
/// and all that follows a `?` or `#`, wherever these are, since the text may be no URL at all.
fn without_secrets(text: &str) -> String {
    let query = text.find(['?', '#']);
    match (text.rfind('@'), query) {
        (None, None) => text.to_owned(),
        (Some(at), Some(query)) if query < at => "…".to_owned(),
        (at, query) => {
            let before = at.map_or("", |_| "…");
            let after = query.map_or("", |_| "?…");
            let shown = &text[at.unwrap_or(0)..query.unwrap_or(text.len())];
            format!("{before}{shown}{after}")
        }
    }
}

/// The URL as warnings show it: no user, no password, no query.
pub(super) fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let host = url.host().unwrap_or_default();
    let port = url
        .port_u16()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", url.path())
}
