//! What is done with a request before the service is called?

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::future::ServerFuture;
use super::layer::Settled;
use super::request_body;
use super::start::admit;

/// A service whose requests are seen; made by [`ServerLayer`](super::ServerLayer).
#[derive(Clone)]
pub struct Server<S> {
    pub(super) service: S,
    pub(super) layer: Arc<Settled>,
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl<S, Asked, Answer> Service<Request<Asked>> for Server<S>
where
    S: Service<Request<Asked>, Response = Response<Answer>>,
    S::Error: fmt::Display,
    Asked: Body + 'static,
    Answer: Body,
{
    type Response = Response<super::ServerBody<Answer>>;
    type Error = S::Error;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Asked>) -> ServerFuture<S::Future> {
        let (mut parts, mut body) = request.into_parts();
        let mut watch = admit(&self.layer, &mut parts, &body);
        if let Some(shared) = watch.shared() {
            body = request_body::measured(body, shared);
        }
        let _current = watch.enter();
        watch.greet(&parts);
        let service = &mut self.service;
        let future = watch.run(|| service.call(Request::from_parts(parts, body)));
        ServerFuture::new(future, watch)
    }
}
