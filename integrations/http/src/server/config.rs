//! What can be configured of the server's side?

use std::fmt;

use http::request::Parts;

use super::hooks::Hooks;
use super::route::Route;
use crate::common::captured::CapturedHeaders;
use crate::common::excluded::ExcludedUrls;
use crate::common::method::KnownMethods;
use crate::common::redact::Redaction;

/// What becomes of the span and the baggage that a request brings along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteParent {
    /// The request goes on with the trace of its sender, whose baggage is passed on.
    #[default]
    Continue,
    /// The request begins a trace of its own, which has a link to the span of its sender. Baggage is
    /// thrown away. For peers that may see, but not decide, what is sampled here.
    Link,
    /// The request begins a trace of its own; what the sender says is not looked at.
    Ignore,
}

/// All that a layer was told. Made by the builder, never changed.
pub(super) struct Config {
    pub(super) excluded: ExcludedUrls,
    pub(super) known_methods: &'static KnownMethods,
    pub(super) redaction: Redaction,
    pub(super) request_headers: CapturedHeaders,
    pub(super) response_headers: CapturedHeaders,
    pub(super) trust: Trust,
    /// Whether a proxy in front of this server is believed what it says of the client.
    pub(super) believes_proxies: bool,
    pub(super) route: Option<RouteOf>,
    pub(super) hooks: Hooks,
}

pub(super) type RouteOf = Box<dyn Fn(&Parts) -> Option<Route> + Send + Sync>;

/// How much a peer is trusted.
pub(super) enum Trust {
    All(RemoteParent),
    Each(Box<dyn Fn(&Parts) -> RemoteParent + Send + Sync>),
}

impl Trust {
    pub(super) fn of(&self, parts: &Parts) -> RemoteParent {
        match self {
            Trust::All(same) => *same,
            Trust::Each(decide) => decide(parts),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("excluded", &self.excluded)
            .field("request_headers", &self.request_headers)
            .field("response_headers", &self.response_headers)
            .field("believes_proxies", &self.believes_proxies)
            .finish_non_exhaustive()
    }
}
