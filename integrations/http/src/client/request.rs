//! A request in the making.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use telemetry_rt::time::Duration;

use super::body::{Body, ResponseBody};
use super::error::{Error, Kind};
use super::layer::UrlTemplate;
use super::{CallTimeout, Client};
use crate::common::redact::Redaction;

/// A request that [`Client`] will send: see [`Client::get`].
///
/// What is wrong with it is said by [`send`](RequestBuilder::send).
#[must_use = "a request is sent by `send`"]
pub struct RequestBuilder {
    client: Client,
    request: Result<Request<Body>, Error>,
}

impl RequestBuilder {
    pub(super) fn new<U>(client: Client, method: Method, url: U) -> RequestBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        let request = url.try_into().map_err(|error| wrong("URL", error.into()));
        let request = request.map(|uri| {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            *request.uri_mut() = uri;
            request
        });
        RequestBuilder { client, request }
    }

    fn change(mut self, change: impl FnOnce(&mut Request<Body>) -> Result<(), Error>) -> Self {
        self.request = self.request.and_then(|mut request| {
            change(&mut request)?;
            Ok(request)
        });
        self
    }

    /// Adds a header.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|request| {
            let name = name.try_into();
            let name = name.map_err(|error| wrong("name of a header", error.into()))?;
            let value = value.try_into();
            let value = value.map_err(|error| wrong("value of a header", error.into()))?;
            request.headers_mut().append(name, value);
            Ok(())
        })
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|request| {
            *request.body_mut() = body.into();
            Ok(())
        })
    }

    /// The time for the whole call, in place of that of the client.
    pub fn timeout(self, limit: Duration) -> Self {
        self.extension(CallTimeout(limit))
    }

    /// The template that the URL was made from, for the name of the span.
    pub fn template(self, template: &'static str) -> Self {
        self.extension(UrlTemplate(template))
    }

    /// Adds an extension, for layers. Those of a request that is redirected stay behind.
    pub fn extension<T: Clone + Send + Sync + 'static>(self, extension: T) -> Self {
        self.change(|request| {
            request.extensions_mut().insert(extension);
            Ok(())
        })
    }

    /// The headers so far; empty if the request is wrong already.
    pub fn headers(&self) -> HeaderMap {
        let request = self.request.as_ref();
        request.map_or_else(|_| HeaderMap::new(), |request| request.headers().clone())
    }

    /// Sends it: see [`Client::request`].
    ///
    /// # Errors
    ///
    /// As [`Client::request`], and if URL or header were not what they should be.
    pub fn send(
        self,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Error>> + Send + 'static {
        let sending = self.request.map(|request| self.client.send(request));
        async move { sending?.await }
    }
}

impl fmt::Debug for RequestBuilder {
    /// Says what may be logged: no credentials of the URL, and of the headers only their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut builder = f.debug_struct("RequestBuilder");
        match &self.request {
            Ok(request) => builder
                .field("method", request.method())
                .field("url", &Redaction::default().full_url(request.uri()))
                .field("headers", &request.headers().keys().collect::<Vec<_>>())
                .field("body", request.body()),
            Err(error) => builder.field("error", error),
        };
        builder.finish_non_exhaustive()
    }
}

/// The error does not repeat the text: it may be secret.
fn wrong(what: &'static str, error: http::Error) -> Error {
    Error::new(Kind::Request, format!("the {what} is not right: {error}")).because(error)
}
