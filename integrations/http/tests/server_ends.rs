//! How does a request end, and when does its span?

#[path = "support/server.rs"]
mod support;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt};
use support::{Seen, attribute, get, read, shown, status};
use telemetry_rt_http::ServerBody;
use tower::{Layer, ServiceExt, service_fn};

/// The end of a request, in one line.
fn end(seen: &Seen) -> String {
    let span = seen.span();
    let part = |key| attribute(&span, key).unwrap_or_else(|| "-".to_owned());
    let events = span.events.events.len();
    format!(
        "{} {} {} {} {} {events}",
        part("http.response.status_code"),
        status(&span),
        part("error.type"),
        part("telemetry_rt.http.outcome"),
        part("telemetry_rt.http.phase"),
    )
}

/// Answers with this, up to the head.
async fn answer<B>(seen: &Seen, method: Method, response: Response<B>) -> Response<ServerBody<B>>
where
    B: http_body::Body + 'static,
{
    let mut response = Some(response);
    let service = seen.layer().layer(service_fn(move |_: Request<Body>| {
        let response = response.take().unwrap();
        async move { Ok::<_, Infallible>(response) }
    }));
    let request = Request::builder()
        .method(method)
        .uri("/")
        .body(Body::empty())
        .unwrap();
    service.oneshot(request).await.unwrap()
}

fn with_status<B>(status: StatusCode, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn frames(
    frames: Vec<Result<Frame<Bytes>, io::Error>>,
) -> impl http_body::Body<Data = Bytes, Error = io::Error> {
    StreamBody::new(stream::iter(frames))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[test]
fn a_streamed_answer_ends_with_its_last_frame_and_not_with_its_head() {
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let body = frames(vec![data("ab"), data("cde"), Ok(Frame::trailers(trailers))]);
        let response = answer(&seen, Method::GET, Response::new(body)).await;
        let mut body = Box::pin(response.into_body());
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
            assert_eq!(seen.spans().len(), 0);
            assert_eq!(seen.counts(), (0, 1));
        }
        assert!(body.frame().await.is_none());
        assert_eq!(end(&seen), "200 unset - - - 0");
        assert_eq!(
            attribute(&seen.span(), "http.response.body.size").unwrap(),
            "5"
        );
        drop(body);
    });
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn an_answer_whose_body_nobody_will_ask_for_ends_with_its_head() {
    let table = [
        (Method::GET, StatusCode::OK, ""),
        (Method::HEAD, StatusCode::OK, "abc"),
        (Method::GET, StatusCode::NO_CONTENT, "abc"),
        (Method::GET, StatusCode::NOT_MODIFIED, "abc"),
        (Method::GET, StatusCode::SWITCHING_PROTOCOLS, "abc"),
        (Method::CONNECT, StatusCode::OK, "abc"),
    ];
    for (method, status, text) in table {
        let seen = Seen::new();
        seen.runtime().block_on(async {
            let body = Full::new(Bytes::from_static(text.as_bytes()));
            let response = answer(&seen, method, with_status(status, body)).await;
            assert_eq!(end(&seen), format!("{} unset - - - 0", status.as_u16()));
            drop(response);
        });
        assert_eq!(seen.counts(), (1, 0));
    }
}

#[test]
fn a_body_that_has_given_all_that_it_announced_may_be_dropped() {
    /// Says how much it has, and has no end until it is asked once more.
    struct Announced(Option<Bytes>);
    impl http_body::Body for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.len() as u64))
        }
    }
    for (asks, expected) in [
        (0, "200 unset - client_disconnected response_body 0"),
        (1, "200 unset - - - 0"),
    ] {
        let seen = Seen::new();
        seen.runtime().block_on(async {
            let body = Announced(Some(Bytes::from_static(b"abc")));
            let mut response = answer(&seen, Method::GET, Response::new(body)).await;
            for _ in 0..asks {
                response.body_mut().frame().await.unwrap().unwrap();
            }
            drop(response);
        });
        assert_eq!(end(&seen), expected);
        assert_eq!(seen.counts(), (1, 0));
    }
}

#[test]
fn a_body_that_has_given_all_that_the_head_announced_may_be_dropped() {
    for (length, expected) in [
        ("3", "200 unset - - - 0"),
        ("4", "200 unset - client_disconnected response_body 0"),
        ("three", "200 unset - client_disconnected response_body 0"),
    ] {
        let seen = Seen::new();
        seen.runtime().block_on(async {
            let mut response = Response::new(Box::pin(frames(vec![data("abc")])));
            let length = HeaderValue::from_static(length);
            response.headers_mut().insert("content-length", length);
            let mut response = answer(&seen, Method::GET, response).await;
            response.body_mut().frame().await.unwrap().unwrap();
            drop(response);
        });
        assert_eq!(end(&seen), expected);
        assert_eq!(seen.counts(), (1, 0));
    }
}

#[test]
fn a_client_that_goes_before_the_answer() {
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let router = Router::new()
            .route("/", on_get(pending::<&str>))
            .layer(seen.layer());
        let mut response = Box::pin(router.oneshot(get("/")));
        assert!((&mut response).now_or_never().is_none());
        assert_eq!(seen.counts(), (0, 1));
        drop(response);
    });
    assert_eq!(
        end(&seen),
        "- unset - client_disconnected before_response 0"
    );
    assert_eq!(seen.counts(), (1, 0));
    let rows = seen.rows("http.server.request.duration");
    assert!(
        rows[0].contains("telemetry_rt.http.outcome=client_disconnected"),
        "{rows:?}"
    );
    assert!(!rows[0].contains("error.type"), "{rows:?}");
}

#[test]
fn a_request_that_was_never_polled_ends_too() {
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let mut service = seen.layer().layer(service_fn(|_: Request<Body>| {
            pending::<Result<Response<Body>, Infallible>>()
        }));
        drop(tower::Service::call(&mut service, get("/")));
    });
    assert_eq!(
        end(&seen),
        "- unset - client_disconnected before_response 0"
    );
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn a_client_that_goes_amid_the_body() {
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let body = StreamBody::new(stream::iter(vec![data("ab")]).chain(stream::pending()));
        let response = answer(&seen, Method::GET, Response::new(body)).await;
        let mut body = Box::pin(response.into_body());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().now_or_never().is_none());
        drop(body);
    });
    assert_eq!(
        end(&seen),
        "200 unset - client_disconnected response_body 0"
    );
    assert_eq!(
        attribute(&seen.span(), "http.response.body.size").unwrap(),
        "2"
    );
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn a_body_that_fails() {
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let body = frames(vec![data("ab"), Err(io::Error::other("the disk is gone"))]);
        let response = answer(&seen, Method::GET, Response::new(body)).await;
        assert!(Box::pin(response.into_body()).collect().await.is_err());
    });
    assert_eq!(
        end(&seen),
        "200 error \"the disk is gone\" std::io::error::Error - - 1"
    );
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn a_service_that_fails() {
    async fn fail<E>(seen: &Seen, error: E)
    where
        E: std::fmt::Display + std::fmt::Debug + 'static,
    {
        let mut error = Some(error);
        let service = seen.layer().layer(service_fn(move |_: Request<Body>| {
            let error = error.take().unwrap();
            async move { Err::<Response<Body>, E>(error) }
        }));
        assert!(service.oneshot(get("/")).await.is_err());
    }
    let (named, boxed) = (Seen::new(), Seen::new());
    named.runtime().block_on(async {
        fail(&named, io::Error::other("no")).await;
        fail(&boxed, tower::BoxError::from("never")).await;
    });
    assert_eq!(end(&named), "- error \"no\" std::io::error::Error - - 1");
    assert_eq!(end(&boxed), "- error \"never\" _OTHER - - 1");
    let text = shown(&named.span());
    let event = "  * exception exception.message=no,exception.type=std::io::error::Error\n";
    assert!(text.ends_with(event), "{text}");
    assert_eq!(named.counts(), (1, 0));
}

#[test]
fn a_panic_in_call_future_or_body_ends_the_request_and_goes_on() {
    async fn panicked(future: impl Future) {
        assert!(AssertUnwindSafe(future).catch_unwind().await.is_err());
    }
    let seen = [Seen::new(), Seen::new(), Seen::new()];
    seen[0].runtime().block_on(async {
        type Never = std::future::Ready<Result<Response<Body>, Infallible>>;
        let service = seen[0]
            .layer()
            .layer(service_fn(|_: Request<Body>| -> Never { panic!("ouch") }));
        panicked(service.oneshot(get("/"))).await;

        let router = Router::new().route(
            "/",
            on_get(|| async {
                if true {
                    panic!("ouch")
                }
            }),
        );
        panicked(router.layer(seen[1].layer()).oneshot(get("/"))).await;

        let body = StreamBody::new(stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> { panic!("ouch") },
        ));
        let response = answer(&seen[2], Method::GET, Response::new(body)).await;
        panicked(Box::pin(response.into_body()).collect()).await;
    });
    let status = ["-", "-", "200"];
    for (seen, status) in seen.iter().zip(status) {
        assert_eq!(end(seen), format!("{status} error \"ouch\" panic - - 1"));
        assert_eq!(seen.counts(), (1, 0));
    }
}

#[test]
fn a_panic_around_the_service_is_no_client_that_went() {
    let seen = [Seen::new(), Seen::new()];
    seen[0].runtime().block_on(async {
        let mut service = seen[0].layer().layer(service_fn(|_: Request<Body>| {
            pending::<Result<Response<Body>, Infallible>>()
        }));
        let around = async {
            let _answer = tower::Service::call(&mut service, get("/"));
            panic!("ouch")
        };
        assert!(AssertUnwindSafe(around).catch_unwind().await.is_err());
        let around = async {
            let body = Full::new(Bytes::from_static(b"abc"));
            let _answer = answer(&seen[1], Method::GET, Response::new(body)).await;
            panic!("ouch")
        };
        assert!(AssertUnwindSafe(around).catch_unwind().await.is_err());
    });
    assert_eq!(end(&seen[0]), "- error \"\" panic - - 1");
    assert_eq!(end(&seen[1]), "200 error \"\" panic - - 1");
    assert_eq!(seen[0].counts(), (1, 0));
}

#[test]
fn what_a_dropped_request_held_is_dropped_within_its_span() {
    type Spans = Arc<Mutex<Vec<SpanId>>>;

    /// Notes the current span when it is dropped.
    struct Held(Spans);
    impl Drop for Held {
        fn drop(&mut self) {
            let context = Context::current();
            let current = context.span().span_context().span_id();
            self.0.lock().unwrap().push(current);
        }
    }

    let spans = Spans::default();
    let seen = [Seen::new(), Seen::new()];
    seen[0].runtime().block_on(async {
        let held = Held(spans.clone());
        let body = StreamBody::new(stream::pending::<io::Result<Frame<Bytes>>>().map(
            move |frame| {
                let _ = &held;
                frame
            },
        ));
        drop(answer(&seen[0], Method::GET, Response::new(body)).await);

        let held = spans.clone();
        let service = seen[1].layer().layer(service_fn(move |_: Request<Body>| {
            let held = Held(held.clone());
            async move {
                let _held = held;
                pending::<Result<Response<Body>, Infallible>>().await
            }
        }));
        assert!(service.oneshot(get("/")).now_or_never().is_none());
    });
    let ids: Vec<SpanId> = seen
        .iter()
        .map(|seen| seen.span().span_context.span_id())
        .collect();
    assert_eq!(*spans.lock().unwrap(), ids);
}

#[test]
fn the_head_of_a_route_for_get_is_complete() {
    let seen = Seen::new();
    let router = Router::new()
        .route("/", on_get(|| async { "abc" }))
        .layer(seen.layer());
    seen.runtime().block_on(async {
        let request = Request::head("/").body(Body::empty()).unwrap();
        assert_eq!(read(router.oneshot(request).await.unwrap()).await, "");
    });
    assert_eq!(end(&seen), "200 unset - - - 0");
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn a_body_that_panics_when_it_is_asked_for_its_length_leaves_no_request_active() {
    struct Odd;
    impl http_body::Body for Odd {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(None)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            panic!("ouch")
        }
    }
    let seen = Seen::new();
    seen.runtime().block_on(async {
        let mut service = seen.layer().layer(service_fn(|_: Request<Odd>| {
            pending::<Result<Response<Body>, Infallible>>()
        }));
        let call =
            AssertUnwindSafe(async { drop(tower::Service::call(&mut service, Request::new(Odd))) });
        assert!(call.catch_unwind().await.is_err());
    });
    assert_eq!(seen.counts(), (0, 0));
    assert_eq!(seen.spans().len(), 1);
}
