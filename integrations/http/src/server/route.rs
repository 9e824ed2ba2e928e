//! By which route was a request found?

use std::fmt;

use http::Extensions;
use opentelemetry::StringValue;

/// The template of a route, as in `/items/{id}`: for routers other than axum's, whose routes are known
/// without it.
///
/// A router puts it into the extensions of the request before the [`ServerLayer`](super::ServerLayer)
/// is called, or into those of the response. It must not be the path of the request: each route is a
/// name of a span and a row of the metrics.
///
/// Cost: nothing is allocated if it is made of a `&'static str` or an `Arc<str>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Route(StringValue);

impl Route {
    /// The route of this template.
    pub fn new(template: impl Into<StringValue>) -> Route {
        Route(template.into())
    }

    /// The template.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn value(&self) -> StringValue {
        self.0.clone()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.as_str()).finish()
    }
}

/// What routers left in the extensions of a request or response.
pub(super) fn left_in(extensions: &Extensions) -> Option<Route> {
    extensions
        .get::<Route>()
        .cloned()
        .or_else(|| matched(extensions))
}

#[cfg(feature = "axum")]
fn matched(extensions: &Extensions) -> Option<Route> {
    let path = extensions.get::<axum::extract::MatchedPath>()?;
    Some(Route::new(std::sync::Arc::<str>::from(path.as_str())))
}

#[cfg(not(feature = "axum"))]
fn matched(_: &Extensions) -> Option<Route> {
    None
}
