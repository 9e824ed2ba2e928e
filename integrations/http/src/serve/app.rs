//! The service as it is called, below hyper: with the instrumentation and the bounds around it.
//!
//! A `Router` of axum is layered from within, where the route that was found is known, and takes
//! bodies of any kind. To the user it is a service as any other, so it is told apart here, once.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use tower::util::{Either as Or, ServiceExt};
use tower::{BoxError, Layer, Service};

use super::house::House;
use super::refusal::TooLargeLayer;
use crate::server::ServerLayer;

/// `service` as a value of type `T`, if that is what it is.
#[cfg_attr(
    not(feature = "axum"),
    expect(dead_code, reason = "only a `Router` is asked for")
)]
pub(super) fn as_a<T: 'static, S: 'static>(service: S) -> Result<T, S> {
    let mut service = Some(service);
    let slot: &mut dyn Any = &mut service;
    match slot.downcast_mut::<Option<T>>().and_then(Option::take) {
        Some(found) => Ok(found),
        None => Err(service.expect("it was not taken, as it is of another type")),
    }
}

#[cfg(feature = "axum")]
pub(super) fn of_router(
    router: axum::Router,
    layer: Option<ServerLayer>,
    house: &Arc<House>,
) -> axum::Router {
    let bounds = TooLargeLayer(Arc::clone(house));
    match layer {
        // One layer of two, as axum boxes the service of each.
        Some(layer) => router.layer(tower::layer::util::Stack::new(bounds, layer)),
        None if house.limits.max_body_bytes.is_some() => router.layer(bounds),
        None => router,
    }
}

pub(super) fn of_service<S, R>(
    service: S,
    layer: Option<ServerLayer>,
    house: &Arc<House>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data: Send, Error: Into<BoxError>> + Send + 'static>,
    Error = S::Error,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static
where
    S: Service<
            Request<Incoming>,
            Response = Response<R>,
            Error: fmt::Display + Into<BoxError>,
            Future: Send + 'static,
        >,
    S: Clone + Send + 'static,
    R: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let bounded = TooLargeLayer(Arc::clone(house)).layer(service);
    match layer {
        Some(layer) => {
            let layered = layer.layer(bounded);
            Or::Left(layered.map_response(|answer: Response<_>| answer.map(Either::Left)))
        }
        None => Or::Right(bounded.map_response(|answer: Response<_>| answer.map(Either::Right))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_apart_by_its_type_and_given_back_if_it_is_another() {
        assert_eq!(as_a::<u8, _>(7_u8), Ok(7));
        assert_eq!(as_a::<u8, _>("seven"), Err("seven"));
    }
}
